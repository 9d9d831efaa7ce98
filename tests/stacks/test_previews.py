"""What only a preview that is made anew can show."""

from __future__ import annotations

import base64
import subprocess
import sys

from infra.environments.preview.manifests import write_to
from infra.environments.preview.render import render_json, render_markdown, render_text
from infra.environments.preview.stack_preview import checked, compare_stacks, render
from infra.environments.preview.stackfile import CHECKOUT
from infra.settings import Secrets
from infra.settings_reading import placeholder_secrets
from tests.conftest import rendered_of, settings_of

CANARY = "canary-7f3a9"


def test_two_runs_say_the_same():
    first, again = checked(rendered_of("prod")), checked(render("prod", settings_of("prod")))
    for form in (render_text, render_markdown, render_json):
        assert form(again) == form(first)


def test_a_preview_needs_no_engine_cluster_or_credentials():
    """In a process of its own: nothing on PATH, no home, no network address to ask."""
    program = """if True:
        import sys
        from pathlib import Path
        from infra.environments.preview import preview
        print(preview("prod", Path(sys.argv[1])).ok, *(name in sys.modules for name in ("kubernetes", "typer", "rich")))
    """
    run = subprocess.run(
        [sys.executable, "-c", program, str(CHECKOUT)], env={"PATH": ""}, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["True", "False", "False", "False"]


def test_secrets_are_in_no_output(tmp_path):
    names = iter(range(100))
    secrets = _with_canaries(placeholder_secrets(), names)
    assert next(names) > len(Secrets.model_fields)
    secrets["backup_recipient"] = "age1public"  # what only encrypts is no secret
    ours = render("prod", settings_of("prod", secrets=secrets))
    result = checked(ours, compare_stacks(rendered_of("dev"), ours))
    write_to(result.manifests, tmp_path)
    files = [path.read_text() for path in tmp_path.rglob("*.yaml")]
    everything = "\n".join([repr(ours), render_text(result), render_markdown(result), render_json(result), *files])
    encoded = {base64.b64encode(b"x" * skip + CANARY.encode())[4 * (skip > 0) : -4].decode() for skip in range(3)}
    assert not [text for text in (CANARY, *encoded) if text in everything]


def _with_canaries(value, numbers):
    if isinstance(value, dict):
        return {key: _with_canaries(item, numbers) for key, item in value.items()}
    return f"{CANARY}-{next(numbers)}"
