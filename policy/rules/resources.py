"""Every container says what it needs and where it ends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from policy.model import Control, Violation
from policy.pods import Container, container_rule

MANAGED = Control(
    "Kubernetes documentation, Resource Management for Pods and Containers",
    "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
)

QUANTITY = re.compile(r"(?=.*[1-9])\d+(\.\d+)?([numkMGTPE]|[KMGTPE]i|e\d+)?", re.ASCII)


@container_rule(MANAGED, "Set resources.requests for cpu, memory and ephemeral-storage.")
def resource_requests(container: Container) -> Iterator[Violation]:
    """The scheduler knows what each container needs."""
    yield from _unset(container, "requests", ("cpu", "memory", "ephemeral-storage"))


@container_rule(MANAGED, "Set resources.limits for memory and ephemeral-storage.")
def resource_limits(container: Container) -> Iterator[Violation]:
    """No container takes its node's memory or disk from the others. A CPU limit would only slow it down."""
    yield from _unset(container, "limits", ("memory", "ephemeral-storage"))


def _unset(container: Container, kind: str, names: Iterable[str]) -> Iterator[Violation]:
    if container.role == "ephemeral":  # the API forbids resources there
        return
    for name in names:
        amount = container.at("resources", kind, name)
        if amount.value is None or not QUANTITY.fullmatch(str(amount.value)):
            yield amount.path, f"is not a quantity above zero; say how much {name} the container {_VERBS[kind]}"


_VERBS = {"requests": "needs", "limits": "may take"}

RULES = (resource_requests, resource_limits)
