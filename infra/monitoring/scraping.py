"""What Prometheus' configuration says, as data: whom it asks, under which labels, and whom it tells.

Source: prometheus.io, "Configuration" of Prometheus 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.kube.identity import Metrics, Space, Workload

INTERVAL = 15  # seconds, between two scrapes and between two evaluations
CONFIG, RULES = "/etc/modelcard/prometheus", "/etc/modelcard/rules"
TLS, LOGIN = "/run/secrets/tls", "/run/secrets/login"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - where Kubernetes puts it
KUBELET_PORT = 10250
USER = "platform"
CADVISOR = (
    "container_cpu_cfs_periods_total",
    "container_cpu_cfs_throttled_periods_total",
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "container_network_receive_bytes_total",
    "container_network_transmit_bytes_total",
)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """An address that the blackbox exporter tries, by which of its modules."""

    module: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Scraping:
    """Whom Prometheus asks and tells. `namespaces` are their plain names."""

    environment: str
    namespaces: Mapping[Space, str]
    targets: Sequence[Metrics]
    alertmanager: Metrics
    blackbox: Metrics
    probes: Sequence[Probe]


def prometheus_config(scraping: Scraping) -> dict[str, Any]:
    """The whole configuration. `${POD_NAME}` is replaced by Prometheus itself."""
    namespaces, alertmanager = scraping.namespaces, scraping.alertmanager
    return {
        "global": {
            "scrape_interval": f"{INTERVAL}s",
            "evaluation_interval": f"{INTERVAL}s",
            "external_labels": {"environment": scraping.environment, "replica": "${POD_NAME}"},
        },
        "rule_files": [f"{RULES}/*.yml"],
        "alerting": {
            # Alike from every replica, so that Alertmanager takes them for one.
            "alert_relabel_configs": [{"action": "labeldrop", "regex": "replica"}],
            "alertmanagers": [
                {
                    **_access(alertmanager),
                    "kubernetes_sd_configs": [_pods(alertmanager.workload, namespaces)],
                    "relabel_configs": [_keep_port(alertmanager.port)],
                }
            ],
        },
        "scrape_configs": [
            *(_job(each, namespaces) for each in scraping.targets),
            _nodes("cadvisor", "/metrics/cadvisor", "|".join(CADVISOR), namespaces),
            _nodes("kubelet", "/metrics", "kubelet_volume_stats_.*", namespaces),
            _probe(scraping),
        ],
    }


def _job(metrics: Metrics, namespaces: Mapping[Space, str]) -> dict[str, Any]:
    """All pods of a workload, wherever they are."""
    labels = ["namespace", "pod"]
    if metrics.workload.space == "agents":
        labels.append("node")
    job: dict[str, Any] = {"job_name": metrics.job, **_access(metrics)}
    if metrics.interval is not None:
        job["scrape_interval"] = f"{metrics.interval}s"
    if metrics.honor_labels:
        job["honor_labels"] = True
    if metrics.path is not None:
        job["metrics_path"] = metrics.path
    if metrics.parameters:
        job["params"] = {name: [value] for name, value in metrics.parameters.items()}
    return job | {
        "kubernetes_sd_configs": [_pods(metrics.workload, namespaces)],
        "relabel_configs": [
            _keep_port(metrics.port),
            {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Succeeded|Failed", "action": "drop"},
            *({"source_labels": [_META[label]], "target_label": label} for label in labels),
        ],
    }


_META = {
    "namespace": "__meta_kubernetes_namespace",
    "pod": "__meta_kubernetes_pod_name",
    "node": "__meta_kubernetes_pod_node_name",
}


def _access(metrics: Metrics) -> dict[str, Any]:
    access: dict[str, Any] = {}
    if metrics.server is not None:
        access = {"scheme": "https", "tls_config": {"ca_file": f"{TLS}/ca.crt", "server_name": metrics.server}}
    if metrics.credentials == "login":
        access["basic_auth"] = {"username": USER, "password_file": f"{LOGIN}/password"}
    elif metrics.credentials == "token":
        access["authorization"] = {"credentials_file": TOKEN}
    return access


def _pods(workload: Workload, namespaces: Mapping[Space, str]) -> dict[str, Any]:
    selector = ",".join(f"{key}={value}" for key, value in workload.selector.items())
    return {
        "role": "pod",
        "namespaces": {"names": [namespaces[workload.space]]},
        "selectors": [{"role": "pod", "label": selector}],
    }


def _keep_port(port: int) -> dict[str, Any]:
    source = "__meta_kubernetes_pod_container_port_number"
    return {"source_labels": [source], "regex": str(port), "action": "keep"}


def _nodes(job: str, path: str, metrics: str, namespaces: Mapping[Space, str]) -> dict[str, Any]:
    """What each kubelet says about the pods of our namespaces, and nothing about others."""
    own = "|".join(namespaces.values())
    return {
        "job_name": job,
        "scheme": "https",
        "metrics_path": path,
        # Kubelets sign their certificates themselves in most clusters; the token may read metrics and nothing else.
        "tls_config": {"insecure_skip_verify": True},
        "authorization": {"credentials_file": TOKEN},
        "kubernetes_sd_configs": [{"role": "node"}],
        "relabel_configs": [{"source_labels": ["__meta_kubernetes_node_name"], "target_label": "node"}],
        "metric_relabel_configs": [
            {"source_labels": ["__name__", "namespace"], "regex": f"({metrics});({own})", "action": "keep"}
        ],
    }


def _probe(scraping: Scraping) -> dict[str, Any]:
    blackbox, probes = scraping.blackbox, scraping.probes
    modules = sorted({each.module for each in probes})
    address = f"{blackbox.workload.name}.{scraping.namespaces[blackbox.workload.space]}:{blackbox.port}"
    return {
        "job_name": "probe",
        **_access(blackbox),
        "metrics_path": "/probe",
        "static_configs": [
            {
                "targets": [each.target for each in probes if each.module == module],
                "labels": {"__param_module": module, "probe": module},
            }
            for module in modules
        ],
        "relabel_configs": [
            {"source_labels": ["__address__"], "target_label": "__param_target"},
            {"source_labels": ["__param_target"], "target_label": "instance"},
            {"target_label": "__address__", "replacement": address},
        ],
    }


def client_config() -> dict[str, Any]:
    """How promtool in the pod asks its own Prometheus."""
    return {
        "basic_auth": {"username": USER, "password_file": f"{LOGIN}/password"},
        "tls_config": {"ca_file": f"{TLS}/ca.crt"},
    }
