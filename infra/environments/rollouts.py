"""Whether the pods that run are those that were declared: what the provider's own waiting can miss.

pulumi-kubernetes 4.25 takes a Deployment for ready that its controller has not looked at yet: the status that it reads
is then the one from before the change (`pkg/await/deployment.go` compares `observedGeneration` for one old API only).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kubernetes import client

from infra.environments.local.waiting import wait_until


def unfinished(api: Any, namespaces: Iterable[str], *, within: float) -> list[str]:
    """What has not rolled out after `within` seconds, or has given up before: one line each, with its name in front."""
    last: list[str] = []

    def settled() -> bool:
        nonlocal last
        states = [state for namespace in namespaces for state in _states(api, namespace)]
        last = [problem for problem, _ in states if problem]
        return not last or any(final for _, final in states)

    wait_until(settled, within)
    return last


def _states(api: Any, namespace: str) -> Iterator[tuple[str, bool]]:
    """Per workload: what is missing ("" if nothing is), and whether waiting is in vain."""
    apps: Any = client.AppsV1Api(api)
    for each in apps.list_namespaced_deployment(namespace).items:
        updated, available = each.status.updated_replicas, each.status.available_replicas
        yield _state(each, each.spec.replicas, updated, available), _given_up(each)
    for each in apps.list_namespaced_stateful_set(namespace).items:
        yield _state(each, each.spec.replicas, each.status.updated_replicas, each.status.ready_replicas), False
    for each in apps.list_namespaced_daemon_set(namespace).items:
        wanted, status = each.status.desired_number_scheduled, each.status
        yield _state(each, wanted, status.updated_number_scheduled, status.number_available), False


def _state(each: Any, wanted: int, updated: int | None, ready: int | None) -> str:
    """As `kubectl rollout status` decides it."""
    seen = (each.status.observed_generation or 0) >= each.metadata.generation
    done = min(updated or 0, ready or 0) if seen else 0
    return "" if seen and done >= wanted else f"{each.metadata.name}: {done} of {wanted} pods are new and ready"


def _given_up(deployment: Any) -> bool:
    seen = (deployment.status.observed_generation or 0) >= deployment.metadata.generation
    conditions = deployment.status.conditions or ()
    return seen and any(each.reason == "ProgressDeadlineExceeded" for each in conditions)
