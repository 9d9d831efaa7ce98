"""Wires the components: the only file in which one component's outputs meet another's arguments."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import SecretStr

from infra import cloud
from infra.components import (
    adapter,
    alertmanager,
    app,
    backup,
    backup_exporter,
    blackbox_exporter,
    cache,
    database,
    edge,
    elasticsearch,
    elasticsearch_exporter,
    filebeat,
    grafana,
    incidents,
    kibana,
    kube_state_metrics,
    log_setup,
    logstash,
    node_exporter,
    postgres_exporter,
    prometheus,
    redis_exporter,
)
from infra.components.adapter import Adapter, AdapterArgs
from infra.components.alertmanager import Alertmanager, AlertmanagerArgs
from infra.components.app import App, AppArgs, Keda
from infra.components.backup import Backup, BackupArgs
from infra.components.backup_exporter import BackupExporter, BackupExporterArgs
from infra.components.backup_storage import BackupStorage, BackupStorageArgs, role_arn
from infra.components.blackbox_exporter import BlackboxExporter, BlackboxExporterArgs
from infra.components.cache import Cache, CacheArgs
from infra.components.database import Database, DatabaseArgs
from infra.components.edge import Edge, EdgeArgs
from infra.components.elasticsearch import Elasticsearch, ElasticsearchArgs
from infra.components.elasticsearch_exporter import ElasticsearchExporter, ElasticsearchExporterArgs
from infra.components.filebeat import Filebeat, FilebeatArgs
from infra.components.grafana import Grafana, GrafanaArgs
from infra.components.incidents import Assessed, Incidents, IncidentsArgs
from infra.components.kibana import Kibana, KibanaArgs
from infra.components.kube_state_metrics import KubeStateMetrics, KubeStateMetricsArgs
from infra.components.log_setup import LogSetup, LogSetupArgs
from infra.components.logstash import Logstash, LogstashArgs
from infra.components.namespace import Namespace, NamespaceArgs, Quota
from infra.components.node_exporter import NodeExporter, NodeExporterArgs
from infra.components.postgres_exporter import PostgresExporter, PostgresExporterArgs
from infra.components.prometheus import Prometheus, PrometheusArgs
from infra.components.redis_exporter import RedisExporter, RedisExporterArgs
from infra.kube.bucket import ROLES, Bucket, Keys, Role
from infra.kube.exporter import Serving
from infra.kube.identity import Space, Spaces, Workload
from infra.kube.marks import mark_all
from infra.kube.pods import Rollout
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.monitoring.routing import RESPONDER_TOKEN, secret_files
from infra.monitoring.scraping import USER, Probe, Scraping
from infra.quantities import Cpu, Memory
from infra.settings import Certificate, Resources, Settings, connections_per_worker

THROWN_AWAY = "none: what a preview environment holds is thrown away with it"
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
                    # node-exporter and Filebeat read the node's own files.
                    pod_security="privileged" if space == "agents" else "restricted",
                    quota=quota(settings, space),
                    protect=settings.protect_data and space == "application",
                ),
                inside,
            )
            for space, name in namespace_names(settings).items()
        }
        thrown_away = settings.preview_environment
        jobs = [] if thrown_away else [backup.RUN, backup.DRILL]
        if settings.backup.storage == "aws" and not thrown_away:
            self.backup_storage = storage(settings)
        bucket = backup_bucket(settings)
        spaces: Spaces = {space: each.metadata_name for space, each in self.namespaces.items()}
        self.database = Database(
            "database",
            DatabaseArgs(
                spaces=spaces,
                image=settings.database.image,
                resources=settings.database.resources,
                backup_resources=settings.database.backup_resources,
                storage=settings.database.storage,
                max_connections=settings.database.max_connections,
                admin_password=_secret(secrets.database_admin_password),
                password=_secret(secrets.database_password),
                monitor_password=_secret(secrets.database_monitor_password),
                certificate=issued(secrets.database_certificate),
                clients=[app.WORKLOAD, postgres_exporter.WORKLOAD, incidents.WORKLOAD, *jobs],
                bucket=bucket,
                passphrase=_secret(secrets.backup_passphrase),
                # Half of what may be lost: the rest is for the way to the bucket, and for whoever is told.
                archive_timeout=None if thrown_away else settings.backup.objectives.rpo // 2,
                backup=THROWN_AWAY if thrown_away else "database",
                readers=[] if thrown_away else [backup.RUN],
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
                keda=keda(settings, login) if settings.app.autoscaling.metrics_from == "keda" else None,
                uploads=settings.app.uploads,
                backup=THROWN_AWAY if thrown_away else "uploads",
                termination_grace=settings.app.termination_grace,
                database_url=self.database.url,
                cache_url=self.cache.url,
                authority=authority,
                clients=[edge.WORKLOAD, incidents.WORKLOAD],
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
        kept = (self.database, self.cache, self.app, self.edge)
        if not thrown_away:
            self.backup = Backup(
                "backup",
                BackupArgs(
                    spaces=spaces,
                    image=settings.ops.image,
                    resources=settings.backup.resources,
                    scratch=settings.backup.scratch,
                    bucket=bucket,
                    recipient=recipient(settings),
                    identity=_secret(secrets.backup_identity),
                    passphrase=_secret(secrets.backup_passphrase),
                    certificate=issued(secrets.backup_client_certificate),
                    authority=authority,
                    database_url=self.database.url,
                    uploads=self.app.uploads,
                    uploads_on_one_node=settings.app.uploads.access_mode == "ReadWriteOnce",
                    config_maps=[each for component in kept for each in component.config_maps],
                    secrets=[each for component in kept for each in component.secrets],
                    prometheus_url=f"https://{prometheus.FIRST}.{names['observability']}:{prometheus.PORT}",
                    snapshots_url=f"https://{prometheus.FIRST}.{names['observability']}:{prometheus.SNAPSHOTS_PORT}",
                    login=login,
                    schedules=settings.backup.schedules,
                    keep=settings.backup.keep,
                    objectives=settings.backup.objectives,
                    rollout=rollout,
                ),
                inside,
            )
            self.backup_exporter = BackupExporter(
                "backup-exporter",
                BackupExporterArgs(
                    spaces=spaces,
                    serving=serving(settings.ops.image, secrets.backup_exporter_certificate, settings.ops.resources),
                    bucket=bucket,
                    objectives=settings.backup.objectives,
                ),
                inside,
            )
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
                tools=settings.ops,
                scraping=scraping(settings),
                certificate=issued(secrets.prometheus_certificate),
                login=login,
                bucket=settings.backup.bucket,
                clients=[
                    grafana.WORKLOAD,
                    incidents.WORKLOAD,
                    *([adapter.WORKLOAD] if uses_adapter(settings) else []),
                ],
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
                responder=incidents.webhook(names["observability"]),
                secrets={
                    RESPONDER_TOKEN: _secret(secrets.incidents_webhook_token),
                    **{file: _secret(value) for file, value in secret_files(settings.notifications).items()},
                },
                certificate=issued(secrets.alertmanager_certificate),
                login=login,
                clients=[grafana.WORKLOAD, incidents.WORKLOAD],
                rollout=rollout,
            ),
            inside,
        )
        self.incidents = Incidents(
            "incidents",
            IncidentsArgs(
                spaces=spaces,
                image=settings.ops.image,
                settings=settings.incidents,
                notifications=settings.notifications,
                secrets={name: _secret(value) for name, value in responder_secrets(settings).items()},
                webhook_token=_secret(secrets.incidents_webhook_token),
                token=_secret(secrets.incidents_token),
                assessed=Assessed(
                    namespaces=names,
                    workload=app.WORKLOAD.name,
                    service=f"http://{app.WORKLOAD.name}.{names['application']}:{app.PORT}",
                    database=f"{database.WORKLOAD.name}.{names['application']}",
                    database_port=database.PORT,
                    prometheus=self.prometheus.url,
                    alertmanager=f"https://{alertmanager.WORKLOAD.name}.{names['observability']}:{alertmanager.PORT}",
                ),
                alertmanager=alertmanager.WORKLOAD,
                certificate=issued(secrets.incidents_certificate),
                login=login,
                rollout=rollout,
                protect=settings.protect_data,
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
        logging = settings.logging
        self.elasticsearch = Elasticsearch(
            "elasticsearch",
            ElasticsearchArgs(
                spaces=spaces,
                settings=logging.elasticsearch,
                snapshots=logging.snapshots,
                setup=MonitoringLogin(
                    user=elasticsearch.SETUP,
                    password=_secret(secrets.elasticsearch_setup_login.password),
                    hash=_secret(secrets.elasticsearch_setup_login.hash),
                ),
                certificate=issued(secrets.elasticsearch_certificate),
                clients=[logstash.WORKLOAD, kibana.WORKLOAD, log_setup.WORKLOAD, elasticsearch_exporter.WORKLOAD],
                rollout=rollout,
                protect=settings.protect_data,
            ),
            inside,
        )
        self.logstash = Logstash(
            "logstash",
            LogstashArgs(
                spaces=spaces,
                settings=logging.logstash,
                stack=settings.monitoring.environment,
                elasticsearch=self.elasticsearch.url,
                password=_secret(secrets.log_writer_password),
                certificate=issued(secrets.logstash_certificate),
                clients=[filebeat.WORKLOAD],
                rollout=rollout,
            ),
            inside,
        )
        self.kibana = Kibana(
            "kibana",
            KibanaArgs(
                spaces=spaces,
                settings=logging.kibana,
                elasticsearch=self.elasticsearch.url,
                password=_secret(secrets.kibana_password),
                encryption_key=_secret(secrets.kibana_encryption_key),
                certificate=issued(secrets.kibana_certificate),
                clients=[log_setup.WORKLOAD],
                rollout=rollout,
            ),
            inside,
        )
        self.filebeat = Filebeat(
            "filebeat",
            FilebeatArgs(
                spaces=spaces,
                settings=logging.filebeat,
                namespace=names["application"],
                logstash=f"{self.logstash.host}.{names['observability']}:{logstash.PORT}",
                certificate=issued(secrets.filebeat_certificate),
                rollout=rollout,
            ),
            inside,
        )
        self.elasticsearch_exporter = ElasticsearchExporter(
            "elasticsearch-exporter",
            ElasticsearchExporterArgs(
                spaces=spaces,
                serving=serving(exporters.elasticsearch, secrets.elasticsearch_exporter_certificate),
                password=_secret(secrets.log_monitor_password),
            ),
            inside,
        )
        self.log_setup = LogSetup(
            "log-setup",
            LogSetupArgs(
                spaces=spaces,
                image=settings.ops.image,
                resources=logging.setup,
                stack=settings.monitoring.environment,
                elasticsearch=self.elasticsearch.url,
                kibana=f"https://{kibana.WORKLOAD.name}:{kibana.PORT}",
                authority=authority,
                passwords={
                    elasticsearch.SETUP: _secret(secrets.elasticsearch_setup_login.password),
                    "elastic": _secret(secrets.elasticsearch_password),
                    "kibana_system": _secret(secrets.kibana_password),
                    logstash.WRITER: _secret(secrets.log_writer_password),
                    "log_reader": _secret(secrets.log_reader_password),
                    elasticsearch_exporter.MONITOR: _secret(secrets.log_monitor_password),
                    "log_snapshot": _secret(secrets.log_snapshot_password),
                },
                retention=logging.retention,
                snapshots=logging.snapshots,
                bucket=settings.backup.bucket,
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
            *([] if settings.preview_environment else [backup_exporter.METRICS]),
            *([adapter.METRICS] if uses_adapter(settings) else []),
            prometheus.METRICS,
            alertmanager.METRICS,
            grafana.METRICS,
            incidents.METRICS,
            elasticsearch_exporter.METRICS,
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


def responder_secrets(settings: Settings) -> dict[str, SecretStr]:
    """What the responder needs to tell people, by the names of its settings; what is absent is not told."""
    mail, page = settings.notifications.mail, settings.incidents.status_page
    found = {
        "slack_token": settings.notifications.slack_token,
        "mail_password": mail.password if mail else None,
        "status_page_token": page.token if page else None,
        "heartbeat_url": settings.incidents.heartbeat_url,
    }
    return {name: secret for name, secret in found.items() if secret is not None}


def storage(settings: Settings) -> BackupStorage:
    """The bucket, where the stack makes it itself."""
    section = settings.backup
    provider = section.identity_provider
    if provider is None:
        raise ValueError("`settings_reading.parse` lets no such settings through")
    # Whatever credentials happen to be around: they open no other account's cloud.
    account = cloud.Provider("aws", region=section.region, allowed_account_ids=[provider.account])
    return BackupStorage(
        "backup-storage",
        BackupStorageArgs(
            bucket=section.bucket,
            folder=settings.namespace,
            region=section.region,
            replica_region=section.replica_region,
            identity_provider=provider,
            accounts=role_accounts(settings),
            object_lock=section.object_lock,
            protect=settings.protect_data,
        ),
        pulumi.ResourceOptions(provider=account),
    )


def role_accounts(settings: Settings) -> Mapping[Role, list[str]]:
    """Who of the cluster may take which role in the bucket."""
    names = namespace_names(settings)

    def accounts(*workloads: Workload) -> list[str]:
        return [f"{names[each.space]}:{each.name}" for each in workloads]

    jobs: dict[Role, list[str]] = {
        role: accounts(*(each for each, (own, _) in backup.JOBS.items() if own == role)) for role in ROLES
    }
    return jobs | {"archiver": accounts(database.WORKLOAD), "observer": accounts(backup_exporter.WORKLOAD)}


def backup_bucket(settings: Settings) -> Bucket:
    """How pods reach it."""
    section = settings.backup
    provider, access, secret = section.identity_provider, section.access_key, section.secret_key
    ours = section.storage == "aws" and provider is not None
    return Bucket(
        name=section.bucket,
        region=section.region,
        folder=settings.namespace,
        endpoint=section.endpoint,
        authority=section.endpoint_authority,
        keys=Keys(access=_secret(access), secret=_secret(secret)) if access and secret else None,
        roles={role: role_arn(provider, section.bucket, role) for role in ROLES} if ours and provider else {},
    )


def recipient(settings: Settings) -> pulumi.Input[str]:
    """Whoever can read cluster objects in a backup: public, whether a stack file says it or `mcenv` made it."""
    return settings.backup.recipient or settings.secrets.backup_recipient.get_secret_value()


def uses_adapter(settings: Settings) -> bool:
    """Whether prometheus-adapter gives the autoscaler its third metric; otherwise KEDA does, or nobody."""
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
        (incidents.WORKLOAD, incidents.PORT),
        (kube_state_metrics.WORKLOAD, kube_state_metrics.PORT),
        (postgres_exporter.WORKLOAD, postgres_exporter.PORT),
        (redis_exporter.WORKLOAD, redis_exporter.PORT),
        *([] if settings.preview_environment else [(backup_exporter.WORKLOAD, backup_exporter.PORT)]),
        (elasticsearch.WORKLOAD, elasticsearch.PORT),
        (kibana.WORKLOAD, kibana.PORT),
        (elasticsearch_exporter.WORKLOAD, elasticsearch_exporter.PORT),
    ]
    return [*servers, (adapter.WORKLOAD, adapter.PORT)] if uses_adapter(settings) else servers


def quota(settings: Settings, space: Space) -> Quota:
    """What a namespace needs with every workload at its maximum and one pod more of each during a rollout."""
    monitoring = settings.monitoring
    exporter = monitoring.exporters.resources
    logging = settings.logging
    pods: dict[Space, list[tuple[list[Resources], int]]] = {
        "application": [
            ([settings.app.resources], settings.app.replicas.max + 1),
            ([settings.edge.resources, exporter], settings.edge.replicas + 1),
            ([settings.database.resources, settings.database.backup_resources], 1),
            ([settings.cache.resources], 2),
            ([settings.backup.resources], len(backup.WORKLOADS)),
        ],
        "observability": [
            ([monitoring.prometheus.resources, settings.ops.resources], monitoring.prometheus.replicas),
            ([monitoring.alertmanager.resources], monitoring.alertmanager.replicas),
            ([monitoring.grafana.resources], 2),
            ([settings.incidents.resources], 1),
            ([monitoring.kube_state_metrics.resources], 2),
            ([monitoring.adapter.resources], 3 if uses_adapter(settings) else 0),
            ([exporter], 4 * 2),
            ([settings.ops.resources], 2),
            ([logging.elasticsearch.resources], logging.elasticsearch.replicas),
            ([logging.logstash.resources], logging.logstash.replicas),
            ([logging.kibana.resources], 2),
            ([logging.setup], 1),
        ],
        "agents": [([exporter], MOST_NODES), ([logging.filebeat.resources], MOST_NODES)],
    }
    storage: dict[Space, list[tuple[Memory, int]]] = {
        "application": [
            (settings.database.storage.size, 1),
            (settings.app.uploads.size, 1),
            (settings.backup.scratch.size, 1),
        ],
        "observability": [
            (monitoring.prometheus.storage.size, monitoring.prometheus.replicas),
            (monitoring.alertmanager.storage.size, monitoring.alertmanager.replicas),
            (settings.incidents.storage.size, 1),
            (logging.elasticsearch.storage.size, logging.elasticsearch.replicas),
            (logging.logstash.storage.size, logging.logstash.replicas),
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
    if settings.preview_environment:
        mark_all(settings.namespace)
    platform = Platform(settings)
    pulumi.export("url", platform.url)
    pulumi.export("namespace", platform.namespaces["application"].metadata_name)


def _secret(value: SecretStr) -> pulumi.Output[str]:
    return pulumi.Output.secret(value.get_secret_value())
