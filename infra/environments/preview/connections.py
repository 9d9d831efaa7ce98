"""Whether NetworkPolicies speak about pods and ports that exist, and whether each edge is open on both of its ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, product
from typing import Any, Literal

from infra.environments.preview.manifests import Manifest
from infra.environments.preview.objects import Objects, Pods, matches, namespace_of

Direction = Literal["ingress", "egress"]
_PEERS: Mapping[Direction, str] = {"ingress": "from", "egress": "to"}
_OTHER: Mapping[Direction, Direction] = {"ingress": "egress", "egress": "ingress"}
Rule = Mapping[str, Any]


@dataclass(frozen=True)
class _Edge:
    client: Pods
    target: Pods
    port: int
    protocol: str


def policies(objects: Objects) -> Iterator[str]:
    """A policy selects pods of the stack; its peers exist unless they are elsewhere; its ports are the target's."""
    for key, policy in objects.of("NetworkPolicy"):
        selector = policy["spec"].get("podSelector", {})
        own = objects.selected(namespace_of(policy), selector)
        if selector and not own:
            yield f"{key}: spec.podSelector matches no pods of the stack"
        for direction in _PEERS:
            for position, rule in enumerate(policy["spec"].get(direction, [])):
                where = f"{key}: {direction}[{position}]"
                peers = [_peer(objects, policy, peer) for peer in rule.get(_PEERS[direction], [])]
                for number, found in enumerate(peers):
                    if found == []:
                        yield f"{where}.{_PEERS[direction]}[{number}] matches no pods of the stack"
                inside = [pods for found in peers for pods in found or []]
                targets = (own if selector else []) if direction == "ingress" else inside
                for port in rule.get("ports", []):
                    if targets and not any(_numbers(pods, port) for pods in targets):
                        names = ", ".join(pods.name for pods in targets)
                        yield f"{where}: {port.get('port')} is not a port of {names}"


def open_ends(objects: Objects) -> Iterator[str]:
    """What one end of an edge allows, the other end allows too."""
    for key, policy in objects.of("NetworkPolicy"):
        for direction in _PEERS:
            back = _OTHER[direction]
            for edge in _edges(objects, policy, direction):
                if not _allows(objects, back, edge):
                    end = (
                        f"{edge.client.name} may not call it"
                        if back == "egress"
                        else f"{edge.target.name} lets nobody in"
                    )
                    yield f"{key}: {direction} of {edge.target.name}:{edge.port} is open on this end only: {end}"


def _edges(objects: Objects, policy: Manifest, direction: Direction) -> Iterator[_Edge]:
    """What a policy opens between pods of the stack."""
    own = objects.selected(namespace_of(policy), policy["spec"].get("podSelector", {}))
    for rule in policy["spec"].get(direction, []):
        peers = [_peer(objects, policy, peer) or [] for peer in rule.get(_PEERS[direction], [])]
        for pods, other in product(own, chain.from_iterable(peers)):
            client, target = (other, pods) if direction == "ingress" else (pods, other)
            for port, protocol in sorted(_reached(target, rule)):
                yield _Edge(client, target, port, protocol)


def _reached(target: Pods, rule: Rule) -> set[tuple[int, str]]:
    ports = rule.get("ports")
    if not ports:
        return {(port["containerPort"], port.get("protocol", "TCP")) for port in target.ports}
    return {(number, port.get("protocol", "TCP")) for port in ports for number in _numbers(target, port)}


def _allows(objects: Objects, direction: Direction, edge: _Edge) -> bool:
    """Whether the policies of this end allow the edge; without any policy for the direction, they do."""
    pods, other = (edge.target, edge.client) if direction == "ingress" else (edge.client, edge.target)
    closed = False
    for _, policy in objects.of("NetworkPolicy"):
        spec = policy["spec"]
        types = spec.get("policyTypes", ["Ingress", "Egress"] if "egress" in spec else ["Ingress"])
        selects = namespace_of(policy) == pods.namespace and matches(spec.get("podSelector", {}), pods.labels)
        if direction.capitalize() not in types or not selects:
            continue
        closed = True
        for rule in spec.get(direction, []):
            peers = rule.get(_PEERS[direction])
            known = not peers or any(other in (_peer(objects, policy, peer) or []) for peer in peers)
            if known and (not rule.get("ports") or (edge.port, edge.protocol) in _reached(edge.target, rule)):
                return True
    return not closed


def _peer(objects: Objects, policy: Manifest, peer: Mapping[str, Any]) -> list[Pods] | None:
    """The stack's pods that a peer means; None if it means an address or a namespace that is not the stack's."""
    if "ipBlock" in peer:
        return None
    places = [namespace_of(policy)]
    if "namespaceSelector" in peer:
        places = objects.namespaces(peer["namespaceSelector"])
        if not places:
            return None
    return [pods for place in places for pods in objects.selected(place, peer.get("podSelector", {}))]


def _numbers(pods: Pods, port: Mapping[str, Any]) -> set[int]:
    protocol = port.get("protocol", "TCP")
    if "port" not in port:
        return {each["containerPort"] for each in pods.ports if each.get("protocol", "TCP") == protocol}
    if "endPort" in port:
        return {
            each["containerPort"]
            for each in pods.ports
            if each.get("protocol", "TCP") == protocol and port["port"] <= each["containerPort"] <= port["endPort"]
        }
    return pods.numbers(port["port"], protocol)
