"""What only a preview that is made anew can show."""

from __future__ import annotations

import subprocess
import sys

from infra.environments.preview.render import render_json, render_markdown, render_text
from infra.environments.preview.stack_preview import checked, render
from infra.environments.preview.stackfile import CHECKOUT
from tests.conftest import rendered_of, settings_of


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
