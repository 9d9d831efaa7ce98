"""How fast an autoscaler may scale: arithmetic on what it declares, apart from the controller that does it.

Source: kubernetes.io, "Horizontal Pod Autoscaling", "Configurable scaling behavior"; the controller of Kubernetes 1.33.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """A change of the number of replicas, at a time in seconds."""

    at: float
    before: int
    after: int


@dataclass(frozen=True)
class Demand:
    """From this time on the load asks for so many replicas, within the autoscaler's bounds."""

    at: float
    replicas: int


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A step, how far the policies let it go, after which time they let it happen, and what is wrong with it."""

    step: Step
    limit: int
    earliest: float
    problem: str | None


def judge(spec: Spec, steps: Sequence[Step], demands: Sequence[Demand], slack: float) -> list[Judgement]:
    """Each step as the declared behaviour has it. `slack` is how wrong the recorded times may be, in seconds."""
    return [_judgement(spec, steps[:number], step, demands, slack) for number, step in enumerate(steps)]


def limit(spec: Spec, direction: str, earlier: Sequence[Step], at: float, replicas: int) -> int:
    """The furthest count to which the policies of `scaleUp` or `scaleDown` let the autoscaler go at a time."""
    rules = spec["behavior"][direction]
    select = rules.get("selectPolicy", "Max")
    if select == "Disabled":
        return replicas
    proposals = [_proposal(policy, direction, earlier, at, replicas) for policy in rules["policies"]]
    furthest = (max if select == "Max" else min) if direction == "scaleUp" else (min if select == "Max" else max)
    bounded = min(max(furthest(proposals), spec["minReplicas"]), spec["maxReplicas"])
    return max(bounded, replicas) if direction == "scaleUp" else min(bounded, replicas)


def _proposal(policy: Mapping[str, Any], direction: str, earlier: Sequence[Step], at: float, replicas: int) -> int:
    """What one policy makes of the count at the beginning of its period; it rounds in the direction of the change."""
    within = [each for each in earlier if each.at > at - policy["periodSeconds"]]
    start = replicas - sum(each.after - each.before for each in within)
    sign = 1 if direction == "scaleUp" else -1
    if policy["type"] == "Pods":
        return start + sign * policy["value"]
    return sign * -(-sign * start * (100 + sign * policy["value"]) // 100)


def _judgement(spec: Spec, earlier: Sequence[Step], step: Step, demands: Sequence[Demand], slack: float) -> Judgement:
    direction = "scaleUp" if step.after > step.before else "scaleDown"
    rules = spec["behavior"][direction]
    furthest = limit(spec, direction, earlier, step.at + slack, step.before)
    window = rules["stabilizationWindowSeconds"]
    asked = _asked(demands, step.at + slack - window, step.at)
    # Upwards the lowest recommendation of the window counts, downwards the highest.
    wanted = min(asked) if direction == "scaleUp" else max(asked)
    expected = min(wanted, furthest) if direction == "scaleUp" else max(wanted, furthest)
    return Judgement(
        step=step,
        limit=furthest,
        earliest=_earliest(rules, earlier, demands, step.at),
        problem=None if step.after == expected else f"the declared behaviour gives {expected}",
    )


def _asked(demands: Sequence[Demand], begin: float, end: float) -> list[int]:
    """All that was asked for at some time between the two."""
    ends = [*(each.at for each in demands[1:]), float("inf")]
    return [each.replicas for each, until in zip(demands, ends, strict=True) if each.at < end and until > begin]


def _earliest(rules: Mapping[str, Any], earlier: Sequence[Step], demands: Sequence[Demand], at: float) -> float:
    """When the window since the demand changed and the period of the step before are both over."""
    changed = max(each.at for each in demands if each.at <= at)
    stabilised = changed + rules["stabilizationWindowSeconds"]
    period = max(policy["periodSeconds"] for policy in rules["policies"])
    return max([stabilised, *(each.at + period for each in earlier[-1:])])
