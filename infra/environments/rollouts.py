"""Whether the pods that run are those that were declared: what the provider's own waiting can miss.

pulumi-kubernetes 4.25 takes a Deployment for ready that its controller has not looked at yet: the status that it reads
is then the one from before the change (`pkg/await/deployment.go` compares `observedGeneration` for one old API only).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from kubernetes import client

from infra.environments.local.waiting import wait_until

INTERVAL = 1.0  # seconds between two looks, each of three lists a namespace, at a cluster that serves others, too


def unfinished(api: Any, namespaces: Collection[str], *, within: float) -> list[str]:
    """What has not rolled out after `within` seconds, or has given up before: one line each, with its name in front."""
    last: list[str] = []

    def settled() -> bool:
        nonlocal last
        states = [state for namespace in namespaces for state in _states(api, namespace)]
        last = [problem for problem, _ in states if problem]
        return not last or any(final for _, final in states)

    wait_until(settled, within, interval=INTERVAL)
    return last


def _states(api: Any, namespace: str) -> Iterator[tuple[str, bool]]:
    """Per workload: what is missing ("" if nothing is), and whether waiting is in vain."""
    apps: Any = client.AppsV1Api(api)
    for each in apps.list_namespaced_deployment(namespace).items:
        now = each.status
        missing = _missing(each, each.spec.replicas, now.replicas, now.updated_replicas, now.available_replicas)
        yield missing, _seen(each) and any(why.reason == "ProgressDeadlineExceeded" for why in now.conditions or ())
    for each in apps.list_namespaced_stateful_set(namespace).items:
        now = each.status
        yield _missing(each, each.spec.replicas, now.replicas, now.updated_replicas, now.ready_replicas), False
    for each in apps.list_namespaced_daemon_set(namespace).items:
        now, wanted = each.status, each.status.desired_number_scheduled
        pods = (now.current_number_scheduled, now.updated_number_scheduled, now.number_available)
        yield _missing(each, wanted, *pods), False


def _missing(each: Any, wanted: int, present: int | None, updated: int | None, ready: int | None) -> str:
    """As `kubectl rollout status` decides it: ready pods count once none of them can be an old one."""
    old = (present or 0) - (updated or 0)
    done = max(min(updated or 0, (ready or 0) - old), 0) if _seen(each) else 0
    return "" if _seen(each) and done >= wanted else f"{each.metadata.name}: {done} of {wanted} pods are new and ready"


def _seen(each: Any) -> bool:
    """Whether the status is about what is declared now."""
    return bool((each.status.observed_generation or 0) >= each.metadata.generation)
