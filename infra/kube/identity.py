"""Who a workload is, and where: names and labels, known before anything is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pulumi

from infra.settings import Settings

Tier = Literal[
    "app",
    "edge",
    "database",
    "cache",
    "prometheus",
    "alertmanager",
    "grafana",
    "adapter",
    "kube-state-metrics",
    "postgres-exporter",
    "redis-exporter",
    "node-exporter",
    "blackbox-exporter",
    "incidents",
    "backup",
    "backup-exporter",
    "recovery",
    "elasticsearch",
    "logstash",
    "kibana",
    "filebeat",
    "elasticsearch-exporter",
    "log-setup",
]
# Which of the platform's namespaces: `agents` is for what must see its node.
Space = Literal["application", "observability", "agents"]
Spaces = Mapping[Space, pulumi.Input[str]]


def namespace_names(settings: Settings) -> Mapping[Space, str]:
    """The namespaces of a stack."""
    return {
        "application": settings.namespace,
        "observability": f"{settings.namespace}-observability",
        "agents": f"{settings.namespace}-agents",
    }


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The identity that Services, policies and budgets select by. `name` is that of the controller object."""

    component: Tier
    name: str
    space: Space = "application"

    @property
    def selector(self) -> dict[str, str]:
        """Never changes: a Deployment's selector is immutable."""
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/part-of": "modelcard"}

    @property
    def labels(self) -> dict[str, str]:
        """Recommended labels (kubernetes.io, "Recommended Labels")."""
        return self.selector | {
            "app.kubernetes.io/component": self.component,
            "app.kubernetes.io/managed-by": "pulumi",
        }


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Where the pods of a workload tell their metrics, and as which job Prometheus asks for them.

    `interval` is in seconds; None is Prometheus' own. `server` is whom the certificate must name; None is plain HTTP.
    `credentials` are the monitoring's login or the token of Prometheus' account. `honor_labels` lets the series say
    which object they are about. `path` and `parameters` of the request are Prometheus' own where they are not given.
    """

    job: str
    workload: Workload
    port: int
    server: str | None
    interval: int | None = None
    credentials: Literal["login", "token"] | None = None
    honor_labels: bool = False
    path: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
