"""Wires the components: the only file in which one component's outputs meet another's arguments."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import SecretStr

from infra.components import (
    adapter,
    alertmanager,
    app,
    blackbox_exporter,
    cache,
    database,
    edge,
    grafana,
    kube_state_metrics,
    node_exporter,
    postgres_exporter,
    prometheus,
    redis_exporter,
)
from infra.components.adapter import Adapter, AdapterArgs
from infra.components.alertmanager import Alertmanager, AlertmanagerArgs
from infra.components.app import App, AppArgs, Keda
from infra.components.blackbox_exporter import BlackboxExporter, BlackboxExporterArgs
from infra.components.cache import Cache, CacheArgs
from infra.components.database import Database, DatabaseArgs
from infra.components.edge import Edge, EdgeArgs
from infra.components.grafana import Grafana, GrafanaArgs
from infra.components.kube_state_metrics import KubeStateMetrics, KubeStateMetricsArgs
from infra.components.namespace import Namespace, NamespaceArgs, Quota
from infra.components.node_exporter import NodeExporter, NodeExporterArgs
from infra.components.postgres_exporter import PostgresExporter, PostgresExporterArgs
from infra.components.prometheus import Prometheus, PrometheusArgs
from infra.components.redis_exporter import RedisExporter, RedisExporterArgs
from infra.kube.exporter import Serving
from infra.kube.identity import Space, Spaces, Workload
from infra.kube.pods import Rollout
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.monitoring.routing import secret_files
from infra.monitoring.scraping import USER, Probe, Scraping
from infra.quantities import Cpu, Memory
from infra.settings import Certificate, Resources, Settings, connections_per_worker

MOST_NODES = 100  # the agents' quota ends there; a larger cluster needs a larger one


class Platform:
    """All that a stack deploys. Attributes are the components, and `url`, where users find the service."""

    def __init__(self, settings: Settings) -> None:
        secrets = settings.secrets
        authority = _secret(secrets.authority.certificate)
        rollout = Rollout(rotation=settings.rotation, deadline=settings.rollout_deadline)

        def issued(pair: Certificate) -> ServerCertificate:
            return ServerCertificate(authority=authority, certificate=_secret(pair.certificate), key=_secret(pair.key))

        login = MonitoringLogin(
            user=USER,
            password=_secret(secrets.monitoring_login.password),
            hash=_secret(secrets.monitoring_login.hash),
        )
        exporters = settings.monitoring.exporters

        def serving(image: str, certificate: Certificate, resources: Resources = exporters.resources) -> Serving:
            return Serving(image=image, resources=resources, certificate=issued(certificate), rollout=rollout)

        # Otherwise a changed ConfigMap or Secret is deleted and made anew, and everything that mounts it with it.
        cluster = kubernetes.Provider("cluster", enable_config_map_mutable=True, enable_secret_mutable=True)
        inside = pulumi.ResourceOptions(provider=cluster)
        self.namespaces = {
            space: Namespace(
                name,
                NamespaceArgs(
                    # node-exporter reads the node's own file systems.
                    pod_security="privileged" if space == "agents" else "restricted",
                    quota=quota(settings, space),
                    protect=settings.protect_data and space == "application",
                ),
                inside,
            )
            for space, name in namespace_names(settings).items()
        }
        spaces: Spaces = {space: each.metadata_name for space, each in self.namespaces.items()}
        self.database = Database(
            "database",
            DatabaseArgs(
                spaces=spaces,
                image=settings.database.image,
                resources=settings.database.resources,
                storage=settings.database.storage,
                max_connections=settings.database.max_connections,
                admin_password=_secret(secrets.database_admin_password),
                password=_secret(secrets.database_password),
                monitor_password=_secret(secrets.database_monitor_password),
                certificate=issued(secrets.database_certificate),
                clients=[app.WORKLOAD, postgres_exporter.WORKLOAD],
                rollout=rollout,
                protect=settings.protect_data,
            ),
            inside,
        )
        self.cache = Cache(
            "cache",
            CacheArgs(
                spaces=spaces,
                image=settings.cache.image,
                resources=settings.cache.resources,
                password=_secret(secrets.cache_password),
                monitor_password=_secret(secrets.cache_monitor_password),
                certificate=issued(secrets.cache_certificate),
                clients=[app.WORKLOAD, redis_exporter.WORKLOAD],
                rollout=rollout,
            ),
            inside,
        )
        self.app = App(
            "app",
            AppArgs(
                spaces=spaces,
                image=settings.app.image,
                workers=settings.app.workers,
                database_connections=connections_per_worker(
                    settings.database.max_connections, settings.app.replicas.max, settings.app.workers
                ),
                upload_limit=settings.edge.upload_limit,
                replicas=settings.app.replicas,
                resources=settings.app.resources,
                autoscaling=settings.app.autoscaling,
                keda=None if uses_adapter(settings) else keda(settings, login),
                uploads=settings.app.uploads,
                termination_grace=settings.app.termination_grace,
                database_url=self.database.url,
                cache_url=self.cache.url,
                authority=authority,
                clients=[edge.WORKLOAD],
                rollout=rollout,
                protect=settings.protect_data,
            ),
            inside,
        )
        self.edge = Edge(
            "edge",
            EdgeArgs(
                spaces=spaces,
                image=settings.edge.image,
                host=settings.edge.host,
                replicas=settings.edge.replicas,
                resources=settings.edge.resources,
                ingress_class=settings.edge.ingress_class,
                ingress_namespace=settings.edge.ingress_namespace,
                tls_secret=settings.edge.tls_secret,
                certificate=issued(secrets.edge_certificate),
                upload_limit=settings.edge.upload_limit,
                backend=f"{self.app.host}:{app.PORT}",
                exporter=serving(exporters.nginx, secrets.nginx_exporter_certificate),
                rollout=rollout,
            ),
            inside,
        )
        names = namespace_names(settings)
        self.postgres_exporter = PostgresExporter(
            "postgres-exporter",
            PostgresExporterArgs(
                spaces=spaces,
                serving=serving(exporters.postgresql, secrets.postgresql_exporter_certificate),
                address=f"{database.WORKLOAD.name}.{names['application']}:{database.PORT}",
                password=_secret(secrets.database_monitor_password),
            ),
            inside,
        )
        self.redis_exporter = RedisExporter(
            "redis-exporter",
            RedisExporterArgs(
                spaces=spaces,
                serving=serving(exporters.redis, secrets.redis_exporter_certificate),
                address=f"{cache.WORKLOAD.name}.{names['application']}:{cache.PORT}",
                password=_secret(secrets.cache_monitor_password),
            ),
            inside,
        )
        self.blackbox_exporter = BlackboxExporter(
            "blackbox-exporter",
            BlackboxExporterArgs(
                spaces=spaces,
                serving=serving(exporters.blackbox, secrets.blackbox_exporter_certificate),
                servers=[(edge.WORKLOAD, edge.PORT), *certified(settings)],
            ),
            inside,
        )
        self.node_exporter = NodeExporter(
            "node-exporter",
            NodeExporterArgs(spaces=spaces, serving=serving(exporters.node, secrets.node_exporter_certificate)),
            inside,
        )
        state = settings.monitoring.kube_state_metrics
        self.kube_state_metrics = KubeStateMetrics(
            "kube-state-metrics",
            KubeStateMetricsArgs(
                spaces=spaces,
                namespaces=names,
                serving=serving(state.image, secrets.kube_state_metrics_certificate, state.resources),
            ),
            inside,
        )
        self.prometheus = Prometheus(
            "prometheus",
            PrometheusArgs(
                spaces=spaces,
                settings=settings.monitoring.prometheus,
                scraping=scraping(settings),
                certificate=issued(secrets.prometheus_certificate),
                login=login,
                clients=[grafana.WORKLOAD, *([adapter.WORKLOAD] if uses_adapter(settings) else [])],
                rollout=rollout,
            ),
            inside,
        )
        if uses_adapter(settings):
            self.adapter = Adapter(
                "adapter",
                AdapterArgs(
                    spaces=spaces,
                    settings=settings.monitoring.adapter,
                    prometheus=self.prometheus.url,
                    login=login,
                    certificate=issued(secrets.adapter_certificate),
                    rollout=rollout,
                ),
                inside,
            )
        self.alertmanager = Alertmanager(
            "alertmanager",
            AlertmanagerArgs(
                spaces=spaces,
                settings=settings.monitoring.alertmanager,
                notifications=settings.notifications,
                secrets={file: _secret(value) for file, value in secret_files(settings.notifications).items()},
                certificate=issued(secrets.alertmanager_certificate),
                login=login,
                clients=[grafana.WORKLOAD],
                rollout=rollout,
            ),
            inside,
        )
        self.grafana = Grafana(
            "grafana",
            GrafanaArgs(
                spaces=spaces,
                settings=settings.monitoring.grafana,
                prometheus=self.prometheus.url,
                alertmanager=self.alertmanager.url,
                password=_secret(secrets.grafana_password),
                certificate=issued(secrets.grafana_certificate),
                login=login,
                rollout=rollout,
            ),
            inside,
        )
        self.url = self.edge.url


def scraping(settings: Settings) -> Scraping:
    """Whom Prometheus asks: every component that has metrics."""
    names = namespace_names(settings)
    return Scraping(
        environment=settings.monitoring.environment,
        namespaces=names,
        targets=[
            app.METRICS,
            edge.METRICS,
            postgres_exporter.METRICS,
            redis_exporter.METRICS,
            node_exporter.METRICS,
            kube_state_metrics.METRICS,
            blackbox_exporter.METRICS,
            *([adapter.METRICS] if uses_adapter(settings) else []),
            prometheus.METRICS,
            alertmanager.METRICS,
            grafana.METRICS,
        ],
        alertmanager=alertmanager.METRICS,
        blackbox=blackbox_exporter.METRICS,
        probes=[
            Probe(
                module=blackbox_exporter.SERVICE,
                target=f"http://{edge.WORKLOAD.name}.{names['application']}:{edge.PORT}/docs",
            ),
            *(
                Probe(module=blackbox_exporter.CERTIFICATE, target=f"{server.name}.{names[server.space]}:{port}")
                for server, port in certified(settings)
            ),
        ],
    )


def uses_adapter(settings: Settings) -> bool:
    """Whether prometheus-adapter gives the autoscaler its metric; otherwise KEDA does."""
    return settings.app.autoscaling.metrics_from == "prometheus-adapter"


def keda(settings: Settings, login: MonitoringLogin) -> Keda:
    """How KEDA gets it."""
    server = prometheus.METRICS
    host = f"{server.workload.name}.{namespace_names(settings)[server.workload.space]}"
    return Keda(url=f"https://{host}:{server.port}", server=server, login=login)


def certified(settings: Settings) -> list[tuple[Workload, int]]:
    """The servers whose certificates a TLS client can see."""
    servers = [
        (cache.WORKLOAD, cache.PORT),
        (prometheus.WORKLOAD, prometheus.PORT),
        (alertmanager.WORKLOAD, alertmanager.PORT),
        (grafana.WORKLOAD, grafana.PORT),
        (kube_state_metrics.WORKLOAD, kube_state_metrics.PORT),
        (postgres_exporter.WORKLOAD, postgres_exporter.PORT),
        (redis_exporter.WORKLOAD, redis_exporter.PORT),
    ]
    return [*servers, (adapter.WORKLOAD, adapter.PORT)] if uses_adapter(settings) else servers


def quota(settings: Settings, space: Space) -> Quota:
    """What a namespace needs with every workload at its maximum and one pod more of each during a rollout."""
    monitoring = settings.monitoring
    exporter = monitoring.exporters.resources
    pods: dict[Space, list[tuple[list[Resources], int]]] = {
        "application": [
            ([settings.app.resources], settings.app.replicas.max + 1),
            ([settings.edge.resources, exporter], settings.edge.replicas + 1),
            ([settings.database.resources], 1),
            ([settings.cache.resources], 2),
        ],
        "observability": [
            ([monitoring.prometheus.resources], monitoring.prometheus.replicas),
            ([monitoring.alertmanager.resources], monitoring.alertmanager.replicas),
            ([monitoring.grafana.resources], 2),
            ([monitoring.kube_state_metrics.resources], 2),
            ([monitoring.adapter.resources], 3 if uses_adapter(settings) else 0),
            ([exporter], 3 * 2),
        ],
        "agents": [([exporter], MOST_NODES)],
    }
    storage: dict[Space, list[tuple[Memory, int]]] = {
        "application": [(settings.database.storage.size, 1), (settings.app.uploads.size, 1)],
        "observability": [
            (monitoring.prometheus.storage.size, monitoring.prometheus.replicas),
            (monitoring.alertmanager.storage.size, monitoring.alertmanager.replicas),
        ],
        "agents": [],
    }
    requests = [(each, count) for containers, count in pods[space] for each in containers]
    return Quota(
        cpu=Cpu.of_millicores(sum(each.cpu_request.millicores * count for each, count in requests)),
        memory=Memory.of_bytes(sum(each.memory_request.bytes * count for each, count in requests)),
        storage=Memory.of_bytes(sum(size.bytes * count for size, count in storage[space])),
        pods=sum(count for _, count in pods[space]),
    )


def namespace_names(settings: Settings) -> Mapping[Space, str]:
    """The namespaces of a stack."""
    return {
        "application": settings.namespace,
        "observability": f"{settings.namespace}-observability",
        "agents": f"{settings.namespace}-agents",
    }


def deploy(settings: Settings) -> None:
    """Declares the platform and exports what people ask a stack for."""
    platform = Platform(settings)
    pulumi.export("url", platform.url)
    pulumi.export("namespace", platform.namespaces["application"].metadata_name)


def _secret(value: SecretStr) -> pulumi.Output[str]:
    return pulumi.Output.secret(value.get_secret_value())
