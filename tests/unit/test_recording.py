"""Nothing that a test asserts may go unheard because it runs later, or is left over for the next test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest
from pulumi_kubernetes.core import v1 as core

from infra.environments.recording import Registration, record

ROOT = Path(__file__).parents[2]
CANARY = """
import pulumi
from pulumi_kubernetes.core import v1 as core
from infra.environments.recording import record

def same(value): assert value == "expected"; return value
def test_true_inside_apply(): record(lambda: pulumi.Output.from_input("expected").apply(same), stack="test")
def test_false_inside_apply(): record(lambda: pulumi.Output.from_input("other").apply(same), stack="test")
def test_false_inside_input():
    def declare(): core.ConfigMap("config", data={"key": pulumi.Output.from_input("other").apply(same)})
    record(declare, stack="test")
def test_false_about_output():
    record(lambda: core.ConfigMap("config", metadata={"name": "other"}).metadata.name.apply(same), stack="test")
"""


def test_a_false_assertion_inside_apply_fails_the_run(tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_canary.py").write_text(CANARY)

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (run.returncode, "3 failed, 1 passed" in run.stdout) == (1, True), run.stdout + run.stderr


def test_recordings_know_nothing_of_each_other() -> None:
    first = record(lambda: core.ConfigMap("first"), stack="one")
    second = record(lambda: core.ConfigMap("second"), stack="two")

    assert [_names(each.registrations) for each in (first, second)] == [
        ["modelcard-platform-one", "first"],
        ["modelcard-platform-two", "second"],
    ]


def test_a_recording_that_failed_leaves_nothing_behind() -> None:
    def fail() -> None:
        core.ConfigMap("half")
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        record(fail, stack="test")

    after = record(lambda: core.ConfigMap("whole"), stack="test")
    assert _names(after.registrations) == ["modelcard-platform-test", "whole"]


def test_secrets_are_masked_wherever_they_are() -> None:
    def declare() -> None:
        password = pulumi.Output.secret("hunter2")
        core.Secret("secret", string_data={"url": pulumi.Output.concat("redis://:", password, "@host")})
        pulumi.export("password", password)

    recording = record(declare, stack="test")

    assert "hunter2" not in f"{recording.registrations}{recording.outputs}"
    assert recording.one("core/v1:Secret", "secret")["stringData"] == {"url": "[secret]"}


def _names(registrations: list[Registration]) -> list[str]:
    return [each.name for each in registrations]
