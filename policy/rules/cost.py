"""What a stack asks for stays within what was agreed on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from policy.kinds import CLAIM
from policy.model import Control, Node, Resource, Violation
from policy.stack import STACK, Pods, Stack, stack_rule

AGREED = Control(
    "FinOps Framework, Budgeting; AWS Well-Architected, COST02-BP05: implement cost controls",
    "https://www.finops.org/framework/capabilities/budgeting/",
)

GIB = 1024**3
# Source: Kubernetes documentation, "Quantity".
QUANTITY = re.compile(r"([0-9.]+)(m|k|[KMGTP]i|[MGTP])?")
FACTORS = {"": Decimal(1), "m": Decimal("0.001"), "k": Decimal(1000)}
FACTORS |= {suffix: Decimal(1000) ** power for power, suffix in enumerate("MGTP", 2)}
FACTORS |= {f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", 1)}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The most that a stack may request, with every autoscaler at its maximum, and for how many nodes agents count."""

    cores: int
    memory: int  # GiB
    storage: int  # GiB
    nodes: int


# What each environment requests today (`mcenv preview` tells when it is more), and a third on top for what is to come.
BUDGETS = {
    "local": Budget(cores=20, memory=48, storage=160, nodes=3),
    "dev": Budget(cores=8, memory=24, storage=160, nodes=3),
    "prod": Budget(cores=40, memory=120, storage=2000, nodes=10),
}


@stack_rule(AGREED, "Request less, or have the budget in policy/rules/cost.py raised by who pays.", STACK)
def within_budget(_: Resource, stack: Stack) -> Iterator[Violation]:
    """All requests of a stack together are within the budget of its environment."""
    budget = BUDGETS.get(stack.environment)
    if budget is None:
        yield "", "is of an environment without a budget; add one to policy/rules/cost.py"
        return
    asked = requested(stack, budget.nodes)
    for what, limit, unit in (
        ("cpu", Decimal(budget.cores), "cores"),
        ("memory", Decimal(budget.memory * GIB), "GiB"),
        ("storage", Decimal(budget.storage * GIB), "GiB"),
    ):
        if asked[what] > limit:
            amount, most = (value if what == "cpu" else value / GIB for value in (asked[what], limit))
            yield "", f"requests {amount:.1f} {unit} of {what}, above the budget of {most:.0f}; request less"


def requested(stack: Stack, nodes: int) -> dict[str, Decimal]:
    """What all pods of a stack request together, with every autoscaler at its maximum; jobs run one at a time."""
    total = dict.fromkeys(("cpu", "memory", "storage"), Decimal(0))
    for pods in stack.pods:
        count = nodes if pods.kind == "DaemonSet" else stack.count(pods)[1]
        for resource in ("cpu", "memory"):
            total[resource] += count * _of(pods, resource)
        if pods.kind == "StatefulSet":
            for template in pods.resource.at("spec", "volumeClaimTemplates").elements():
                total["storage"] += count * _storage(template)
    for claim in stack.of(CLAIM):
        total["storage"] += _storage(claim.root)
    return total


def _storage(claim: Node) -> Decimal:
    return _amount(claim.at("spec", "resources", "requests", "storage"))


def _of(pods: Pods, resource: str) -> Decimal:
    """What one pod requests: its containers together, or the largest that runs before them if that is more."""
    running, before = list(pods.spec.at("containers").elements()), [Node("", None)]
    for container in pods.spec.at("initContainers").elements():
        (running if container.at("restartPolicy").value == "Always" else before).append(container)
    together = sum((_amount(each.at("resources", "requests", resource)) for each in running), Decimal(0))
    return max(together, *(_amount(each.at("resources", "requests", resource)) for each in before))


def _amount(quantity: Node) -> Decimal:
    found = QUANTITY.fullmatch(str(quantity.value or 0))
    if found is None:
        return Decimal(0)  # no quantity: found by resource_requests
    return Decimal(found[1]) * FACTORS[found[2] or ""]


RULES = (within_budget,)
