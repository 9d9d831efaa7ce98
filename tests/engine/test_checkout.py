"""A second checkout, as somebody types it: up, again, status, preview against what is applied, down."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.environments.local import processes
from infra.environments.local.cloud import LocalCloud
from infra.environments.workspace import ROOT

Mcenv = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tracked files as they are now, with the tools that are built already."""
    folder = tmp_path_factory.mktemp("checkout")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    (folder / ".tools").symlink_to(ROOT / ".tools")
    yield folder
    processes.kill(folder / ".local" / "cluster" / "clusters" / "local" / "bin")
    LocalCloud(folder / ".local" / "cluster" / "cloud").stop()


@pytest.fixture(scope="module")
def mcenv(checkout: Path) -> Mcenv:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        # First on the path, so that this checkout is run and not the one that is installed.
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(checkout)!r}); {MAIN}", *arguments]
        return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)

    return run


MAIN = "from infra.environments.cli import main; main()"


def test_a_checkout_from_up_to_down(checkout, mcenv):
    for command in (["status"], ["drift", "local"], ["plan", "local"], ["secrets", "init", "local"]):
        stopped = mcenv(*command)
        assert (stopped.returncode, stopped.stderr) == (
            1,
            "mcenv: local: the local control plane does not run: start it with `make up`\n",
        )

    first = mcenv("up")
    assert first.returncode == 0, first.stderr
    assert "pods are simulated" in first.stdout
    assert re.search(r"^local: [1-9]\d* created in ", first.stdout, re.MULTILINE)
    assert "deploying" in first.stderr

    again = json.loads(mcenv("up", "--json").stdout)
    assert again["changes"] == []
    assert again["outputs"]["url"] == "https://modelcard.localhost/"

    applied = mcenv("preview", "local", "--against", "state")
    assert (applied.returncode, "Against state: no difference" in applied.stdout) == (0, True), applied.stdout

    status = mcenv("status", "--json")
    assert {each["kind"] for each in json.loads(status.stdout)["objects"]} >= {"Deployment", "StatefulSet"}

    assert mcenv("down").returncode == 0
    assert not (checkout / ".local").exists()
    assert processes.running(checkout / ".local" / "cluster" / "clusters" / "local" / "bin") == {}
