"""Exceptions excuse one rule of one resource for a while, and are found out when they should be gone."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial

import pytest

from policy.exceptions import EXCEPTIONS, PolicyException
from policy.model import UNKNOWN, Control, Resource, Rule
from policy.rules import ALL
from policy.runner import check as check_all

TODAY = date(2026, 3, 1)
ALONE = [rule for rule in ALL if isinstance(rule, Rule)]
check = partial(check_all, rules=ALONE)
VALID = {
    "rule": "no-host-namespaces",
    "resource": "kubernetes:apps/v1:Deployment::app",
    "owner": "platform-team",
    "reason": "It measures the network of the node itself.",
    "granted": date(2026, 1, 1),
    "expires": date(2026, 12, 31),
}


def exception(**changes: object) -> PolicyException:
    return PolicyException(**{**VALID, **changes})


@pytest.fixture
def on_the_host(deployment) -> Resource:
    deployment.properties["spec"]["template"]["spec"]["hostNetwork"] = True
    return deployment


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"reason": "legacy"}, "reason must be a sentence"),
        ({"reason": " " * 40}, "reason must be a sentence"),
        ({"owner": ""}, "owner must be a team"),
        ({"owner": "jane@example.com"}, "owner must be a team"),
        ({"resource": "app"}, "resource must be type::name"),
        ({"expires": date(2025, 12, 31)}, "expires must be after granted"),
        ({"expires": date(2027, 1, 3)}, "expires must be within a year of granted"),
    ],
)
def test_an_exception_that_nobody_answers_for_is_refused(changes, problem):
    with pytest.raises(ValueError, match=problem):
        exception(**changes)


def test_all_problems_of_an_exception_are_reported_at_once():
    with pytest.raises(ValueError, match=r"owner must be a team.*; reason must be a sentence"):
        exception(owner="jane", reason="legacy")


def test_an_exception_excuses_its_rule(on_the_host):
    report = check([on_the_host], today=TODAY, exceptions=[exception()])
    assert report.passed
    assert [(finding.path, excuse.owner) for finding, excuse in report.excepted] == [
        ("spec.template.spec.hostNetwork", "platform-team"),
    ]


@pytest.mark.parametrize("today", [VALID["granted"], VALID["expires"]])
def test_an_exception_counts_on_its_first_and_its_last_day(today, on_the_host):
    assert check([on_the_host], today=today, exceptions=[exception()]).passed


def test_an_exception_excuses_nothing_else(on_the_host):
    on_the_host.properties["spec"]["template"]["spec"]["automountServiceAccountToken"] = None
    report = check([on_the_host], today=TODAY, exceptions=[exception()])
    assert [finding.rule for finding in report.findings] == ["deliberate-token"]


@pytest.mark.parametrize(
    ("today", "why"),
    [
        (date(2027, 1, 1), "expired on 2026-12-31"),
        (date(2025, 12, 31), "does not count before 2026-01-01"),
    ],
)
def test_an_exception_out_of_date_excuses_nothing_and_is_found(today, why, on_the_host):
    report = check([on_the_host], today=today, exceptions=[exception()])
    assert {finding.rule for finding in report.findings} == {"no-host-namespaces", "policy-exception"}
    assert [finding for finding in report.findings if why in finding.message]


@pytest.mark.parametrize("changes", [{}, {"rule": "no-such-rule"}])
def test_an_unused_exception_is_found(changes, deployment):
    (finding,) = check([deployment], today=TODAY, exceptions=[exception(**changes)]).findings
    assert finding.message.endswith("excuses nothing; remove it")


def test_an_exception_for_what_this_stack_does_not_have_waits_for_those_that_do(deployment):
    elsewhere = exception(resource="kubernetes:apps/v1:Deployment::elsewhere")
    assert check([deployment], today=TODAY, exceptions=[elsewhere]).passed


def test_an_exception_excuses_what_cannot_be_known_yet(deployment):
    deployment.properties["spec"]["template"]["spec"]["hostNetwork"] = UNKNOWN
    assert check([deployment], today=TODAY, exceptions=[exception()]).passed


def test_no_exception_excuses_a_rule_that_fails(deployment):
    rule = Rule(
        name="no-host-namespaces",
        summary="Always fails.",
        control=Control("none", "https://example.com"),
        remedy="None.",
        kinds=frozenset({deployment.type}),
        check=lambda resource: resource.properties["absent"],
    )
    report = check([deployment], today=TODAY, exceptions=[exception()], rules=[rule])
    assert "internal error in rule no-host-namespaces (KeyError at test_exceptions.py:" in report.findings[0].message


def test_the_exceptions_in_force_name_rules_that_exist():
    assert {each.rule for each in EXCEPTIONS} <= {rule.name for rule in ALL}


def test_a_year_is_the_longest():
    longest = exception(expires=VALID["granted"] + timedelta(days=366))
    assert longest.expires == date(2027, 1, 2)
