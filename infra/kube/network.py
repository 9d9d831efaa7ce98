"""NetworkPolicies: nothing is open but the edges that a component names, on both of their ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pulumi
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.networking import v1 as networking

from infra.kube.identity import Spaces, Workload

ANYWHERE = "0.0.0.0/0"
# Not the internet: the cluster's own networks and the cloud's metadata service (RFC 1918, 6598, 3927).
PRIVATE_RANGES = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"]


def default_deny() -> networking.NetworkPolicySpecArgs:
    """Selects every pod of the namespace and allows nothing."""
    return networking.NetworkPolicySpecArgs(pod_selector=meta.LabelSelectorArgs(), policy_types=["Ingress", "Egress"])


def name_resolution() -> networking.NetworkPolicySpecArgs:
    """Every pod may ask the cluster's DNS."""
    dns = networking.NetworkPolicyPeerArgs(
        namespace_selector=_labels({"kubernetes.io/metadata.name": "kube-system"}),
        pod_selector=_labels({"k8s-app": "kube-dns"}),
    )
    ports = [networking.NetworkPolicyPortArgs(protocol=protocol, port=53) for protocol in ("UDP", "TCP")]
    return networking.NetworkPolicySpecArgs(
        pod_selector=meta.LabelSelectorArgs(),
        policy_types=["Egress"],
        egress=[networking.NetworkPolicyEgressRuleArgs(to=[dns], ports=ports)],
    )


def ingress_from(
    target: Workload, clients: Sequence[Workload], port: int, spaces: Spaces
) -> networking.NetworkPolicySpecArgs:
    """The target's end of an edge."""
    return _ingress(target, [_peer(client, target, spaces) for client in clients], port)


def ingress_from_namespace(target: Workload, namespace: str, port: int) -> networking.NetworkPolicySpecArgs:
    """The target's end of an edge from all pods of another namespace."""
    selector = _labels({"kubernetes.io/metadata.name": namespace})
    return _ingress(target, [networking.NetworkPolicyPeerArgs(namespace_selector=selector)], port)


def ingress_from_nodes(target: Workload, port: int) -> networking.NetworkPolicySpecArgs:
    """The target's end of an edge from what is no pod, such as the API server, whose addresses no selector knows."""
    return _ingress(target, [networking.NetworkPolicyPeerArgs(ip_block=networking.IPBlockArgs(cidr=ANYWHERE))], port)


def egress_to(client: Workload, target: Workload, port: int, spaces: Spaces) -> networking.NetworkPolicySpecArgs:
    """The client's end of an edge."""
    return _egress(client, _peer(target, client, spaces), [port])


def egress_to_internet(client: Workload, port: int = 443) -> networking.NetworkPolicySpecArgs:
    """A port, by default HTTPS, of public addresses."""
    block = networking.IPBlockArgs(cidr=ANYWHERE, except_=PRIVATE_RANGES)
    return _egress(client, networking.NetworkPolicyPeerArgs(ip_block=block), [port])


def egress_to_nodes(client: Workload, *ports: int) -> networking.NetworkPolicySpecArgs:
    """Ports of what is no pod: nodes, and the API server at whatever address it has."""
    return _egress(client, networking.NetworkPolicyPeerArgs(ip_block=networking.IPBlockArgs(cidr=ANYWHERE)), ports)


def _peer(other: Workload, own: Workload, spaces: Spaces) -> networking.NetworkPolicyPeerArgs:
    """The other end of an edge; pods of another namespace are meant only if that is said."""
    elsewhere = {"kubernetes.io/metadata.name": spaces[other.space]} if other.space != own.space else None
    return networking.NetworkPolicyPeerArgs(
        namespace_selector=_labels(elsewhere) if elsewhere else None, pod_selector=_labels(other.selector)
    )


def _ingress(
    target: Workload, peers: list[networking.NetworkPolicyPeerArgs], port: int
) -> networking.NetworkPolicySpecArgs:
    return networking.NetworkPolicySpecArgs(
        pod_selector=_labels(target.selector),
        policy_types=["Ingress"],
        ingress=[networking.NetworkPolicyIngressRuleArgs(from_=peers, ports=[_tcp(port)])],
    )


def _egress(
    client: Workload, peer: networking.NetworkPolicyPeerArgs, ports: Iterable[int]
) -> networking.NetworkPolicySpecArgs:
    return networking.NetworkPolicySpecArgs(
        pod_selector=_labels(client.selector),
        policy_types=["Egress"],
        egress=[networking.NetworkPolicyEgressRuleArgs(to=[peer], ports=[_tcp(port) for port in ports])],
    )


def _tcp(port: int) -> networking.NetworkPolicyPortArgs:
    return networking.NetworkPolicyPortArgs(protocol="TCP", port=port)


def _labels(match: Mapping[str, pulumi.Input[str]]) -> meta.LabelSelectorArgs:
    return meta.LabelSelectorArgs(match_labels=dict(match))
