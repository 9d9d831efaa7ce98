"""Kubernetes can tell whether a container serves, and whether it is stuck."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policy.model import Control, Node, Violation
from policy.pods import Container, container_rule

PROBES = Control(
    "Kubernetes documentation, Liveness, Readiness, and Startup Probes",
    "https://kubernetes.io/docs/concepts/workloads/pods/probes/",
)

ACTIONS = ("exec", "grpc", "httpGet", "tcpSocket")
# What the API server fills in.
PERIOD, FAILURES = 10, 3


@container_rule(PROBES, "Set a readinessProbe that answers whether the container can serve now.")
def readiness_probe(container: Container) -> Iterator[Violation]:
    """No container gets traffic before it can serve it."""
    yield from _missing(container, "readinessProbe")


@container_rule(PROBES, "Set a livenessProbe that fails only if a restart would help.")
def liveness_probe(container: Container) -> Iterator[Violation]:
    """A container that is stuck is restarted."""
    yield from _missing(container, "livenessProbe")


@container_rule(PROBES, "Give livenessProbe an action of its own, or let it fail later than readinessProbe.")
def liveness_outlasts_readiness(container: Container) -> Iterator[Violation]:
    """A container that cannot serve for a moment is taken out of service before it is restarted."""
    readiness, liveness = container.at("readinessProbe"), container.at("livenessProbe")
    action = _action(liveness)
    if container.runs_on and action and action == _action(readiness) and _patience(liveness) <= _patience(readiness):
        yield liveness.path, "restarts as soon as readiness fails; use another action or a higher failureThreshold"


@container_rule(PROBES, "Leave livenessProbe.failureThreshold at 3, or set it to 2 or more.")
def liveness_asks_again(container: Container) -> Iterator[Violation]:
    """No container is restarted because a single answer was late."""
    threshold = container.at("livenessProbe", "failureThreshold")
    if container.runs_on and threshold.value is not None and int(threshold.value) < 2:
        yield threshold.path, "restarts the container after one late answer; set it to 2 or more"


def _missing(container: Container, probe: str) -> Iterator[Violation]:
    if container.runs_on and not _action(container.at(probe)):
        yield container.at(probe).path, "has no action; say how to tell (httpGet, tcpSocket, grpc or exec)"


def _action(probe: Node) -> dict[str, Any]:
    # An HTTP probe that spells out the default scheme is still the same probe.
    return {action: {"scheme": "HTTP", **value} for action in ACTIONS if (value := probe.at(action).value)}


def _patience(probe: Node) -> float:
    period, failures = probe.at("periodSeconds").value, probe.at("failureThreshold").value
    return float((period or PERIOD) * (failures or FAILURES))


RULES = (readiness_probe, liveness_probe, liveness_outlasts_readiness, liveness_asks_again)
