"""Wires the components: the only file in which one component's outputs meet another's arguments."""

from __future__ import annotations

from dataclasses import replace

import pulumi
import pulumi_kubernetes as kubernetes

from infra.kube.marks import mark_all
from infra.parts import application, backups, incidents, logs, monitoring
from infra.parts.ground import Ground, declare_namespaces
from infra.settings import Settings


class Platform:
    """All that a stack deploys. Attributes are the components, and `url`, where users find the service."""

    def __init__(self, settings: Settings) -> None:
        # Otherwise a changed ConfigMap or Secret is deleted and made anew, and everything that mounts it with it.
        cluster = kubernetes.Provider("cluster", enable_config_map_mutable=True, enable_secret_mutable=True)
        inside = pulumi.ResourceOptions(provider=cluster)
        self.namespaces = declare_namespaces(settings, inside)
        spaces = {space: each.metadata_name for space, each in self.namespaces.items()}
        ground = Ground(settings=settings, spaces=spaces, options=inside)
        bucket = backups.bucket_of(settings)
        backed_up = not settings.preview_environment

        if backed_up and settings.backup.storage == "aws":
            self.backup_storage = backups.declare_storage(settings)
        self.cache = application.declare_cache(ground)
        if settings.recovery:
            self.recovery = backups.declare_recovery(ground, bucket, self.cache)
            ground = replace(ground, after=[self.recovery])
        self.database = application.declare_database(ground, bucket)
        self.app = application.declare_app(ground, database_url=self.database.url, cache_url=self.cache.url)
        self.edge = application.declare_edge(ground, host=self.app.host)
        self.url = self.edge.url
        if backed_up:
            self.backup = backups.declare_backup(
                ground,
                bucket,
                database_url=self.database.url,
                uploads=self.app.uploads,
                configured=(self.database, self.cache, self.app, self.edge),
            )
            self.backup_exporter = backups.declare_backup_exporter(ground, bucket)

        self.postgres_exporter = monitoring.declare_postgres_exporter(ground)
        self.redis_exporter = monitoring.declare_redis_exporter(ground)
        self.blackbox_exporter = monitoring.declare_blackbox_exporter(ground)
        self.node_exporter = monitoring.declare_node_exporter(ground)
        self.kube_state_metrics = monitoring.declare_kube_state_metrics(ground)
        self.prometheus = monitoring.declare_prometheus(ground)
        prometheus = self.prometheus.url
        if settings.app.autoscaling.uses_adapter:
            self.adapter = monitoring.declare_adapter(ground, prometheus=prometheus)
        self.alertmanager = monitoring.declare_alertmanager(ground)
        self.incidents = incidents.declare_incidents(ground, prometheus=prometheus)
        self.grafana = monitoring.declare_grafana(ground, prometheus=prometheus, alertmanager=self.alertmanager.url)

        self.elasticsearch = logs.declare_elasticsearch(ground)
        elasticsearch = self.elasticsearch.url
        self.logstash = logs.declare_logstash(ground, elasticsearch=elasticsearch)
        self.kibana = logs.declare_kibana(ground, elasticsearch=elasticsearch)
        self.filebeat = logs.declare_filebeat(ground, host=self.logstash.host)
        self.elasticsearch_exporter = logs.declare_elasticsearch_exporter(ground)
        self.log_setup = logs.declare_log_setup(ground, elasticsearch=elasticsearch)


def deploy(settings: Settings) -> None:
    """Declares the platform and exports what people ask a stack for."""
    if settings.preview_environment:
        mark_all(settings.namespace)
    platform = Platform(settings)
    pulumi.export("url", platform.url)
    pulumi.export("namespace", platform.namespaces["application"].metadata_name)
