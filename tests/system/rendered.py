"""Prometheus' rendered configuration, unchanged but for addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from infra.kube.files import as_yaml


@dataclass(frozen=True)
class Target:
    """Where a pod or a kubelet is on this machine, and as what Kubernetes would show it."""

    address: str
    namespace: str = ""
    pod: str = ""
    node: str = "gameday"


def with_addresses(text: str, targets: Mapping[str, Sequence[Target]], names: Mapping[str, str]) -> str:
    """The configuration with the targets of each job in place of Kubernetes' discovery.

    Everything else stays: schemes, certificates, logins, relabelling. `names` maps host names to addresses.
    """
    document = yaml.safe_load(text)
    for job in document["scrape_configs"]:
        _discovered(job, targets.get(job["job_name"], ()))
        for static in job.get("static_configs", []):
            static["targets"] = [_named(each, names) for each in static["targets"]]
        for rule in job["relabel_configs"]:
            if rule.get("target_label") == "__address__":
                rule["replacement"] = _named(rule["replacement"], names)
    for manager in document["alerting"]["alertmanagers"]:
        _discovered(manager, targets["alertmanager"])
    return as_yaml(document)


def with_cluster(text: str, *, kubeconfig: str, network: str) -> str:
    """The configuration with Kubernetes' discovery as it is, for a Prometheus outside the cluster.

    `kubeconfig` says where the API is, and `network` is a proxy through which the addresses of pods are reached.
    """
    document = yaml.safe_load(text)
    for each in [*document["scrape_configs"], *document["alerting"]["alertmanagers"]]:
        each["proxy_url"] = network
        for discovery in each.get("kubernetes_sd_configs", []):
            discovery["kubeconfig_file"] = kubeconfig
    return as_yaml(document)


def _discovered(job: dict[str, Any], targets: Sequence[Target]) -> None:
    if not job.pop("kubernetes_sd_configs", None):
        return
    port = next((rule["regex"] for rule in job["relabel_configs"] if rule.get("action") == "keep"), "")
    job["static_configs"] = [
        {
            "targets": [each.address],
            "labels": {
                "__meta_kubernetes_namespace": each.namespace,
                "__meta_kubernetes_pod_name": each.pod,
                "__meta_kubernetes_pod_node_name": each.node,
                "__meta_kubernetes_node_name": each.node,
                "__meta_kubernetes_pod_phase": "Running",
                "__meta_kubernetes_pod_container_port_number": port,
            },
        }
        for each in targets
    ]


def _named(text: str, names: Mapping[str, str]) -> str:
    for name, address in sorted(names.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(name, address)
    return text
