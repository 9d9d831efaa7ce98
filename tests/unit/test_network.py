"""Nothing is open but the edges that exist, each on both of its ends."""

from collections.abc import Iterator

import pytest

from infra.kube.component import API_PORTS
from tests.conftest import NAME, peer_name, pod_of, workloads

Edge = tuple[str, str, str]  # client, target, port

SCRAPED = {
    "modelcard-generator": 8080,
    "edge-nginx": 9113,
    "postgres-exporter": 9187,
    "redis-exporter": 9121,
    "node-exporter": 9100,
    "kube-state-metrics": 8443,
    "blackbox-exporter": 9115,
    "prometheus-adapter": 9443,
    "prometheus": 9090,
    "alertmanager": 9093,
    "grafana": 3000,
    "elasticsearch-exporter": 9114,
    "backup-exporter": 9854,
    "incident-responder": 8443,
}
PROBED = {
    "edge-nginx": 8080,
    "cache-redis": 6379,
    "kube-state-metrics": 8443,
    "postgres-exporter": 9187,
    "redis-exporter": 9121,
    "prometheus-adapter": 9443,
    "prometheus": 9090,
    "alertmanager": 9093,
    "grafana": 3000,
    "elasticsearch": 9200,
    "elasticsearch-exporter": 9114,
    "kibana": 5601,
    "backup-exporter": 9854,
    "incident-responder": 8443,
}
INSIDE = {
    ("edge-nginx", "modelcard-generator", "8080/TCP"),
    ("modelcard-generator", "database-postgres", "5432/TCP"),
    ("modelcard-generator", "cache-redis", "6379/TCP"),
    ("postgres-exporter", "database-postgres", "5432/TCP"),
    ("redis-exporter", "cache-redis", "6379/TCP"),
    ("grafana", "prometheus", "9090/TCP"),
    ("grafana", "alertmanager", "9093/TCP"),
    ("prometheus-adapter", "prometheus", "9090/TCP"),
    ("filebeat", "logstash", "5044/TCP"),
    ("logstash", "elasticsearch", "9200/TCP"),
    ("kibana", "elasticsearch", "9200/TCP"),
    ("elasticsearch-exporter", "elasticsearch", "9200/TCP"),
    ("log-setup", "elasticsearch", "9200/TCP"),
    ("log-setup", "kibana", "5601/TCP"),
    ("alertmanager", "incident-responder", "8443/TCP"),
    ("incident-responder", "alertmanager", "9093/TCP"),
    ("incident-responder", "database-postgres", "5432/TCP"),
    ("incident-responder", "modelcard-generator", "8080/TCP"),
    ("incident-responder", "prometheus", "9090/TCP"),
    ("backup-run", "database-postgres", "5432/TCP"),
    ("backup-run", "database-postgres", "8432/TCP"),
    ("backup-run", "prometheus", "9090/TCP"),
    ("backup-run", "prometheus", "9854/TCP"),
    ("backup-drill", "database-postgres", "5432/TCP"),
    *(("prometheus", target, f"{port}/TCP") for target, port in SCRAPED.items()),
    *(("blackbox-exporter", target, f"{port}/TCP") for target, port in PROBED.items()),
}
# Only several replicas have something to agree on.
GOSSIP = {("alertmanager", "alertmanager", "9094/TCP"), ("elasticsearch", "elasticsearch", "9300/TCP")}
# Which only the kubelet of the node asks, whom no policy is about.
PROBED_BY_NODE = {("elasticsearch", "9399/TCP")}
INTO = {("ingress-nginx/", "edge-nginx", "8080/TCP"), ("0.0.0.0/0", "prometheus-adapter", "9443/TCP")}
CALLS_API = ("backup-run", "incident-responder", "kube-state-metrics", "prometheus", "prometheus-adapter")
# The bucket.
STORES = ("backup-drill", "backup-exporter", "backup-prune", "backup-uploads", "backup-verify", "database-postgres")
OUT_OF = {
    ("every pod", "kube-system/kube-dns", "53/UDP"),
    ("every pod", "kube-system/kube-dns", "53/TCP"),
    ("modelcard-generator", "0.0.0.0/0", "443/TCP"),
    ("prometheus", "0.0.0.0/0", "10250/TCP"),
    *((client, "0.0.0.0/0", "443/TCP") for client in STORES),
    *((client, "0.0.0.0/0", f"{port}/TCP") for client in CALLS_API for port in (443, 6443)),
}
OWN = ("modelcard/", "modelcard-observability/", "modelcard-agents/")


def edges(platform, direction: str, peers: str) -> Iterator[Edge]:
    """What the policies of one direction open; a rule without peers or ports opens itself to all of them."""
    for policy in platform.all("NetworkPolicy"):
        spec = policy.inputs["spec"]
        pods = spec["podSelector"].get("matchLabels", {}).get(NAME, "every pod")
        for rule in spec.get(direction, []):
            ports = [f"{port['port']}/{port['protocol']}" for port in rule.get("ports", [])] or ["every port"]
            for peer in [within(peer_name(peer)) for peer in rule.get(peers, [])] or ["everybody"]:
                for port in ports:
                    yield (peer, pods, port) if direction == "ingress" else (pods, peer, port)


def within(peer: str) -> str:
    """Pods of the stack are known by their names, whichever of its namespaces they are in."""
    return next((peer.removeprefix(own) for own in OWN if peer.startswith(own)), peer)


def listening(platform) -> set[tuple[str, int]]:
    """Each workload with each port of its containers."""
    return {
        (name, port["containerPort"])
        for name, workload in workloads(platform).items()
        for container in pod_of(workload)["containers"]
        for port in container.get("ports", [])
    }


def inside(platform) -> set[Edge]:
    several = workloads(platform)["alertmanager"]["spec"]["replicas"] > 1
    return INSIDE | GOSSIP if several else INSIDE


@pytest.mark.parametrize("namespace", ["modelcard", "modelcard-observability", "modelcard-agents"])
def test_a_policy_of_each_namespace_denies_both_directions(each_platform, namespace):
    spec = each_platform.one("NetworkPolicy", f"{namespace}-default-deny")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def of_its_own(platform, expected):
    """The local stack has no prometheus-adapter."""
    names = workloads(platform)
    return {edge for edge in expected if "prometheus-adapter" in names or "prometheus-adapter" not in edge}


def test_exactly_these_edges_lead_to_a_pod(each_platform):
    expected = of_its_own(each_platform, inside(each_platform) | INTO)
    assert set(edges(each_platform, "ingress", "from")) == expected


def test_exactly_these_edges_lead_from_a_pod(each_platform):
    expected = of_its_own(each_platform, inside(each_platform) | OUT_OF)
    assert set(edges(each_platform, "egress", "to")) == expected


def test_every_edge_inside_leads_to_a_port_of_a_workload(platform):
    expected = {(name, f"{port}/TCP") for name, port in listening(platform)}
    assert {(target, port) for _, target, port in inside(platform) | INTO} == expected - PROBED_BY_NODE


def test_who_may_call_the_api_server_may_call_nothing_else_by_it(each_platform):
    """Nobody knows its address beforehand: a rule for it is one for every private address at these ports."""
    assert [each for each in listening(each_platform) if each[1] in API_PORTS] == []


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
