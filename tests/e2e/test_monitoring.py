"""What the platform knows of itself."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from infra.components import prometheus
from tests.app.servers import eventually
from tests.e2e.absent import simulated_nodes, simulated_pods
from tests.e2e.stack import Stack

Ask = Callable[..., Any]
NODE = "__meta_kubernetes_node_name"


@pytest.fixture(scope="module")
def ask(stack: Stack) -> Iterator[Ask]:
    """Asks Prometheus' API."""
    space = stack.namespaces["observability"]
    authority = stack.folder / "ca.crt"
    authority.write_text(stack.secret(space, "prometheus-tls")["ca.crt"])
    context = ssl.create_default_context(cafile=str(authority))
    with (
        stack.forwarded(space, f"service/{prometheus.WORKLOAD.name}", prometheus.PORT) as port,
        httpx.Client(
            base_url=f"https://localhost:{port}", verify=context, auth=stack.monitoring_login(), timeout=30
        ) as client,
    ):

        def asked(path: str, **parameters: str) -> Any:
            answer = client.get(path, params=parameters)
            assert answer.status_code == 200, answer.text
            return answer.json()["data"]

        yield asked


def test_every_target_is_up(stack: Stack, ask: Ask) -> None:
    def down() -> list[str]:
        pods, nodes = simulated_pods(stack), simulated_nodes(stack)
        targets = ask("/api/v1/targets", state="active")["activeTargets"]
        real = [
            each
            for each in targets
            if each["labels"].get("pod") not in pods and each["discoveredLabels"].get(NODE) not in nodes
        ]
        assert len(real) > len(nodes)
        return [
            f"{each['labels']['job']} {each['scrapeUrl']}: {each['lastError']}"
            for each in real
            if each["health"] != "up"
        ]

    def all_up() -> bool:
        if found := down():
            raise AssertionError("\n".join(found))
        return True

    eventually(all_up, within=180)


def test_every_rule_evaluates(ask: Ask) -> None:
    rules = [rule for group in ask("/api/v1/rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 100
    assert [rule for rule in rules if rule["health"] == "err"] == []


def test_the_autoscaler_knows_all_of_its_metrics(stack: Stack) -> None:
    def known() -> bool:
        (autoscaler,) = stack.get("hpa", stack.namespaces["application"])
        found = [each["type"] for each in autoscaler["status"].get("currentMetrics") or ()]
        conditions = {each["type"]: each["status"] for each in autoscaler["status"]["conditions"]}
        assert conditions["ScalingActive"] == "True", autoscaler["status"]
        return found == [each["type"] for each in autoscaler["spec"]["metrics"]]

    eventually(known, within=240)
