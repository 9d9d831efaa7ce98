"""Nothing is open but what somebody calls, and what is open is open on both ends."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

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

NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
NAMESPACE = "kubernetes:core/v1:Namespace"
SERVICE = "kubernetes:core/v1:Service"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
INGRESS = "kubernetes:networking.k8s.io/v1:Ingress"
API_SERVICE = "kubernetes:apiregistration.k8s.io/v1:APIService"
BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
SCALED_OBJECT = "kubernetes:keda.sh/v1alpha1:ScaledObject"
BINDINGS = tuple(f"kubernetes:rbac.authorization.k8s.io/v1:{kind}" for kind in ("ClusterRoleBinding", "RoleBinding"))
CLUSTER_ROLE = "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole"
NAMESPACE_LABEL = "kubernetes.io/metadata.name"

Direction = Literal["ingress", "egress"]
PEERS: dict[Direction, str] = {"ingress": "from", "egress": "to"}
OTHER: dict[Direction, Direction] = {"ingress": "egress", "egress": "ingress"}
# Not the internet: the cluster's own networks and the cloud's metadata service (RFC 1918, 6598, 3927).
PRIVATE = tuple(
    ipaddress.ip_network(block)
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16")
)
# HTTPS, and how mail is handed in (RFC 8314, 6409, 5321; and 2525, which mail services offer where 25 is closed).
INTERNET_PORTS = frozenset({443, 25, 465, 587, 2525})
API_PORTS = frozenset({443, 6443})
KUBELET_PORT = 10250
# As pgBackRest and everything else are told of a storage, and Alertmanager and the responder of a mail server.
SERVER_PORT = re.compile(
    r"(?m)^\s*(?:repo\d+-storage-port=|\w+_ENDPOINT=https://[^/]+:|smtp_smarthost: [^:]+:|\w+_MAIL_PORT=)(\d+)/?$"
)
DNS = ("kube-system", "k8s-app", "kube-dns", 53)


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
        return  # open to addresses only if somebody needs it: nothing_open_uncalled
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


def _peers(stack: Stack, policy: Resource, peer: Node) -> list[Pods] | None:
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
        peers = [pods for peer in rule.at(PEERS[direction]).elements() for pods in _peers(stack, policy, peer) or ()]
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


@stack_rule(EXPOSED, "Remove the rule, or declare what needs it.", NETWORK_POLICY)
def nothing_open_uncalled(policy: Resource, stack: Stack) -> Iterator[Violation]:
    """What is open to others than the stack's pods has a reason: an Ingress, an API, a token, the internet."""
    own = stack.selected(namespace_of(policy), policy.at("spec", "podSelector"))
    for direction, key in PEERS.items():
        for rule in policy.at("spec", direction).elements():
            ports = {port.at("port").value for port in rule.at("ports").elements()}
            for peer in rule.at(key).elements():
                if _peers(stack, policy, peer) is not None:
                    if not peer.at("podSelector").value:
                        yield peer.path, "selects every pod of a namespace of the stack; select those of one workload"
                    continue
                if direction == "ingress":
                    reasons = [_called_from_outside(stack, pods, ports, peer) for pods in own]
                else:
                    reasons = [_calls_outside(stack, pods, ports, peer) for pods in own]
                if not own or not all(reasons):
                    yield peer.path, "is open though nothing in the stack needs it; remove it, or declare what does"


def _called_from_outside(stack: Stack, target: Pods, ports: set[object], peer: Node) -> bool:
    """Whether an Ingress, an API of the cluster or KEDA leads to these ports."""
    numbers = {number for port in ports for number in target.numbers(port, "TCP")}
    if len(numbers) != len(ports):
        return False
    if peer.at("ipBlock").value is not None:
        return numbers <= _served(stack, target, API_SERVICE)
    scaling = peer.at("namespaceSelector", "matchLabels", NAMESPACE_LABEL).value == "keda"
    return numbers <= (_asked_by_keda(stack, target) if scaling else _served(stack, target, INGRESS))


def _served(stack: Stack, target: Pods, kind: str) -> set[int]:
    """The target's ports to which objects of a kind lead, by way of its Services."""
    found: set[int] = set()
    for service in stack.of(SERVICE):
        labels = service.at("spec", "selector").value
        if not labels or namespace_of(service) != target.namespace or not labels.items() <= target.labels.items():
            continue
        name = service.at("metadata", "name").value
        for port in service.at("spec", "ports").elements():
            asked = {port.at("name").value, port.at("port").value}
            if any(asked & _backends(each, name, target.namespace) for each in stack.of(kind)):
                found |= target.numbers(port.at("targetPort").value or port.at("port").value, "TCP")
    return found


def _backends(leader: Resource, service: object, namespace: str) -> set[object]:
    """The names and numbers of the ports of a Service to which an Ingress or APIService leads."""
    if leader.type == API_SERVICE:
        target = leader.at("spec", "service")
        same = (target.at("name").value, target.at("namespace").value) == (service, namespace)
        return {target.at("port").value or 443} if same else set()
    if namespace_of(leader) != namespace:
        return set()
    backends = [
        path.at("backend", "service")
        for rule in leader.at("spec", "rules").elements()
        for path in rule.at("http", "paths").elements()
    ]
    return {
        port
        for backend in backends
        if backend.at("name").value == service
        for port in (backend.at("port", "name").value, backend.at("port", "number").value)
        if port is not None
    }


