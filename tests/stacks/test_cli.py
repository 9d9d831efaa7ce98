"""What `mcenv` says when it cannot do what it was asked: one clear line, a non-zero exit, nothing done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from infra.environments import cli
from infra.environments.workspace import ROOT, Workspace, complaint, exclusive, local_workspace, workspace
from infra.errors import UserError
from infra.quantities import Moment

MCENV = Path(sys.executable).with_name("mcenv")


def mcenv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MCENV, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command", [["preview"], ["up"], ["status"], ["secrets", "init"], ["secrets", "rotate"], ["drift"], ["recover"]]
)
def test_a_stack_that_does_not_exist_is_one_line_with_the_choices(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mcenv", *command, "staging"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said, told = capsys.readouterr()
    assert (ended.value.code, said, told.count("\n")) == (1, "", 1)
    assert "Pulumi.staging.yaml" in told
    assert all(stack in told for stack in ("dev", "local", "prod"))


def test_up_of_a_stack_without_secrets_says_how_to_make_them():
    run = mcenv("up", "prod")
    assert (run.returncode, run.stderr) == (
        1,
        "mcenv: Pulumi.prod.yaml: secrets are missing: run `mcenv secrets init prod`\n",
    )


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("yesterday", f"--at: 'yesterday' is not {Moment.example}"),
        ("2026-01-31T02:00:00", f"--at: '2026-01-31T02:00:00' is not {Moment.example}"),
        ("newest", "Pulumi.prod.yaml: secrets are missing: run `mcenv secrets init prod`"),
    ],
)
def test_a_recovery_that_cannot_be_is_refused_before_anything_is_touched(at, said):
    run = mcenv("recover", "prod", "--yes", "--at", at)
    assert (run.returncode, run.stderr) == (1, f"mcenv: {said}\n")


def test_preview_prints_json_that_a_program_can_read():
    run = mcenv("preview", "prod", "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["stack"] == "prod"


@pytest.fixture
def root(tmp_path):
    """A checkout's stack files."""
    for file in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_the_local_stack_keeps_what_was_generated_and_takes_the_rest_from_the_checkout(root):
    space = local_workspace(root, root / ".local")
    document = yaml.safe_load(space.stack_file.read_text())
    document["config"]["modelcard-platform:secrets"] = {"secure": "v1:x"}
    document["config"]["modelcard-platform:rotation"] = "2"
    document["config"]["modelcard-platform:namespace"] = "removed-from-the-checkout"
    document["encryptionsalt"] = "v1:salt"
    space.stack_file.write_text(yaml.safe_dump(document))
    again = yaml.safe_load(local_workspace(root, root / ".local").stack_file.read_text())
    assert again == {
        "config": {
            "modelcard-platform:environment": "local",
            "modelcard-platform:secrets": {"secure": "v1:x"},
            "modelcard-platform:rotation": "2",
        },
        "encryptionsalt": "v1:salt",
    }


def test_the_passphrase_is_for_its_owner_only_and_stays(root):
    space = local_workspace(root, root / ".local")
    file = Path(space.environment["PULUMI_CONFIG_PASSPHRASE_FILE"])
    first = file.read_text()
    local_workspace(root, root / ".local")
    assert (file.stat().st_mode & 0o777, file.read_text()) == (0o600, first)


def test_two_mcenv_at_once_on_one_stack_are_refused(root):
    space = workspace("dev", root)
    with (
        exclusive(space),
        pytest.raises(UserError, match="dev: another mcenv is working on this stack"),
        exclusive(space),
    ):
        pass


def test_without_the_engine_one_line_says_how_to_build_it(root):
    with pytest.raises(UserError, match=r"\.tools/bin/pulumi: not there: run `make tools`"):
        workspace("dev", root).pulumi("stack", "ls")


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("error: getting stack configuration: incorrect passphrase", "the passphrase does not fit its secrets"),
        ("error: write /x: no space left on device", "dev: no space left on device"),
        ("error: PULUMI_ACCESS_TOKEN must be set for login", "dev: no backend: run `pulumi login`"),
        ("error: unexpected end of JSON input", r"the state of dev cannot be read .* \.pulumi/backups"),
        ("warning: x\nerror: something new\nmore", "^dev: something new$"),
        ("", "^dev: Pulumi failed without a word$"),
    ],
)
def test_what_the_engine_complains_of_becomes_one_line(output, line):
    space = Workspace(stack="dev", root=ROOT, project=ROOT, environment={})
    with pytest.raises(UserError, match=line):
        raise complaint(space, output)
