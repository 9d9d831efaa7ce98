"""The arithmetic that `make scaling` compares a real autoscaler with, on what the application declares."""

import pytest

from tests.system.pace import Demand, Step, judge, limit

LOADED = (Demand(0, 3), Demand(100, 20), Demand(1000, 3))


@pytest.fixture(scope="session")
def spec(platform):
    return platform.one("v2:HorizontalPodAutoscaler", "modelcard-generator-hpa")["spec"]


def path(spec, direction, start, end):
    """The counts of one step a minute, each as far as it may go."""
    counts, steps = [start], []
    while counts[-1] != end:
        at = 60.0 * len(counts)
        counts.append(limit(spec, direction, steps, at, counts[-1]))
        steps.append(Step(at, *counts[-2:]))
    return counts


def test_it_grows_by_half_or_by_two_pods_a_minute_whichever_is_more(spec):
    assert path(spec, "scaleUp", 3, 20) == [3, 5, 8, 12, 18, 20]


def test_it_shrinks_by_a_tenth_a_minute(spec):
    assert path(spec, "scaleDown", 20, 3) == [20, 18, 16, 14, 12, 10, 9, 8, 7, 6, 5, 4, 3]


@pytest.mark.parametrize(("seconds", "furthest"), [(1, 5), (59, 5), (60, 8)])
def test_what_it_did_within_the_period_counts(spec, seconds, furthest):
    assert limit(spec, "scaleUp", [Step(0, 3, 5)], seconds, 5) == furthest


def test_half_a_step_may_be_followed_by_the_other_half(spec):
    assert limit(spec, "scaleUp", [Step(0, 8, 10)], 15, 10) == 12


@pytest.mark.parametrize(
    ("select", "up", "down"), [("Max", 15, 8), ("Min", 12, 9), ("Disabled", 10, 10)], ids=["max", "min", "disabled"]
)
def test_which_policy_counts_is_declared(select, up, down):
    policies = [
        {"type": "Percent", "value": 50, "periodSeconds": 60},
        {"type": "Pods", "value": 2, "periodSeconds": 60},
    ]
    fewer = [{"type": "Percent", "value": 10, "periodSeconds": 60}, {"type": "Pods", "value": 2, "periodSeconds": 60}]
    spec = {
        "minReplicas": 1,
        "maxReplicas": 100,
        "behavior": {
            "scaleUp": {"selectPolicy": select, "policies": policies},
            "scaleDown": {"selectPolicy": select, "policies": fewer},
        },
    }
    assert (limit(spec, "scaleUp", [], 0, 10), limit(spec, "scaleDown", [], 0, 10)) == (up, down)


def problems(spec, *steps):
    return [each.problem for each in judge(spec, [Step(*each) for each in steps], LOADED, slack=1)]


def test_what_the_behaviour_declares_has_no_problem(spec):
    up = [(165, 3, 5), (240, 5, 8), (315, 8, 12), (375, 12, 18), (450, 18, 20)]
    assert problems(spec, *up, (1305, 20, 18), (1365, 18, 16)) == [None] * 7


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(165, 3, 6)], 5),
        ([(165, 3, 4)], 5),
        ([(150, 3, 5)], 3),
        ([(165, 3, 5), (210, 5, 8)], 5),
        ([(1290, 20, 18)], 20),
        ([(1305, 20, 17)], 18),
        ([(1305, 20, 18), (1350, 18, 16)], 18),
        ([(600, 20, 18)], 20),
    ],
    ids=[
        "too far",
        "not far enough",
        "before the window",
        "within the period",
        "down before the window",
        "down too far",
        "down within the period",
        "down under load",
    ],
)
def test_what_it_does_not_declare_is_told(spec, steps, expected):
    assert problems(spec, *steps)[-1] == f"the declared behaviour gives {expected}"


def test_a_step_is_shown_with_the_time_from_which_it_was_allowed(spec):
    judged = judge(spec, [Step(165, 3, 5), Step(240, 5, 8), Step(1305, 20, 18)], LOADED, slack=1)
    assert [each.earliest for each in judged] == [160, 225, 1300]
