"""Each rule as a pure function, on plain values and on what Pulumi hands over in their place."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi_policy import Secret
from pulumi_policy.proxy import UNKNOWN_BOOLEAN_VALUE, UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policy.model import UNKNOWN, Resource, Rule
from policy.pods import SPECS
from policy.rules import ALL, secrets
from policy.rules.workloads import OPAQUE
from policy.runner import check, judge
from policy.stack import STACK, Stack
from policy.values import SECRET, SIGNATURE, plain
from tests.policy.cases import ALWAYS_KNOWN, option
from tests.policy.small_stack import SMALL, small

AS_IT_IS = {id(each) for each in SMALL}
BY_NAME = {rule.name: rule for rule in ALL}
ALONE = [rule for rule in ALL if isinstance(rule, Rule)]


def broken(resource: Resource) -> set[str]:
    """The rules about single resources that one breaks."""
    findings = [finding for rule in ALONE for finding in rule.findings(resource)]
    assert not [finding for finding in findings if finding.internal]
    return {finding.rule for finding in findings}


def messages(rule: str, resources: list[Resource]) -> list[str]:
    """What a rule says of a small stack, of which only what was changed is not plain already."""
    plainly = [each if id(each) in AS_IT_IS else replace(each, properties=plain(each.properties)) for each in resources]
    stack = Stack("prod", (*plainly, Resource(STACK, "prod", {})))
    return [str(finding) for resource in stack.resources for finding in judge(BY_NAME[rule], resource, stack)]


def secret(value: object) -> dict[str, object]:
    return {SIGNATURE: SECRET, "value": value}


def all_secret(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: all_secret(each) for key, each in value.items()}
    return [all_secret(each) for each in value] if isinstance(value, list) else secret(value)


def through_pulumi(resources: list[Resource]) -> list[Resource]:
    def on_the_wire(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: on_the_wire(each) for key, each in value.items()}
        if isinstance(value, list):
            return [on_the_wire(each) for each in value]
        return UNKNOWN_STRING_VALUE if value is UNKNOWN else value

    *others, changed = resources
    return [*others, replace(changed, properties=unknown_checking_proxy(on_the_wire(changed.properties)))]


def test_the_small_stack_breaks_no_rule():
    assert check(small(), today=date(2026, 3, 1), exceptions=()).findings == ()


def test_every_rule_has_a_case(cases):
    assert {case.rule for case in cases} == set(BY_NAME)


def test_every_rule_has_a_case_that_can_be_unknown(cases):
    assert set(BY_NAME) - {case.rule for case in cases if case.has_place} == ALWAYS_KNOWN


def test_a_violation_is_found_in_one_line_that_says_what_to_do(case):
    found = messages(case.rule, case.violating)
    assert found
    for message in found:
        assert "\n" not in message
        assert "; " in message
        assert "internal error" not in message
    assert messages(case.rule, through_pulumi(case.violating)) == found


@pytest.mark.parametrize("hand_over", [lambda resources: resources, through_pulumi], ids=["plain", "proxied"])
def test_an_unknown_value_fails_closed(placed, hand_over):
    found = messages(placed.rule, hand_over(placed.changed(UNKNOWN)))
    assert [message for message in found if f"{placed.rule} cannot be checked; make it a plain value" in message]


def test_an_unknown_name_of_a_namespace_fails_closed():
    namespace = option("kept-namespace", "Namespace::modelcard", "protect").violating
    namespace[-1].properties["metadata"]["name"] = UNKNOWN
    assert "kept-namespace cannot be checked" in messages("kept-namespace", namespace)[0]


def test_a_secret_value_is_checked_and_not_told(valued):
    found = messages(valued.rule, valued.changed(secret(valued.value)))
    assert found == messages(valued.rule, valued.violating)
    assert not [message for message in found if "hunter2" in message]


def test_secret_values_alone_break_no_rule():
    hidden = [replace(each, properties=all_secret(each.properties)) for each in small()]
    assert check(hidden, today=date(2026, 3, 1), exceptions=()).findings == ()


def test_a_value_unknown_in_one_container_leaves_the_others_checked(case_of):
    case = case_of("no-privileged-container", "initContainers")
    resources = case.violating
    resources[-1].properties["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = UNKNOWN
    assert len(messages(case.rule, resources)) == 2


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_the_pods_of_every_workload_are_found(kind, deployment):
    *above, spec = SPECS[kind]
    properties: dict[str, Any] = {spec: {**deployment.properties["spec"]["template"]["spec"], "hostNetwork": True}}
    for key in reversed(above):
        properties = {key: properties}
    assert "no-host-namespaces" in broken(Resource(kind, "workload", properties))


@pytest.mark.parametrize("kind", sorted(OPAQUE))
def test_a_resource_that_hides_pods_is_refused(kind):
    assert broken(Resource(kind, "hidden", {"spec": UNKNOWN})) == {"no-opaque-workload"}


@pytest.mark.parametrize("kind", ["kubernetes:batch/v1:Job", "kubernetes:core/v1:Pod"])
def test_what_runs_to_completion_needs_no_probes(kind, deployment):
    pod = {**deployment.properties["spec"]["template"]["spec"], "restartPolicy": "Never"}
    pod["containers"] = [
        {key: value for key, value in container.items() if not key.endswith("Probe")} for container in pod["containers"]
    ]
    spec = {"template": {"spec": pod}} if kind.endswith("Job") else pod
    assert {"readiness-probe", "liveness-probe"}.isdisjoint(broken(Resource(kind, "once", {"spec": spec})))


def test_the_same_action_may_tell_liveness_if_it_is_more_patient(case_of):
    resource = case_of("liveness-outlasts-readiness", "livenessProbe").violating[-1]
    resource.properties["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["failureThreshold"] = 6
    assert broken(resource) == set()


@pytest.mark.parametrize(
    "image",
    [
        "docker.io/library/postgres:18.1",
        "quay.io/prometheus/prometheus:v3.13.2",
        "docker.io/library/nginx:1.29.4-alpine3.23",
        "docker.io/terragonlabs/app:sha-0a1b2c3",
    ],
)
def test_a_version_names_an_image(image, deployment):
    deployment.properties["spec"]["template"]["spec"]["containers"][0]["image"] = image
    assert broken(deployment) == set()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PASSWORD", True),
        ("clientSecret", True),
        ("SENTRY_DSN", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("GF_SECURITY_ADMIN_PASSWORD", True),
        ("PASSWORD_FILE", False),
        ("CACHE_KEY_PREFIX", False),
        ("TOKEN_TTL_SECONDS", False),
        ("JWT_PUBLIC_KEY", False),
        ("MAX_TOKENS", False),
        ("KEYBOARD", False),
        ("8080", False),
    ],
)
def test_a_name_tells_whether_it_holds_a_secret(name, expected):
    assert secrets.sensitive(name) is expected


TEXT = st.text("abc", max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.just(UNKNOWN_BOOLEAN_VALUE),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT, children, max_size=3),
    max_leaves=10,
)


# A busy machine is no reason to fail.
@given(st.dictionaries(TEXT, JSON, max_size=3))
def test_plain_keeps_everything_but_the_unknowns(properties):
    def expected(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: expected(each) for key, each in value.items()}
        if isinstance(value, list):
            return [expected(each) for each in value]
        return UNKNOWN if value == UNKNOWN_BOOLEAN_VALUE else value

    assert plain(unknown_checking_proxy(properties)) == expected(properties)


@pytest.mark.parametrize(
    ("handed_over", "expected"),
    [
        (Secret("value"), "value"),
        (secret({"key": [secret(1)]}), {"key": [1]}),
        (f"https://{UNKNOWN_STRING_VALUE}/", UNKNOWN),
        (UNKNOWN, UNKNOWN),
    ],
)
def test_plain_sees_through_what_pulumi_wraps_values_in(handed_over, expected):
    assert plain(handed_over) == expected
