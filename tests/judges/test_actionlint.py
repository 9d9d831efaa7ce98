"""actionlint on the hosted workflows."""

from __future__ import annotations

import subprocess

from infra.environments.workspace import ROOT

ACTIONLINT = ROOT / ".tools" / "bin" / "actionlint"


def test_actionlint_finds_nothing():
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert workflows
    # Neither shellcheck nor pyflakes from PATH: what is found must not depend on the machine.
    command = [ACTIONLINT, "-no-color", "-shellcheck=", "-pyflakes=", *workflows]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, ""), run.stdout + run.stderr


def test_actionlint_finds_a_mistake(tmp_path):
    text = (ROOT / ".github" / "workflows" / "preview.yml").read_text()
    broken = tmp_path / "broken.yml"
    broken.write_text(text.replace("github.event.pull_request.base.sha", "github.evnt.pull_request.base.sha"))
    run = subprocess.run(
        [ACTIONLINT, "-no-color", "-shellcheck=", "-pyflakes=", broken],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert 'property "evnt" is not defined' in run.stdout
