"""The pack as the Pulumi engine sees it: its adapter, and the real process over gRPC."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy import EnforcementLevel, PolicyResourceOptions, ResourceValidationArgs
from pulumi_policy.policy import PolicyCustomTimeouts
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policy.engine import as_policy, policies
from policy.exceptions import PolicyException
from policy.model import UNKNOWN, Control, Resource, Rule
from policy.rules import ALL
from policy.rules.restricted import no_host_namespaces
from policy.values import SECRET, SIGNATURE

ROOT = Path(__file__).parents[2]
PACK = ROOT / "policy"
TODAY = date(2026, 3, 1)


def reported(resource: Resource, rule: Rule, *exceptions: PolicyException) -> list[str]:
    """What the adapter reports of a resource handed over as the engine does."""
    options = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])
    props = unknown_checking_proxy(dict(resource.properties))
    args = ResourceValidationArgs(resource.type, props, "urn", resource.name, options, None)
    found: list[str] = []
    as_policy(rule, today=TODAY, exceptions=exceptions).validate(args, lambda message, _=None: found.append(message))
    return found


@pytest.fixture
def on_the_host(deployment) -> Resource:
    deployment.properties["spec"]["template"]["spec"]["hostNetwork"] = True
    return deployment


def granted(expires: date) -> PolicyException:
    return PolicyException(
        rule="no-host-namespaces",
        resource="kubernetes:apps/v1:Deployment::app",
        owner="platform-team",
        reason="It measures the network of the node itself.",
        granted=date(2025, 6, 1),
        expires=expires,
    )


def test_every_rule_becomes_a_mandatory_policy():
    made = list(policies(today=TODAY))
    assert [policy.name for policy in made] == [rule.name for rule in ALL]
    assert {policy.enforcement_level for policy in made} == {EnforcementLevel.MANDATORY}


def test_a_rule_that_fails_becomes_a_violation(deployment):
    def fail(_: Resource) -> list[tuple[str, str]]:
        raise ValueError("hunter2")

    kinds = frozenset({deployment.type})
    broken = Rule(name="broken", summary="Fails.", control=Control("-", "-"), remedy="-", kinds=kinds, check=fail)
    (message,) = reported(deployment, broken)
    assert "internal error in rule broken (ValueError at test_engine.py:" in message


def test_an_exception_excuses_its_rule_in_the_engine_too(on_the_host):
    assert reported(on_the_host, no_host_namespaces, granted(date(2026, 3, 1))) == []


def test_an_expired_exception_is_told_beside_the_violation(on_the_host):
    violation, note = reported(on_the_host, no_host_namespaces, granted(date(2026, 2, 28)))
    assert "hostNetwork" in violation
    assert "expired on 2026-02-28" in note


def test_an_expired_exception_does_not_block_a_resource_that_complies(deployment):
    assert reported(deployment, no_host_namespaces, granted(date(2026, 2, 28))) == []


def start(*options: str) -> subprocess.Popen[bytes]:
    """Start the pack as the engine does: its launcher from PATH, in the folder of the pack."""
    launcher = PACK / "bin" / "pulumi-analyzer-policy-python"
    search_path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return subprocess.Popen(
        [launcher, "127.0.0.1:1", ".", *options],
        cwd=PACK,
        env={**os.environ, "PATH": search_path, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )


@pytest.fixture(scope="module")
def analyzer() -> Iterator[analyzer_pb2_grpc.AnalyzerStub]:
    with start(f"-virtualenv={sys.prefix}") as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().decode().strip()
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield analyzer_pb2_grpc.AnalyzerStub(channel)
        finally:
            process.terminate()


def on_the_wire(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: on_the_wire(each) for key, each in value.items()}
    if isinstance(value, list):
        return [on_the_wire(each) for each in value]
    return UNKNOWN_STRING_VALUE if value is UNKNOWN else value


def analyze(analyzer: analyzer_pb2_grpc.AnalyzerStub, resource: Resource) -> list[analyzer_pb2.AnalyzeDiagnostic]:
    properties = struct_pb2.Struct()
    properties.update(on_the_wire(resource.properties))
    request = analyzer_pb2.AnalyzeRequest(
        type=resource.type, name=resource.name, urn=f"urn:pulumi:dev::test::{resource}", properties=properties
    )
    diagnostics = list(analyzer.Analyze(request, timeout=30).diagnostics)
    assert {diagnostic.enforcementLevel for diagnostic in diagnostics} <= {analyzer_pb2.MANDATORY}
    return diagnostics


def test_the_engine_is_told_about_every_rule(analyzer):
    info = analyzer.GetAnalyzerInfo(empty_pb2.Empty(), timeout=30)
    assert info.name == "modelcard-platform"
    assert [policy.name for policy in info.policies] == [rule.name for rule in ALL]
    assert {policy.enforcementLevel for policy in info.policies} == {analyzer_pb2.MANDATORY}


def test_compliant_resources_pass_over_the_wire(analyzer, deployment, config_map):
    assert analyze(analyzer, deployment) == []
    assert analyze(analyzer, config_map) == []


def test_a_violation_is_mandatory_over_the_wire(analyzer, case):
    found = [each for each in analyze(analyzer, case.violating) if each.policyName == case.rule]
    assert str(case.compliant) in found[0].message


def test_an_unknown_value_is_mandatory_over_the_wire(analyzer, case):
    found = [each.message for each in analyze(analyzer, case.changed(UNKNOWN)) if each.policyName == case.rule]
    assert [message for message in found if f"{case.rule} cannot be checked" in message]


def test_a_secret_value_is_checked_and_not_told_over_the_wire(analyzer, case):
    plain = [each.message for each in analyze(analyzer, case.violating)]
    if case.has_value:
        hidden = analyze(analyzer, case.changed({SIGNATURE: SECRET, "value": case.value}))
        assert [each.message for each in hidden] == plain
    assert not [message for message in plain if "hunter2" in message]
