"""Nothing is open but the edges that exist, each on both of its ends."""

from collections.abc import Iterator

from tests.conftest import NAME, container_of, peer_name, workloads

Edge = tuple[str, str, str]  # client, target, port

INSIDE = {
    ("edge-nginx", "modelcard-generator", "8080/TCP"),
    ("modelcard-generator", "database-postgres", "5432/TCP"),
    ("modelcard-generator", "cache-redis", "6379/TCP"),
}
INTO = {("ingress-nginx/", "edge-nginx", "8080/TCP")}
OUT_OF = {
    ("every pod", "kube-system/kube-dns", "53/UDP"),
    ("every pod", "kube-system/kube-dns", "53/TCP"),
    ("modelcard-generator", "0.0.0.0/0", "443/TCP"),
}


def edges(platform, direction: str, peers: str) -> Iterator[Edge]:
    """What the policies of one direction open; a rule without peers or ports opens itself to all of them."""
    for policy in platform.all("NetworkPolicy"):
        spec = policy.inputs["spec"]
        pods = spec["podSelector"].get("matchLabels", {}).get(NAME, "every pod")
        for rule in spec.get(direction, []):
            ports = [f"{port['port']}/{port['protocol']}" for port in rule.get("ports", [])] or ["every port"]
            for peer in [peer_name(peer) for peer in rule.get(peers, [])] or ["everybody"]:
                for port in ports:
                    yield (peer, pods, port) if direction == "ingress" else (pods, peer, port)


def test_a_policy_of_the_namespace_denies_both_directions(each_platform):
    spec = each_platform.one("NetworkPolicy", "modelcard-default-deny")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_exactly_these_edges_lead_to_a_pod(each_platform):
    assert set(edges(each_platform, "ingress", "from")) == INSIDE | INTO


def test_exactly_these_edges_lead_from_a_pod(each_platform):
    assert set(edges(each_platform, "egress", "to")) == INSIDE | OUT_OF


def test_every_edge_inside_leads_to_a_port_of_a_workload(platform):
    listening = {
        (name, f"{port['containerPort']}/TCP")
        for name, workload in workloads(platform).items()
        for port in container_of(workload).get("ports", [])
    }
    assert {(target, port) for _, target, port in INSIDE | INTO} == listening


def test_a_policy_says_which_direction_it_is_about(platform):
    for policy in platform.all("NetworkPolicy"):
        spec = policy.inputs["spec"]
        named = {kind for kind, rules in (("Ingress", "ingress"), ("Egress", "egress")) if rules in spec}
        assert named <= set(spec["policyTypes"]), policy.name


def test_the_internet_is_neither_the_cluster_nor_the_clouds_metadata(platform):
    spec = platform.one("NetworkPolicy", "modelcard-generator-to-internet")["spec"]
    block = spec["egress"][0]["to"][0]["ipBlock"]
    assert set(block["except"]) == {
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
    }  # fmt: skip
