"""Load brings more pods, and its end takes them away again."""

from __future__ import annotations

import httpx
import pytest

from infra.components import app
from tests.app.servers import eventually
from tests.e2e.entrance import under_load
from tests.e2e.stack import Stack

RATE = 150.0  # requests a second: three pods' worth of `http_requests_per_second`, and of a node's processors
# Kubernetes waits five minutes before it takes a pod away, and then takes a tenth of them a minute.
PATIENCE = 900  # seconds


def replicas(stack: Stack) -> tuple[int, int, int]:
    """How many pods the autoscaler wants, and between which numbers it may choose."""
    (autoscaler,) = stack.get("hpa", stack.namespaces["application"])
    spec = autoscaler["spec"]
    return autoscaler["status"]["desiredReplicas"], spec["minReplicas"], spec["maxReplicas"]


@pytest.mark.timeout(2400)
def test_the_replicas_follow_the_load(stack: Stack, user: httpx.Client) -> None:
    space = stack.namespaces["application"]
    eventually(lambda: replicas(stack)[0] == replicas(stack)[1], within=PATIENCE)
    with under_load(user, RATE) as load:
        eventually(lambda: replicas(stack)[0] > replicas(stack)[1], within=300)
        stack.kubectl("-n", space, "rollout", "status", f"deployment/{app.WORKLOAD.name}", "--timeout=180s", within=200)
    assert load.sent > 100
    (autoscaler,) = stack.get("hpa", space)
    by = [each["type"] for each in autoscaler["status"]["currentMetrics"]]
    assert by == [each["type"] for each in autoscaler["spec"]["metrics"]]
    eventually(lambda: replicas(stack)[0] == replicas(stack)[1], within=PATIENCE)
