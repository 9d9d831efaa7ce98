"""The program as the official CLI starts it: from its folder, with that folder first on Python's path."""

from __future__ import annotations

import json
import subprocess
import sys

from infra.environments.workspace import ROOT
from infra.settings_reading import placeholder_secrets
from tests.conftest import platform_of

# What `pulumi-language-python-exec` does with `main: infra/`, under a recording instead of an engine.
OFFICIAL = """
import json, os, runpy, sys
sys.path.insert(0, os.getcwd())
from infra.environments import recording
from pulumi.runtime.config import set_all_config

def program():
    set_all_config(json.loads(sys.argv[1]))
    runpy.run_path(os.getcwd(), run_name="__main__")

recorded = recording.record(program, stack="prod")
print(json.dumps([each.urn for each in recorded.registrations]))
print(json.dumps(list(recorded.manifests())))
"""


def test_the_official_cli_and_mcenv_declare_the_same():
    config = {"environment": "prod", "secrets": json.dumps(placeholder_secrets())}
    arguments = json.dumps({f"modelcard-platform:{key}": value for key, value in config.items()})
    command = [sys.executable, "-c", OFFICIAL, arguments]
    run = subprocess.run(command, cwd=ROOT / "infra", capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    names, manifests = map(json.loads, run.stdout.splitlines())
    ours = platform_of("prod")
    assert sorted(names) == sorted(each.urn for each in ours.registrations)
    assert sorted(map(json.dumps, manifests)) == sorted(json.dumps(each) for each in ours.manifests())
