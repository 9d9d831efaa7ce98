"""How much a rule counts, by environment, and what is told of it."""

from __future__ import annotations

import json
from datetime import date

import pytest

from infra.defaults import ENVIRONMENTS
from policy.engine import run_of
from policy.exceptions import PolicyException
from policy.levels import RELAXED, STRICTEST, Level, level_of
from policy.model import UNKNOWN
from policy.rules import ALL
from policy.rules.cost import BUDGETS
from policy.runner import check
from tests.policy.cases import change, option

TODAY = date(2026, 3, 1)
SINGLE = change("several-replicas", "Deployment::edge", "spec/replicas", 1)


def test_everything_is_mandatory_in_prod_and_where_nobody_knows():
    for environment in (STRICTEST, "staging", ""):
        assert {level_of(rule.name, environment) for rule in ALL} == {Level.MANDATORY}


def test_what_counts_less_exists_and_has_a_reason():
    assert frozenset().union(*(each.rules for each in RELAXED)) <= {rule.name for rule in ALL}
    assert all(each.why and set(each.levels) <= set(ENVIRONMENTS) for each in RELAXED)


def test_every_environment_has_a_budget():
    assert set(BUDGETS) == set(ENVIRONMENTS)


def test_advice_does_not_fail_a_stack():
    report = check(SINGLE.violating, today=TODAY, environment="dev", exceptions=())
    assert report.passed
    assert [finding.rule for finding in report.advice] == ["several-replicas"]
    assert not check(SINGLE.violating, today=TODAY, environment="prod", exceptions=()).passed


def test_what_cannot_be_judged_fails_where_the_rule_only_advises_too():
    assert not check(SINGLE.changed(UNKNOWN), today=TODAY, environment="dev", exceptions=()).passed


def test_a_disabled_rule_does_not_run():
    unprotected = option("kept-data", "Bucket::bucket", "protect").violating
    report = check(unprotected, today=TODAY, environment="local", exceptions=())
    assert report.passed
    assert not report.advice
    assert "kept-data" not in report.rules_run


def test_an_exception_from_a_disabled_rule_is_not_called_unused():
    exception = PolicyException(
        rule="kept-data",
        resource="aws:s3/bucket:Bucket::bucket",
        owner="platform-team",
        reason="It holds what can be made again at any time.",
        granted=TODAY,
        expires=date(2026, 12, 31),
    )
    unprotected = option("kept-data", "Bucket::bucket", "protect").violating
    assert check(unprotected, today=TODAY, environment="local", exceptions=[exception]).passed


@pytest.mark.parametrize(
    ("variables", "environment", "preview"),
    [
        ({}, "prod", False),
        ({"PULUMI_CONFIG": "{}", "PULUMI_DRY_RUN": "false"}, "prod", False),
        (
            {"PULUMI_CONFIG": json.dumps({"modelcard-platform:environment": "dev"}), "PULUMI_DRY_RUN": "true"},
            "dev",
            True,
        ),
    ],
)
def test_the_engine_says_which_environment_it_deploys(variables, environment, preview):
    run = run_of(variables, today=TODAY)
    assert (run.environment, run.preview) == (environment, preview)
