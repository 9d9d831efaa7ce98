"""The preview's runner: a whole stack in, one report out."""

from __future__ import annotations

from datetime import date
from functools import partial

from pulumi.output import Unknown
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from policy.model import Control, Resource, Rule
from policy.rules import ALL, restricted
from policy.rules.images import pinned_image
from policy.runner import check as check_with_exceptions

TODAY = date(2026, 3, 1)
ALONE = [rule for rule in ALL if isinstance(rule, Rule)]
check = partial(check_with_exceptions, exceptions=(), rules=ALONE)


def with_image(deployment: Resource, image: object) -> Resource:
    deployment.properties["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return deployment


def test_a_compliant_stack_passes(deployment, config_map):
    report = check([deployment, config_map], today=TODAY)
    assert report.passed
    assert report.rules_run == tuple(rule.name for rule in ALONE)
    assert report.resources_checked == 2


def test_resources_that_no_rule_is_about_are_not_counted():
    assert check([Resource("pulumi:providers:kubernetes", "cluster", {})], today=TODAY).resources_checked == 0


def test_a_finding_names_the_place_and_the_remedy(deployment):
    (finding,) = check([with_image(deployment, "docker.io/terragonlabs/app:latest")], today=TODAY).findings
    assert str(finding) == (
        "kubernetes:apps/v1:Deployment::app spec.template.spec.containers[app].image: "
        "has a tag that moves (latest); name its version"
    )


def test_unknowns_fail_closed_however_pulumi_spells_them(deployment):
    for unknown in (Unknown(), UNKNOWN_STRING_VALUE):
        (finding,) = check([with_image(deployment, unknown)], today=TODAY, rules=[pinned_image]).findings
        assert finding.message.startswith("is not known before deployment, so pinned-image cannot be checked")


def test_a_malformed_resource_fails_closed():
    malformed = Resource("kubernetes:apps/v1:Deployment", "app", {"spec": "none"})
    report = check([malformed], today=TODAY, rules=restricted.RULES)
    assert all(finding.internal for finding in report.findings)
    assert "internal error in rule bounded-scratch (TypeError at model.py:" in report.findings[0].message


def test_a_rule_that_fails_becomes_a_finding_without_the_text_of_its_error(deployment):
    def fail(_: Resource) -> list[tuple[str, str]]:
        raise ValueError("hunter2")

    kinds = frozenset({deployment.type})
    broken = Rule(name="broken", summary="-", control=Control("-", "-"), remedy="-", kinds=kinds, check=fail)
    (finding,) = check([deployment], today=TODAY, rules=[broken]).findings
    assert finding.message.startswith("internal error in rule broken (ValueError at test_runner.py:")
    assert "hunter2" not in str(finding)


def test_findings_come_in_a_stable_order(deployment):
    deployment.properties["spec"]["template"]["spec"]["hostNetwork"] = True
    first, second = (
        with_image(deployment, "docker.io/terragonlabs/app:latest"),
        Resource(deployment.type, "zeta", deployment.properties),
    )
    assert check([first, second], today=TODAY).findings == check([second, first], today=TODAY).findings


def test_every_rule_says_who_demands_it_and_what_to_do():
    names = [rule.name for rule in ALL]
    assert len(set(names)) == len(names)
    for rule in ALL:
        assert rule.name == rule.name.lower().replace("_", "-")
        assert rule.control.reference.startswith("https://")
        assert rule.control.title
        assert rule.summary.endswith(".")
        assert rule.remedy.endswith(".")