def _asked_by_keda(stack: Stack, target: Pods) -> set[int]:
    addresses = [
        str(trigger.at("metadata", "serverAddress").value)
        for scaled in stack.of(SCALED_OBJECT)
        for trigger in scaled.at("spec", "triggers").elements()
    ]
    host = f"://{target.name}.{target.namespace}:"
    return {number for _, number, _ in target.ports if any(f"{host}{number}" in each for each in addresses)}


def _calls_outside(stack: Stack, client: Pods, ports: set[object], peer: Node) -> bool:
    """Whether the cluster's DNS, its API, its kubelets or the internet are what is called."""
    block = peer.at("ipBlock")
    if block.value is None:
        namespace, label, value, port = DNS
        named = peer.at("namespaceSelector", "matchLabels", NAMESPACE_LABEL).value == namespace
        return named and peer.at("podSelector", "matchLabels", label).value == value and ports == {port}
    if _public(block):
        return ports <= INTERNET_PORTS
    if ports == {KUBELET_PORT}:
        return _measures_nodes(stack, client)
    if ports <= API_PORTS and client.spec.at("automountServiceAccountToken").value is True:
        return True
    return ports <= _server_ports(stack, client)


def _server_ports(stack: Stack, client: Pods) -> set[object]:
    """Ports of the storage and the mail server that the pods' environment or ConfigMaps name."""
    mounted = {volume.at("configMap", "name").value for volume in client.spec.at("volumes").elements()}
    texts = [
        text
        for each in stack.of(CONFIG_MAP)
        if namespace_of(each) == client.namespace and each.at("metadata", "name").value in mounted
        for text in (each.at("data").value or {}).values()
    ]
    addresses = [
        f"{variable.at('name').value}={variable.at('value').value}"
        for container in client.spec.at("containers").elements()
        for variable in container.at("env").elements()
    ]
    return {int(port) for text in (*texts, *addresses) for port in SERVER_PORT.findall(text)}


def _public(block: Node) -> bool:
    """Whether an address block leaves out everything that is not the internet."""
    own = ipaddress.ip_network(str(block.at("cidr").value))
    without = [ipaddress.ip_network(str(each.value)) for each in block.at("except").elements()]
    return all(
        not own.overlaps(private)
        or any(each.version == private.version and private.subnet_of(each) for each in without)  # type: ignore[arg-type]
        for private in PRIVATE
    )


def _measures_nodes(stack: Stack, client: Pods) -> bool:
    """Whether the pods' account may read the kubelets' metrics."""
    account = client.spec.at("serviceAccountName").value
    roles = {
        binding.at("roleRef", "name").value
        for binding in stack.of(*BINDINGS)
        for subject in binding.at("subjects").elements()
        if (subject.at("name").value, subject.at("namespace").value) == (account, client.namespace)
    }
    return any(
        "nodes/metrics" in (rule.at("resources").value or ())
        for role in stack.of(CLUSTER_ROLE)
        if role.at("metadata", "name").value in roles
        for rule in role.at("rules").elements()
    )


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
            peers = [pods for peer in rule.at(key).elements() for pods in _peers(stack, selecting, peer) or ()]
            for port in rule.at("ports").elements():
                yield port, port.at("port").value, meant if direction == "ingress" else peers


@resource_rule(EXPOSED, "Use a Service of type ClusterIP, and an Ingress for who calls from outside.", SERVICE)
def private_service(service: Resource) -> Iterator[Violation]:
    """Services have addresses inside the cluster only; the one way in is the Ingress."""
    spec = service.at("spec")
    if spec.at("type").value not in {None, "ClusterIP"}:
        yield spec.at("type").path, "opens the Service to others than the cluster; use ClusterIP and an Ingress"
    for key in ("externalIPs", "externalName", "loadBalancerIP"):
        if spec.at(key).value:
            yield spec.at(key).path, "lets the Service answer for an address of others; remove it"
    for port in spec.at("ports").elements():
        if port.at("nodePort").value:
            yield port.at("nodePort").path, "occupies a port of every node; remove it"


@resource_rule(EXPOSED, "Name a host in each rule, and all of them in spec.tls with a Secret.", INGRESS)
def ingress_by_tls(ingress: Resource) -> Iterator[Violation]:
    """Who calls from outside calls by name and by TLS."""
    spec = ingress.at("spec")
    covered = {
        host.value
        for tls in spec.at("tls").elements()
        if tls.at("secretName").value
        for host in tls.at("hosts").elements()
    }
    for rule in spec.at("rules").elements():
        host = rule.at("host")
        if not host.value or "*" in str(host.value):
            yield host.path, "answers for every name; name one host"
        elif host.value not in covered:
            yield host.path, "is served without a certificate of the stack's; add it to spec.tls with a Secret"
    if spec.at("defaultBackend").value:
        yield spec.at("defaultBackend").path, "answers for every name; use rules with a host"
    for key, value in ingress.at("metadata", "annotations").entries():
        text = str(value.value)
        if key.endswith(("-snippet", "/auth-url")) or (key.endswith("ssl-redirect") and text == "false"):
            yield value.path, "rewrites how the controller works, or lets plain HTTP in; remove it"


RULES = (
    narrow_policy,
    default_deny,
    covered_both_ways,
    edge_open_on_both_ends,
    nothing_open_uncalled,
    selector_matches_pods,
    leads_to_own_ports,
    private_service,
    ingress_by_tls,
)
