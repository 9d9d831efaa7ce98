"""The policies in the preview see what the engine would show them, and tell no secret."""

from __future__ import annotations

import pulumi
import pytest
from pulumi_kubernetes.core import v1 as core

from infra.environments.preview import policies
from infra.environments.recording import record

PASSWORD = "canary-5up3r"


def findings(value: str, *, secret: bool) -> list[str]:
    """What the rule about environment variables says of a pod that has one with this value."""

    def declare() -> None:
        variable = core.EnvVarArgs(name="SOURCE", value=pulumi.Output.secret(value) if secret else value)
        container = core.ContainerArgs(name="web", image="docker.io/library/nginx:1.28.0", env=[variable])
        core.Pod("careless", metadata={"name": "careless"}, spec=core.PodSpecArgs(containers=[container]))

    report = policies.check(record(declare, stack="test").registrations)
    return [str(finding) for finding in report.findings if finding.rule == "no-secret-in-environment"]


@pytest.mark.parametrize("secret", [False, True])
def test_a_secret_in_an_environment_variable_is_found_and_not_told(secret):
    (finding,) = findings(f"postgresql://app:{PASSWORD}@database/cards", secret=secret)
    assert PASSWORD not in finding


def test_a_harmless_variable_is_not_found():
    assert findings("postgresql://database/cards", secret=False) == []
