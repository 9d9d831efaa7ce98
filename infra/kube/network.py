"""NetworkPolicies: nothing is open but the edges that a component names, on both of their ends."""

from __future__ import annotations

from collections.abc import Mapping

from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.networking import v1 as networking

from infra.kube.identity import Workload

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


def ingress_from(target: Workload, clients: list[Workload], port: int) -> networking.NetworkPolicySpecArgs:
    """The target's end of an edge."""
    return _ingress(target, [networking.NetworkPolicyPeerArgs(pod_selector=_labels(c.selector)) for c in clients], port)


def ingress_from_namespace(target: Workload, namespace: str, port: int) -> networking.NetworkPolicySpecArgs:
    """The target's end of an edge from all pods of another namespace."""
    selector = _labels({"kubernetes.io/metadata.name": namespace})
    return _ingress(target, [networking.NetworkPolicyPeerArgs(namespace_selector=selector)], port)


def egress_to(client: Workload, target: Workload, port: int) -> networking.NetworkPolicySpecArgs:
    """The client's end of an edge."""
    return _egress(client, networking.NetworkPolicyPeerArgs(pod_selector=_labels(target.selector)), port)


def egress_to_internet(client: Workload) -> networking.NetworkPolicySpecArgs:
    """HTTPS to public addresses."""
    block = networking.IPBlockArgs(cidr="0.0.0.0/0", except_=PRIVATE_RANGES)
    return _egress(client, networking.NetworkPolicyPeerArgs(ip_block=block), 443)


def _ingress(
    target: Workload, peers: list[networking.NetworkPolicyPeerArgs], port: int
) -> networking.NetworkPolicySpecArgs:
    return networking.NetworkPolicySpecArgs(
        pod_selector=_labels(target.selector),
        policy_types=["Ingress"],
        ingress=[networking.NetworkPolicyIngressRuleArgs(from_=peers, ports=[_tcp(port)])],
    )


def _egress(client: Workload, peer: networking.NetworkPolicyPeerArgs, port: int) -> networking.NetworkPolicySpecArgs:
    return networking.NetworkPolicySpecArgs(
        pod_selector=_labels(client.selector),
        policy_types=["Egress"],
        egress=[networking.NetworkPolicyEgressRuleArgs(to=[peer], ports=[_tcp(port)])],
    )


def _tcp(port: int) -> networking.NetworkPolicyPortArgs:
    return networking.NetworkPolicyPortArgs(protocol="TCP", port=port)


def _labels(match: Mapping[str, str]) -> meta.LabelSelectorArgs:
    return meta.LabelSelectorArgs(match_labels=dict(match))
