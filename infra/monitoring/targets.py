"""Whom Prometheus asks: every component that has metrics, and every server whose certificate may expire."""

from __future__ import annotations

from infra.components import (
    adapter,
    alertmanager,
    app,
    backup_exporter,
    blackbox_exporter,
    cache,
    edge,
    elasticsearch,
    elasticsearch_exporter,
    grafana,
    incidents,
    kibana,
    kube_state_metrics,
    node_exporter,
    postgres_exporter,
    prometheus,
    redis_exporter,
)
from infra.kube.identity import Metrics, Workload, namespace_names
from infra.monitoring.scraping import Probe, Scraping
from infra.settings import Settings


def scraping(settings: Settings) -> Scraping:
    """All that the stack has of them."""
    return Scraping(
        environment=settings.monitoring.environment,
        namespaces=namespace_names(settings),
        targets=_targets(settings),
        alertmanager=alertmanager.METRICS,
        blackbox=blackbox_exporter.METRICS,
        probes=_probes(settings),
    )


def certified(settings: Settings) -> list[tuple[Workload, int]]:
    """The servers whose certificates a TLS client can see."""
    servers = [
        (cache.WORKLOAD, cache.PORT),
        (prometheus.WORKLOAD, prometheus.PORT),
        (alertmanager.WORKLOAD, alertmanager.PORT),
        (grafana.WORKLOAD, grafana.PORT),
        (incidents.WORKLOAD, incidents.PORT),
        (kube_state_metrics.WORKLOAD, kube_state_metrics.PORT),
        (postgres_exporter.WORKLOAD, postgres_exporter.PORT),
        (redis_exporter.WORKLOAD, redis_exporter.PORT),
        *([] if settings.preview_environment else [(backup_exporter.WORKLOAD, backup_exporter.PORT)]),
        (elasticsearch.WORKLOAD, elasticsearch.PORT),
        (kibana.WORKLOAD, kibana.PORT),
        (elasticsearch_exporter.WORKLOAD, elasticsearch_exporter.PORT),
    ]
    return [*servers, (adapter.WORKLOAD, adapter.PORT)] if settings.app.autoscaling.uses_adapter else servers


def _targets(settings: Settings) -> list[Metrics]:
    return [
        app.METRICS,
        edge.METRICS,
        postgres_exporter.METRICS,
        redis_exporter.METRICS,
        node_exporter.METRICS,
        kube_state_metrics.METRICS,
        blackbox_exporter.METRICS,
        *([] if settings.preview_environment else [backup_exporter.METRICS]),
        *([adapter.METRICS] if settings.app.autoscaling.uses_adapter else []),
        prometheus.METRICS,
        alertmanager.METRICS,
        grafana.METRICS,
        incidents.METRICS,
        elasticsearch_exporter.METRICS,
    ]


def _probes(settings: Settings) -> list[Probe]:
    names = namespace_names(settings)
    service = f"http://{edge.WORKLOAD.name}.{names['application']}:{edge.PORT}/docs"
    return [
        Probe(module=blackbox_exporter.SERVICE, target=service),
        *(
            Probe(module=blackbox_exporter.CERTIFICATE, target=f"{server.name}.{names[server.space]}:{port}")
            for server, port in certified(settings)
        ),
    ]
