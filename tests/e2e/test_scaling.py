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


def brought(stack: Stack) -> int:
    """How many pods the autoscaler wants beside those that are always there."""
    (autoscaler,) = stack.get("hpa", stack.namespaces["application"])
    return int(autoscaler["status"]["desiredReplicas"] - autoscaler["spec"]["minReplicas"])


@pytest.fixture(scope="session")
def grown(stack: Stack, user: httpx.Client) -> int:
    """How many pods a load has brought, and all of them serve; the load is over."""
    space = stack.namespaces["application"]
    eventually(lambda: brought(stack) == 0, within=PATIENCE)
    with under_load(user, RATE) as load:
        eventually(lambda: brought(stack) > 0, within=300)
        stack.kubectl("-n", space, "rollout", "status", f"deployment/{app.WORKLOAD.name}", "--timeout=180s", within=200)
    assert load.sent > 100
    return brought(stack)


@pytest.mark.timeout(2400)
def test_load_brings_more_pods(stack: Stack, grown: int) -> None:
    (autoscaler,) = stack.get("hpa", stack.namespaces["application"])
    assert 0 < grown <= autoscaler["spec"]["maxReplicas"] - autoscaler["spec"]["minReplicas"]
    by = [each["type"] for each in autoscaler["status"]["currentMetrics"]]
    assert by == [each["type"] for each in autoscaler["spec"]["metrics"]]


@pytest.mark.timeout(2400)
def test_its_end_takes_them_away(stack: Stack, grown: int) -> None:
    assert grown > 0
    eventually(lambda: brought(stack) == 0, within=PATIENCE)
