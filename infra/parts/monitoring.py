"""The monitoring: what measures, who asks it all, and who tells and shows it."""

from __future__ import annotations

from infra.components import adapter, cache, database, edge, grafana, incidents
from infra.components.adapter import Adapter, AdapterArgs
from infra.components.alertmanager import Alertmanager, AlertmanagerArgs
from infra.components.blackbox_exporter import BlackboxExporter, BlackboxExporterArgs
from infra.components.grafana import Grafana, GrafanaArgs
from infra.components.kube_state_metrics import KubeStateMetrics, KubeStateMetricsArgs
from infra.components.node_exporter import NodeExporter, NodeExporterArgs
from infra.components.postgres_exporter import PostgresExporter, PostgresExporterArgs
from infra.components.prometheus import Prometheus, PrometheusArgs
from infra.components.redis_exporter import RedisExporter, RedisExporterArgs
from infra.monitoring.routing import RESPONDER_TOKEN, secret_files
from infra.monitoring.targets import certified, scraping
from infra.parts.ground import Ground, secret


def declare_postgres_exporter(ground: Ground) -> PostgresExporter:
    """What measures the database."""
    settings, secrets = ground.settings, ground.settings.secrets
    return PostgresExporter(
        "postgres-exporter",
        PostgresExporterArgs(
            spaces=ground.spaces,
            serving=ground.serving(settings.monitoring.exporters.postgresql, secrets.postgresql_exporter_certificate),
            address=f"{database.WORKLOAD.name}.{ground.names['application']}:{database.PORT}",
            user=database.login(database.MONITOR, settings.rotation),
            password=secret(secrets.database_monitor_password),
        ),
        ground.options,
    )


def declare_redis_exporter(ground: Ground) -> RedisExporter:
    """What measures the cache."""
    settings, secrets = ground.settings, ground.settings.secrets
    return RedisExporter(
        "redis-exporter",
        RedisExporterArgs(
            spaces=ground.spaces,
            serving=ground.serving(settings.monitoring.exporters.redis, secrets.redis_exporter_certificate),
            address=f"{cache.WORKLOAD.name}.{ground.names['application']}:{cache.PORT}",
            password=secret(secrets.cache_monitor_password),
        ),
        ground.options,
    )


def declare_blackbox_exporter(ground: Ground) -> BlackboxExporter:
    """What tries the service and every certificate, as a client would."""
    settings, secrets = ground.settings, ground.settings.secrets
    return BlackboxExporter(
        "blackbox-exporter",
        BlackboxExporterArgs(
            spaces=ground.spaces,
            serving=ground.serving(settings.monitoring.exporters.blackbox, secrets.blackbox_exporter_certificate),
            servers=[(edge.WORKLOAD, edge.PORT), *certified(settings)],
        ),
        ground.options,
    )


def declare_node_exporter(ground: Ground) -> NodeExporter:
    """What measures the nodes."""
    settings, secrets = ground.settings, ground.settings.secrets
    return NodeExporter(
        "node-exporter",
        NodeExporterArgs(
            spaces=ground.spaces,
            serving=ground.serving(settings.monitoring.exporters.node, secrets.node_exporter_certificate),
        ),
        ground.options,
    )


def declare_kube_state_metrics(ground: Ground) -> KubeStateMetrics:
    """What measures the objects in the cluster."""
    settings = ground.settings.monitoring.kube_state_metrics
    certificate = ground.settings.secrets.kube_state_metrics_certificate
    return KubeStateMetrics(
        "kube-state-metrics",
        KubeStateMetricsArgs(
            spaces=ground.spaces,
            namespaces=ground.names,
            serving=ground.serving(settings.image, certificate, settings.resources),
        ),
        ground.options,
    )


def declare_prometheus(ground: Ground) -> Prometheus:
    """Who asks them all."""
    settings = ground.settings
    adapters = [adapter.WORKLOAD] if settings.app.autoscaling.uses_adapter else []
    return Prometheus(
        "prometheus",
        PrometheusArgs(
            spaces=ground.spaces,
            settings=settings.monitoring.prometheus,
            tools=settings.ops,
            scraping=scraping(settings),
            certificate=ground.issued(settings.secrets.prometheus_certificate),
            login=ground.login,
            bucket=settings.backup.bucket,
            clients=[grafana.WORKLOAD, incidents.WORKLOAD, *adapters],
            rollout=ground.rollout,
        ),
        ground.options,
    )


def declare_adapter(ground: Ground, *, prometheus: str) -> Adapter:
    """Who tells the autoscaler what Prometheus, at that URL, knows."""
    settings = ground.settings
    return Adapter(
        "adapter",
        AdapterArgs(
            spaces=ground.spaces,
            settings=settings.monitoring.adapter,
            prometheus=prometheus,
            login=ground.login,
            certificate=ground.issued(settings.secrets.adapter_certificate),
            rollout=ground.rollout,
        ),
        ground.options,
    )


def declare_alertmanager(ground: Ground) -> Alertmanager:
    """Who tells people, and the responder."""
    settings, secrets = ground.settings, ground.settings.secrets
    return Alertmanager(
        "alertmanager",
        AlertmanagerArgs(
            spaces=ground.spaces,
            settings=settings.monitoring.alertmanager,
            notifications=settings.notifications,
            responder=incidents.webhook(ground.names["observability"]),
            secrets={
                RESPONDER_TOKEN: secret(secrets.incidents_webhook_token),
                **{file: secret(value) for file, value in secret_files(settings.notifications).items()},
            },
            certificate=ground.issued(secrets.alertmanager_certificate),
            login=ground.login,
            clients=[grafana.WORKLOAD, incidents.WORKLOAD],
            rollout=ground.rollout,
        ),
        ground.options,
    )


def declare_grafana(ground: Ground, *, prometheus: str, alertmanager: str) -> Grafana:
    """Who shows what those at these URLs know."""
    settings, secrets = ground.settings, ground.settings.secrets
    return Grafana(
        "grafana",
        GrafanaArgs(
            spaces=ground.spaces,
            settings=settings.monitoring.grafana,
            prometheus=prometheus,
            alertmanager=alertmanager,
            password=secret(secrets.grafana_password),
            certificate=ground.issued(secrets.grafana_certificate),
            login=ground.login,
            rollout=ground.rollout,
        ),
        ground.options,
    )
