"""What a cluster simulates since its image cannot be had, and what would wait for it in vain."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.components import elasticsearch, log_setup
from infra.environments.deployment import SIMULATED

if TYPE_CHECKING:
    from tests.e2e.stack import Stack

LOOK = 5.0  # seconds


def simulated_nodes(stack: Stack) -> set[str]:
    """Nodes without a kubelet."""
    nodes = json.loads(stack.kubectl("get", "nodes", "-o", "json"))["items"]
    return {each["metadata"]["name"] for each in nodes if SIMULATED in each["metadata"].get("annotations", {})}


def simulated_pods(stack: Stack) -> set[str]:
    """Pods that no process stands behind."""
    simulated = simulated_nodes(stack)
    pods = [pod for space in stack.namespaces.values() for pod in stack.get("pods", space)]
    return {pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName") in simulated}


@contextmanager
def finishing(stack: Stack) -> Iterator[None]:
    """As long as it lasts, the Job that sets up Elasticsearch is said to be done where that is simulated."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            try:
                _finish(stack)
            except RuntimeError:  # there is no such Job yet
                continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _finish(stack: Stack) -> None:
    space = stack.namespaces["observability"]
    name = log_setup.WORKLOAD.name
    job = json.loads(stack.kubectl("-n", space, "get", "job", name, "-o", "json"))
    if job["status"].get("completionTime") or f"{elasticsearch.WORKLOAD.name}-0" not in simulated_pods(stack):
        return
    stack.kubectl("-n", space, "patch", "job", name, "--type=merge", "-p", json.dumps({"spec": {"suspend": True}}))
    stack.kubectl("-n", space, "wait", f"job/{name}", "--for=condition=Suspended", "--timeout=60s")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {"type": each, "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
        for each in ("SuccessCriteriaMet", "Complete")
    ]
    status = {
        "startTime": now, "completionTime": now, "succeeded": 1, "active": 0, "ready": 0, "terminating": 0,
        "conditions": conditions,
    }  # fmt: skip
    patch = json.dumps({"status": status})
    stack.kubectl("-n", space, "patch", "job", name, "--subresource=status", "--type=merge", "-p", patch)
