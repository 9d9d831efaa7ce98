"""The pack as the Pulumi engine sees it: its adapter, and the real process over gRPC."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy import (
    EnforcementLevel,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.policy import PolicyCustomTimeouts, _NotApplicableError
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policy.engine import Run, as_policy, policies
from policy.exceptions import PolicyException
from policy.model import UNKNOWN, Control, Resource, Rule
from policy.rules import ALL
from policy.rules.restricted import no_host_namespaces
from policy.stack import StackRule
from policy.values import SECRET, SIGNATURE
from tests.policy.small_stack import SMALL

ROOT = Path(__file__).parents[2]
PACK = ROOT / "policy"
TODAY = date(2026, 3, 1)
BY_NAME = {rule.name: rule for rule in ALL}
Stub = analyzer_pb2_grpc.AnalyzerStub


def shown(resource: Resource) -> ResourceValidationArgs:
    """A resource as the engine hands it over."""
    options = PolicyResourceOptions(resource.protect, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])
    props = unknown_checking_proxy(dict(resource.properties))
    return ResourceValidationArgs(resource.type, props, resource.urn, resource.name, options, None)


def reported(resource: Resource, rule: Rule, *exceptions: PolicyException, preview: bool = False) -> list[str]:
    """What the adapter reports of a resource handed over as the engine does."""
    found: list[str] = []
    run = Run(today=TODAY, exceptions=exceptions, preview=preview)
    as_policy(rule, run).validate(shown(resource), lambda message, _=None: found.append(message))
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
    made = list(policies(Run(today=TODAY)))
    assert [policy.name for policy in made] == [*(rule.name for rule in ALL), "policy-exception"]
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


def named(name: str, run: Run) -> StackValidationPolicy:
    return next(each for each in policies(run) if each.name == name)


def told(policy: StackValidationPolicy, resources: list[Resource]) -> list[str]:
    """What a policy of the stack reports."""
    options = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])
    sent = [
        PolicyResource(
            each.type, unknown_checking_proxy(dict(each.properties)), each.urn, each.name, options, None, None, [], {}
        )
        for each in resources
    ]
    found: list[str] = []
    policy.validate(StackValidationArgs(sent), lambda message, _=None: found.append(message))
    return found


def test_an_exception_beyond_its_time_ends_the_run_by_itself():
    run = Run(today=TODAY, exceptions=[granted(date(2026, 2, 28))])
    assert ["expired on 2026-02-28" in message for message in told(named("policy-exception", run), [])] == [True]
    assert told(named("policy-exception", Run(today=TODAY, exceptions=[granted(TODAY)])), []) == []


def test_a_stack_is_judged_by_what_was_declared_not_by_what_a_cluster_filled_in(deployment):
    run = Run(today=TODAY)
    scaler = next(each for each in SMALL if each.type.endswith("HorizontalPodAutoscaler"))
    for resource in (deployment, scaler):
        as_policy(BY_NAME["known-kind"], run).validate(shown(resource), lambda message, _=None: None)
    filled_in = replace(deployment, properties={**deployment.properties, "spec": {"replicas": 1}})
    assert told(named("autoscaler-decides-alone", run), [filled_in, scaler]) == []
    assert told(named("autoscaler-decides-alone", Run(today=TODAY)), [filled_in, scaler])


def test_a_document_that_exists_only_later_is_judged_before_its_resource_is_made():
    rule = BY_NAME["no-wildcard-grant"]
    policy = next(each for each in SMALL if each.type == "aws:iam/policy:Policy")
    later = replace(policy, properties={**policy.properties, "policy": UNKNOWN_STRING_VALUE})
    with pytest.raises(_NotApplicableError) as told_later:
        reported(later, rule, preview=True)
    assert told_later.value.reason == "policy exists only later: judged before writer is made"
    assert "cannot be checked" in reported(later, rule)[0]


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
def analyzer() -> Iterator[Stub]:
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


def analyzed(resource: Resource, run: str, message: type[Any]) -> Any:
    """A resource as the engine sends it; each run of a test is about resources of its own."""
    properties = struct_pb2.Struct()
    properties.update(on_the_wire(resource.properties))
    sent = message(type=resource.type, name=resource.name, urn=f"{resource.urn}{run}", properties=properties)
    sent.options.protect = resource.protect
    return sent


def analyze(analyzer: Stub, resources: list[Resource], run: str, rule: str) -> list[str]:
    """What a policy says of the last of these: alone, or among the others if it is about all of them."""
    others = {name: analyzer_pb2.PolicyConfig(enforcementLevel=analyzer_pb2.DISABLED) for name in {*BY_NAME} - {rule}}
    analyzer.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=others), timeout=30)
    if isinstance(BY_NAME[rule], StackRule):
        request = analyzer_pb2.AnalyzeStackRequest()
        for resource in resources:
            sent = analyzed(resource, run, analyzer_pb2.AnalyzerResource)
            for key, on in resource.depends.items():
                sent.propertyDependencies[key].urns.extend(f"{each}{run}" for each in on)
            request.resources.append(sent)
        response = analyzer.AnalyzeStack(request, timeout=60)
    else:
        response = analyzer.Analyze(analyzed(resources[-1], run, analyzer_pb2.AnalyzeRequest), timeout=30)
    found = [each for each in response.diagnostics if each.policyName == rule]
    assert {each.enforcementLevel for each in found} <= {analyzer_pb2.MANDATORY}
    return [each.message for each in found]


def test_the_engine_is_told_about_every_rule(analyzer):
    info = analyzer.GetAnalyzerInfo(empty_pb2.Empty(), timeout=30)
    assert info.name == "modelcard-platform"
    assert [policy.name for policy in info.policies] == [*(rule.name for rule in ALL), "policy-exception"]
    assert {policy.enforcementLevel for policy in info.policies} == {analyzer_pb2.MANDATORY}


def test_a_small_stack_passes_over_the_wire(analyzer):
    analyzer.Configure(analyzer_pb2.ConfigureAnalyzerRequest(), timeout=30)
    request = analyzer_pb2.AnalyzeStackRequest()
    for resource in SMALL:
        assert analyzer.Analyze(analyzed(resource, "", analyzer_pb2.AnalyzeRequest), timeout=30).diagnostics == []
        request.resources.append(analyzed(resource, "", analyzer_pb2.AnalyzerResource))
        for key, on in resource.depends.items():
            request.resources[-1].propertyDependencies[key].urns.extend(on)
    assert list(analyzer.AnalyzeStack(request, timeout=60).diagnostics) == []


def test_violations_unknowns_and_secrets_are_mandatory_over_the_wire(analyzer, case):
    if case.path == ("retain",):
        return  # the engine does not tell policies; the preview, which comes before each deployment, does
    found = analyze(analyzer, case.violating, f"violating {case}", case.rule)
    assert found
    assert not [message for message in found if "hunter2" in message]
    if case.has_place:
        unknown = analyze(analyzer, case.changed(UNKNOWN), f"unknown {case}", case.rule)
        assert [message for message in unknown if f"{case.rule} cannot be checked" in message]
    if case.has_value:
        hidden = case.changed({SIGNATURE: SECRET, "value": case.value})
        assert analyze(analyzer, hidden, f"secret {case}", case.rule) == found
