"""The policies in the preview see what the engine would show them, and tell no secret."""

from __future__ import annotations

import dataclasses
import json

import pulumi
import pytest
from pulumi_kubernetes.core import v1 as core

from infra.environments.preview import policies
from infra.environments.recording import Registration, record
from tests.conftest import platform_of

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


@pytest.fixture(scope="module")
def own_storage() -> tuple[Registration, ...]:
    """A stack whose backups go to a storage inside of the company."""
    backup = {
        "storage": "s3-compatible", "endpoint": "https://storage.corp.example:8443", "identity_provider": None,
        "access_key": "key", "secret_key": "secret",
    }  # fmt: skip
    return platform_of("dev", backup=backup).registrations


def uncalled(registrations: tuple[Registration, ...]) -> list[str]:
    """Where something is open that nobody needs."""
    found = policies.check(registrations).findings
    return [str(finding) for finding in found if finding.rule == "nothing-open-uncalled"]


def test_a_stack_that_says_all_that_it_may_is_refused_nothing(extended):
    assert [str(each) for each in policies.check(extended.registrations).findings] == []


def test_the_port_of_a_storage_of_ones_own_may_be_called(own_storage):
    assert uncalled(own_storage) == []


@pytest.mark.parametrize("caller", ["database-postgres", "backup-run", "backup-exporter"])
def test_another_port_may_not(own_storage, caller):
    def opened(registration: Registration) -> Registration:
        if registration.name != f"{caller}-to-storage":
            return registration
        text = json.dumps(registration.unmasked).replace("8443", "8444")
        return dataclasses.replace(registration, unmasked=json.loads(text))

    (finding,) = uncalled(tuple(map(opened, own_storage)))
    assert f"{caller}-to-storage" in finding
