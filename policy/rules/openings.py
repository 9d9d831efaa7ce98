"""What is open to others than the stack's own pods has a reason, a name and TLS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from policy.kinds import (
    API_SERVICE,
    BINDINGS,
    CLUSTER_ROLE,
    CONFIG_MAP,
    INGRESS,
    NETWORK_POLICY,
    SCALED_OBJECT,
    SERVICE,
)
from policy.model import Node, Resource, Violation
from policy.pods import resource_rule
from policy.rules.network import EXPOSED, NAMESPACE_LABEL, PEERS, peers_of
from policy.stack import Pods, Stack, namespace_of, stack_rule

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


@stack_rule(EXPOSED, "Remove the rule, or declare what needs it.", NETWORK_POLICY)
def nothing_open_uncalled(policy: Resource, stack: Stack) -> Iterator[Violation]:
    """What is open to others than the stack's pods has a reason: an Ingress, an API, a token, the internet."""
    own = stack.selected(namespace_of(policy), policy.at("spec", "podSelector"))
    for direction, key in PEERS.items():
        for rule in policy.at("spec", direction).elements():
            ports = {port.at("port").value for port in rule.at("ports").elements()}
            for peer in rule.at(key).elements():
                if peers_of(stack, policy, peer) is not None:
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


RULES = (nothing_open_uncalled, private_service, ingress_by_tls)
