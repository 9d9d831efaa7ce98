"""No path through the platform is open to who listens or to who has no key, but those that are known and said why.

Every port that a Service or a NetworkPolicy opens is here, with what in the rendered configuration encrypts it and what
asks who is calling. A new one fails until it says both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra.environments.recording import Recording
from tests.conftest import NAME, STACKS, platform_of, pod_of, workloads

# What asks: a password, a certificate of a client, or a token. `policy` is the NetworkPolicy alone: the port tells
# numbers about servers, and only Prometheus may call.
ENCRYPTED: Mapping[tuple[str, int], tuple[str, str]] = {
    ("alertmanager", 9093): ("--web.config.file=", "web.yml"),
    ("alertmanager", 9094): ("--cluster.tls-config=", "policy"),
    ("blackbox-exporter", 9115): ("--web.config.file=", "policy"),
    ("cache-redis", 6379): ("tls-port 6379", "aclfile"),
    ("backup-exporter", 9854): ("MCOPS_BACKUP_CERTIFICATE_FILE=", "policy"),
    ("database-postgres", 8432): ("tls-server-cert-file=", "tls-server-auth="),
    ("incident-responder", 8443): ("MCOPS_RESPONDER_CERTIFICATE_FILE=", "mcops_responder_webhook_token"),
    ("prometheus", 9854): ("MCOPS_BACKUP_CERTIFICATE_FILE=", "MCOPS_BACKUP_PROMETHEUS_USER="),
    ("database-postgres", 5432): ("hostssl  modelcard  +modelcard", "scram-sha-256"),
    ("edge-nginx", 9113): ("--web.config.file=", "policy"),
    ("elasticsearch", 9200): ("xpack.security.http.ssl:\n  enabled: true", "xpack.security.enabled: true"),
    ("elasticsearch", 9300): ("xpack.security.transport.ssl:\n  enabled: true", "client_authentication: required"),
    ("elasticsearch-exporter", 9114): ("--web.config.file=", "policy"),
    ("grafana", 3000): ("GF_SERVER_PROTOCOL=https", "GF_AUTH_ANONYMOUS_ENABLED=false"),
    ("kibana", 5601): ("server.ssl.enabled: true", "elasticsearch.username: kibana_system"),
    ("kube-state-metrics", 8443): ("web.yml", "policy"),
    ("logstash", 5044): ("ssl_enabled => true", 'ssl_client_authentication => "required"'),
    ("node-exporter", 9100): ("--web.config.file=", "policy"),
    ("postgres-exporter", 9187): ("--web.config.file=", "policy"),
    ("prometheus", 9090): ("--web.config.file=", "web.yml"),
    ("prometheus-adapter", 9443): ("--tls-cert-file=", "policy"),
    ("redis-exporter", 9121): ("-tls-server-cert-file=", "policy"),
}
PLAIN: Mapping[tuple[str, int], str] = {
    ("edge-nginx", 8080): "the ingress controller ends TLS and calls it inside the cluster (docs/decisions/0006)",
    ("modelcard-generator", 8080): "uvicorn serves nginx and Prometheus inside the cluster (docs/decisions/0006, 0011)",
}
each_stack = pytest.mark.parametrize("stack", STACKS)


def opened(platform: Recording) -> Iterator[tuple[str, int]]:
    """Workload and port of every Service and of every NetworkPolicy that lets somebody in."""
    for each in platform.all("NetworkPolicy"):
        spec = each.inputs["spec"]
        for rule in spec.get("ingress", []):
            assert rule.get("ports"), f"{each.name} opens every port"
            for port in rule["ports"]:
                yield spec["podSelector"]["matchLabels"][NAME], port["port"]
    for each in platform.all("v1:Service"):
        for port in each.inputs["spec"]["ports"]:
            yield each.inputs["spec"]["selector"][NAME], port["port"]


def configuration(platform: Recording, name: str) -> str:
    """All that a workload's containers are told: arguments, variables, and the files of ConfigMaps and Secrets."""
    pod = pod_of(workloads(platform)[name])
    lines = [
        str(each) for container in pod["containers"] for each in (*container["command"], *container.get("args", []))
    ]
    lines += [
        f"{each['name']}={each.get('value')}" for container in pod["containers"] for each in container.get("env", [])
    ]
    for volume in pod["volumes"]:
        if "configMap" in volume:
            lines += _files(platform, "ConfigMap", volume["configMap"]["name"], "data")
        if "secret" in volume:
            lines += _files(platform, "Secret", volume["secret"]["secretName"], "stringData")
    return "\n".join(lines)


def _files(platform: Recording, kind: str, name: str, content: str) -> Iterator[str]:
    for manifest in platform.manifests():
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name):
            for file, text in manifest[content].items():
                yield f"{file}\n{text}"


@each_stack
def test_every_port_is_known(stack):
    assert set(opened(platform_of(stack))) - set(ENCRYPTED) - set(PLAIN) == set()


@each_stack
@pytest.mark.parametrize("path", ENCRYPTED, ids=lambda path: f"{path[0]}:{path[1]}")
def test_it_is_encrypted_and_asks_who_is_calling(stack, path):
    platform = platform_of(stack)
    if path in set(opened(platform)):
        encrypts, asks = ENCRYPTED[path]
        told = configuration(platform, path[0])
        assert encrypts in told
        assert asks == "policy" or asks in told


@pytest.mark.parametrize("path", [*ENCRYPTED, *PLAIN], ids=lambda path: f"{path[0]}:{path[1]}")
def test_nothing_is_here_that_is_not_there(path):
    assert path in set(opened(platform_of("prod")))


def test_what_only_a_policy_closes_is_open_to_prometheus_and_itself_alone(platform):
    for (name, port), (_, asks) in ENCRYPTED.items():
        if asks != "policy" or name == "prometheus-adapter":
            continue
        for each in platform.all("NetworkPolicy"):
            spec: Mapping[str, Any] = each.inputs["spec"]
            if spec["podSelector"].get("matchLabels", {}).get(NAME) != name:
                continue
            for rule in spec.get("ingress", []):
                if port in {each["port"] for each in rule["ports"]}:
                    callers = {
                        peer["podSelector"]["matchLabels"][NAME] for peer in rule["from"] if "podSelector" in peer
                    }
                    assert callers <= {"prometheus", "blackbox-exporter", name}, each.name


@each_stack
def test_no_credential_is_in_a_variable_a_config_map_or_a_command(stack):
    platform = platform_of(stack)
    for name, workload in workloads(platform).items():
        pod = pod_of(workload)
        told = json.dumps([each.get(key) for each in pod["containers"] for key in ("command", "args", "env")])
        assert "[secret]" not in told, name
    for each in platform.all("v1:ConfigMap"):
        files = {file: text for file, text in each.inputs["data"].items() if file != "ca.crt"}
        assert "[secret]" not in json.dumps(files), each.name
