"""A plan, for those who approve it."""

from __future__ import annotations

from collections import Counter

from infra.environments.engine import Change
from infra.environments.plan import Plan

FOLDED = 40  # steps; more of them are folded away


def text(plan: Plan) -> str:
    """For a terminal."""
    return "\n".join([*_steps(plan), f"{plan.stack}: {summary(plan)}. Fingerprint {plan.fingerprint}"])


def markdown(plan: Plan) -> str:
    """For the page on which it is approved."""
    steps = _steps(plan)
    lost = [step for step in steps if step.startswith(("delete", "replace"))]
    return "\n".join(
        [
            f"## Plan of `{plan.stack}`: {summary(plan)}",
            "",
            f"Fingerprint `{plan.fingerprint}`, of {plan.revision or 'no revision'}, made {plan.made}.",
            "",
            *(f"- **{step}**" for step in lost),
            "",
            f"<details{'' if len(steps) > FOLDED else ' open'}><summary>Steps</summary>",
            "",
            "```",
            *steps,
            "```",
            "",
            "</details>",
        ]
    )


def summary(plan: Plan) -> str:
    """How many steps of which kind."""
    counts = Counter(step["operation"] for step in plan.steps)
    return ", ".join(f"{count} to {operation}" for operation, count in sorted(counts.items())) or "nothing to do"


def _steps(plan: Plan) -> list[str]:
    return [str(Change(**{**step, "properties": tuple(step["properties"])})) for step in plan.steps]
