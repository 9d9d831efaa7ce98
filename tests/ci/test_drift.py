"""What is said of a cluster that somebody changed by hand."""

from __future__ import annotations

import pytest

from infra.environments.ci import drift
from infra.environments.ci.drift import Drift
from infra.environments.engine import Change
from infra.errors import UserError

CHANGE = Change(
    operation="update", type="kubernetes:apps/v1:Deployment", name="edge-nginx", properties=("spec.replicas",)
)


def ask(stack, progress):
    if stack == "prod":
        raise UserError("prod: the cluster does not answer")
    return [CHANGE] if stack == "dev" else []


def test_each_stack_is_looked_at_even_if_one_cannot_be():
    found = drift.look(["prod", "dev", "local"], print, ask)
    assert [(each.stack, len(each.changes), each.found) for each in found] == [
        ("prod", 0, True),
        ("dev", 1, True),
        ("local", 0, False),
    ]


def test_no_stack_is_no_answer():
    with pytest.raises(UserError, match="no stack named"):
        drift.look([], print, ask)


def test_an_issue_says_what_differs_and_what_to_do(hub, github):
    drift.report(Drift(stack="dev", changes=(CHANGE,)), github)
    (issue,) = hub.issues
    assert issue["title"] == "Drift of dev"
    assert "- `update   apps/v1:Deployment edge-nginx (spec.replicas)`" in issue["body"]
    assert "`mcenv up dev`" in issue["body"]


def test_an_issue_says_that_it_could_not_be_found_out(hub, github):
    drift.report(Drift(stack="prod", failure="prod: the cluster does not answer"), github)
    assert "prod: the cluster does not answer" in hub.issues[0]["body"]


def test_the_issue_is_closed_when_there_is_nothing_left(hub, github):
    drift.report(Drift(stack="dev", changes=(CHANGE,)), github)
    assert drift.report(Drift(stack="dev"), github).what == "closed"
    assert hub.issues[0]["state"] == "closed"
