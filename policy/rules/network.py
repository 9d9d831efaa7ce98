"""Between the pods of a stack nothing is open but what somebody calls, and that on both ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from policy.kinds import BUDGET, NAMESPACE, NETWORK_POLICY, SERVICE
from policy.model import Control, Node, Resource, UnknownValueError, Violation
from policy.pods import KINDS, resource_rule
from policy.stack import Pods, Stack, matches, namespace_of, stack_rule

ISOLATED = Control(
    "CIS Kubernetes Benchmark, 5.3.2: all Namespaces have NetworkPolicies; NSA/CISA Kubernetes Hardening Guide",
    "https://kubernetes.io/docs/concepts/services-networking/network-policies/",
)
EXPOSED = Control(
    "OWASP Kubernetes Top Ten, K07 Missing Network Segmentation Controls",
    "https://owasp.org/www-project-kubernetes-top-ten/2022/en/src/K07-network-segmentation",
)

NAMESPACE_LABEL = "kubernetes.io/metadata.name"

Direction = Literal["ingress", "egress"]
PEERS: dict[Direction, str] = {"ingress": "from", "egress": "to"}
OTHER: dict[Direction, Direction] = {"ingress": "egress", "egress": "ingress"}


@dataclass(frozen=True)
class Edge:
    """From the pods of one workload to a port of another's."""

    client: Pods
    target: Pods
    port: int
    protocol: str


def _types(policy: Resource) -> list[str]:
    return list(policy.at("spec", "policyTypes").value or ())


@resource_rule(ISOLATED, "Name policyTypes, and in each rule peers by labels and ports by number.", NETWORK_POLICY)
def narrow_policy(policy: Resource) -> Iterator[Violation]:
    """A NetworkPolicy names whom it lets in or out, and on which ports: nothing in it means everybody or everything."""
    if not _types(policy):
        yield "spec.policyTypes", "is not set, so Kubernetes guesses; name Ingress, Egress or both"
    for direction, key in PEERS.items():
        for rule in policy.at("spec", direction).elements():
            if not list(rule.at(key).elements()):
                yield rule.at(key).path, "names nobody, which means everybody; name the peers"
            if not list(rule.at("ports").elements()):
                yield rule.at("ports").path, "names no port, which means every port; name the ports"
            for peer in rule.at(key).elements():
                yield from _wide_peer(peer)
            for port in rule.at("ports").elements():
                if port.at("port").value is None or port.at("endPort").value is not None:
                    yield port.path, "opens more than one port; name each port by its number"


def _wide_peer(peer: Node) -> Iterator[Violation]:
    if peer.at("ipBlock").value is not None:
        return  # open to addresses only if somebody needs it: openings.nothing_open_uncalled
    namespaces, pods = peer.at("namespaceSelector"), peer.at("podSelector")
    if not namespaces.value and not pods.value:
        yield peer.path, "selects everybody; select the pods, or the namespace, that need it"
    elif namespaces.value is not None and not namespaces.value:
        yield namespaces.path, "selects every namespace; select the one that needs it"
    for selector in (namespaces, pods):
        if selector.at("matchExpressions").value:
            yield selector.at("matchExpressions").path, "may select more than it names; use matchLabels"


@stack_rule(ISOLATED, "Declare a NetworkPolicy that selects every pod, with both types and no rule.", NAMESPACE)
def default_deny(namespace: Resource, stack: Stack) -> Iterator[Violation]:
    """In each namespace everything is closed until somebody opens it."""
    name = namespace.at("metadata", "name").value
    for policy in stack.of(NETWORK_POLICY):
        closes = set(_types(policy)) == {"Ingress", "Egress"} and not any(
            policy.at("spec", direction).value for direction in PEERS
        )
        if namespace_of(policy) == name and closes and not policy.at("spec", "podSelector").value:
            return
    yield "", "has no NetworkPolicy that closes it; declare one for all pods, both types, without rules"


@stack_rule(ISOLATED, "Declare NetworkPolicies of both types that select the pods.", *KINDS)
def covered_both_ways(workload: Resource, stack: Stack) -> Iterator[Violation]:
    """Every pod, of jobs too, is selected by a NetworkPolicy for what comes in and by one for what goes out."""
    pods = Pods(workload)
    covering = {
        kind
        for policy in stack.of(NETWORK_POLICY)
        if namespace_of(policy) == pods.namespace and matches(policy.at("spec", "podSelector"), pods.labels)
        for kind in _types(policy)
    }
    for kind in ("Ingress", "Egress"):
        if kind not in covering:
            yield "", f"has pods that no NetworkPolicy of type {kind} selects; declare one"


def peers_of(stack: Stack, policy: Resource, peer: Node) -> list[Pods] | None:
    """The stack's pods that a peer means; None if it means an address or a namespace that is not the stack's."""
    if peer.at("ipBlock").value is not None:
        return None
    places = [namespace_of(policy)]
    selector = peer.at("namespaceSelector")
    if selector.value is not None:
        places = [
            str(name)
            for each in stack.of(NAMESPACE)
            if (name := each.at("metadata", "name").value)
            and matches(selector, {NAMESPACE_LABEL: name, **(each.at("metadata", "labels").value or {})})
        ]
        if not places:
            return None
    return [pods for place in places for pods in stack.selected(place, peer.at("podSelector"))]


