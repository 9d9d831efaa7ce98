"""What pods reach over the network is what NetworkPolicies say, tried from inside each of them."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

from tests.app.servers import eventually
from tests.e2e.absent import simulated_pods
from tests.e2e.stack import Stack

Labels = Mapping[str, str]
Policies = Mapping[str, Sequence[Mapping[str, Any]]]  # of each namespace
PROBE = "edges"
# Prints those of the addresses that answer; one that a policy cuts never does.
TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def open_(address):
    try:
        socket.create_connection(address, 3).close()
        return True
    except OSError:
        return False
addresses = [tuple(each) for each in json.loads(sys.argv[1])]
with ThreadPoolExecutor(50) as pool:
    print(json.dumps([each for each, found in zip(addresses, pool.map(open_, addresses)) if found]))
"""


@dataclass(frozen=True)
class Pod:
    """One that runs for real."""

    name: str
    namespace: str
    labels: Labels
    address: str
    ports: frozenset[int]


def real_pods(stack: Stack) -> Iterator[Pod]:
    """All that run now."""
    nobody = simulated_pods(stack)
    for space in stack.namespaces.values():
        for each in stack.get("pods", space, "--field-selector=status.phase=Running"):
            metadata, spec = each["metadata"], each["spec"]
            if metadata["name"] not in nobody and "deletionTimestamp" not in metadata and not spec.get("hostNetwork"):
                ports = (
                    port["containerPort"] for container in spec["containers"] for port in container.get("ports", ())
                )
                yield Pod(metadata["name"], space, metadata["labels"], each["status"]["podIP"], frozenset(ports))


def selected(selector: Mapping[str, Any], labels: Labels) -> bool:
    """By labels alone; nothing of ours has expressions."""
    assert set(selector) <= {"matchLabels"}, selector
    return selector.get("matchLabels", {}).items() <= labels.items()


def lets(policies: Policies, pod: Pod, other: Pod, port: int, way: Literal["ingress", "egress"]) -> bool:
    """Whether the pod's policies let the other one in, or let it out to the other one, at that port."""
    own = [each for each in policies[pod.namespace] if selected(each["podSelector"], pod.labels)]
    isolating = [each for each in own if way.capitalize() in each["policyTypes"]]
    key = "from" if way == "ingress" else "to"
    return not isolating or any(
        any(each["port"] == port for each in rule["ports"]) and any(meant(peer, pod, other) for peer in rule[key])
        for each in isolating
        for rule in each.get(way, ())
    )


def meant(peer: Mapping[str, Any], pod: Pod, other: Pod) -> bool:
    """Whether a rule of the pod's names the other one, by its address or its labels."""
    if "ipBlock" in peer:
        address = ipaddress.ip_address(other.address)
        inside, *outside = (
            ipaddress.ip_network(each) for each in (peer["ipBlock"]["cidr"], *peer["ipBlock"].get("except", ()))
        )
        return address in inside and not any(address in each for each in outside)
    spaces = peer.get("namespaceSelector", {"matchLabels": {"kubernetes.io/metadata.name": pod.namespace}})
    space = {"kubernetes.io/metadata.name": other.namespace}
    return selected(spaces, space) and selected(peer.get("podSelector", {}), other.labels)


def tried(stack: Stack, pod: Pod, addresses: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
    """Which of them a container beside the pod's own, in its network, reaches."""
    debug = ("debug", pod.name, f"--image={stack.settings.app.image}", "--profile=restricted", f"--container={PROBE}")
    stack.kubectl("-n", pod.namespace, *debug, "--quiet", "--", "python", "-c", TRY, json.dumps(addresses))

    def said() -> str:
        return stack.kubectl("-n", pod.namespace, "logs", pod.name, "-c", PROBE).strip()

    eventually(said, within=120)
    return {(host, port) for host, port in json.loads(said())}


def test_every_edge_is_open_and_everything_else_is_closed(stack: Stack) -> None:
    pods = list(real_pods(stack))
    policies = {
        space: [each["spec"] for each in stack.get("networkpolicies", space)] for space in stack.namespaces.values()
    }
    names = {(pod.address, port): f"{pod.name}:{port}" for pod in pods for port in pod.ports}
    expected = {
        (client.name, names[pod.address, port])
        for client in pods
        for pod in pods
        if pod is not client
        for port in pod.ports
        if lets(policies, client, pod, port, "egress") and lets(policies, pod, client, port, "ingress")
    }
    with ThreadPoolExecutor(4) as pool:
        others = [[each for each in names if each[0] != pod.address] for pod in pods]
        found = list(pool.map(tried, [stack] * len(pods), pods, others))
    actual = {(pod.name, names[each]) for pod, reached in zip(pods, found, strict=True) for each in reached}
    assert len(expected) > 20
    assert sorted(actual - expected) == []
    assert sorted(expected - actual) == []