def _reached(target: Pods, rule: Node) -> set[tuple[int, str]]:
    asked = [(port.at("port").value, port.at("protocol").value or "TCP") for port in rule.at("ports").elements()]
    return {(number, spoken) for port, spoken in asked or [(None, "TCP")] for number in target.numbers(port, spoken)}


def _edges(stack: Stack, policy: Resource, direction: Direction) -> Iterator[tuple[Node, Edge]]:
    """What a policy opens between pods of the stack, and by which of its rules."""
    if direction.capitalize() not in _types(policy):
        return
    own = stack.selected(namespace_of(policy), policy.at("spec", "podSelector"))
    for rule in policy.at("spec", direction).elements():
        peers = [pods for peer in rule.at(PEERS[direction]).elements() for pods in peers_of(stack, policy, peer) or ()]
        for pods, other in product(own, peers):
            client, target = (other, pods) if direction == "ingress" else (pods, other)
            for port, protocol in sorted(_reached(target, rule)):
                yield rule, Edge(client, target, port, protocol)


def _opened(stack: Stack) -> Mapping[Direction, frozenset[Edge]]:
    """Everything that the policies of a stack open between its pods. One that cannot be read opens nothing."""
    opened: dict[Direction, set[Edge]] = {"ingress": set(), "egress": set()}
    for policy in stack.of(NETWORK_POLICY):
        for direction, edges in opened.items():
            try:
                edges.update(edge for _, edge in _edges(stack, policy, direction))
            except UnknownValueError:
                continue  # found where that policy itself is judged
    return {direction: frozenset(edges) for direction, edges in opened.items()}


@stack_rule(EXPOSED, "Declare the other end of the edge, or remove this one.", NETWORK_POLICY)
def edge_open_on_both_ends(policy: Resource, stack: Stack) -> Iterator[Violation]:
    """Whoever is let in may call, and whoever may call is let in: nothing is open that no one calls."""
    opened = stack.once(_opened)
    for direction, other in OTHER.items():
        for rule, edge in _edges(stack, policy, direction):
            if edge not in opened[other]:
                missing = "lets nobody in" if other == "ingress" else "may not call it"
                end = edge.target.name if other == "ingress" else edge.client.name
                where = f"{edge.target.name}:{edge.port}"
                yield rule.path, f"opens {where} on this end only, for {end} {missing}; open or close both"


def _meant(selecting: Resource, stack: Stack) -> list[Pods]:
    """The pods that a NetworkPolicy, budget or Service selects."""
    namespace = namespace_of(selecting)
    if selecting.type == SERVICE:
        labels = selecting.at("spec", "selector").value or {}
        return [each for each in stack.pods if each.namespace == namespace and labels.items() <= each.labels.items()]
    return stack.selected(namespace, _selector(selecting))


def _selector(selecting: Resource) -> Node:
    return selecting.at("spec", "podSelector" if selecting.type == NETWORK_POLICY else "selector")


@stack_rule(ISOLATED, "Let the selector match the pods that are meant.", NETWORK_POLICY, SERVICE, BUDGET)
def selector_matches_pods(selecting: Resource, stack: Stack) -> Iterator[Violation]:
    """What selects pods selects some: nothing protects or leads to nobody."""
    place = _selector(selecting)
    if not place.value:
        if selecting.type != NETWORK_POLICY:
            yield place.path, "selects no pods, or every one of the namespace; select those of one workload"
    elif not _meant(selecting, stack):
        yield place.path, "matches no pods of the stack; correct it, or remove what nobody uses"


@stack_rule(ISOLATED, "Name ports that the selected pods have.", NETWORK_POLICY, SERVICE)
def leads_to_own_ports(selecting: Resource, stack: Stack) -> Iterator[Violation]:
    """A Service leads to, and a NetworkPolicy opens, ports that its pods listen on."""
    for port, number, found in _led_to(selecting, stack):
        if not all(pods.numbers(number, port.at("protocol").value or "TCP") for pods in found):
            yield port.path, "leads to a port that its pods do not have; name one of theirs"


def _led_to(selecting: Resource, stack: Stack) -> Iterator[tuple[Node, object, list[Pods]]]:
    """Each port that is named, and the pods of the stack that should have it."""
    meant = _meant(selecting, stack)
    if selecting.type == SERVICE:
        for port in selecting.at("spec", "ports").elements():
            yield port, port.at("targetPort").value or port.at("port").value, meant
        return
    for direction, key in PEERS.items():
        for rule in selecting.at("spec", direction).elements():
            peers = [pods for peer in rule.at(key).elements() for pods in peers_of(stack, selecting, peer) or ()]
            for port in rule.at("ports").elements():
                yield port, port.at("port").value, meant if direction == "ingress" else peers


RULES = (
    narrow_policy,
    default_deny,
    covered_both_ways,
    edge_open_on_both_ends,
    selector_matches_pods,
    leads_to_own_ports,
)
