"""The logs: what keeps and shows them, what brings them there, and what measures and configures it."""

from __future__ import annotations

import pulumi

from infra.components import elasticsearch, elasticsearch_exporter, filebeat, kibana, log_setup, logstash
from infra.components.elasticsearch import Elasticsearch, ElasticsearchArgs
from infra.components.elasticsearch_exporter import ElasticsearchExporter, ElasticsearchExporterArgs
from infra.components.filebeat import Filebeat, FilebeatArgs
from infra.components.kibana import Kibana, KibanaArgs
from infra.components.log_setup import LogSetup, LogSetupArgs
from infra.components.logstash import Logstash, LogstashArgs
from infra.kube.tls import MonitoringLogin
from infra.parts.ground import Ground, secret
from infra.settings import Secrets


def declare_elasticsearch(ground: Ground) -> Elasticsearch:
    """What keeps them."""
    settings, secrets = ground.settings, ground.settings.secrets
    return Elasticsearch(
        "elasticsearch",
        ElasticsearchArgs(
            spaces=ground.spaces,
            settings=settings.logging.elasticsearch,
            snapshots=settings.logging.snapshots,
            setup=MonitoringLogin(
                user=elasticsearch.SETUP,
                password=secret(secrets.elasticsearch_setup_login.password),
                hash=secret(secrets.elasticsearch_setup_login.hash),
            ),
            certificate=ground.issued(secrets.elasticsearch_certificate),
            clients=[logstash.WORKLOAD, kibana.WORKLOAD, log_setup.WORKLOAD, elasticsearch_exporter.WORKLOAD],
            rollout=ground.rollout,
            protect=settings.protect_data,
        ),
        ground.options,
    )


def declare_logstash(ground: Ground, *, elasticsearch: str) -> Logstash:
    """What reads and judges every line on its way to that URL."""
    settings, secrets = ground.settings, ground.settings.secrets
    return Logstash(
        "logstash",
        LogstashArgs(
            spaces=ground.spaces,
            settings=settings.logging.logstash,
            stack=settings.monitoring.environment,
            elasticsearch=elasticsearch,
            password=secret(secrets.log_writer_password),
            certificate=ground.issued(secrets.logstash_certificate),
            clients=[filebeat.WORKLOAD],
            rollout=ground.rollout,
        ),
        ground.options,
    )


def declare_kibana(ground: Ground, *, elasticsearch: str) -> Kibana:
    """What shows them."""
    settings, secrets = ground.settings, ground.settings.secrets
    return Kibana(
        "kibana",
        KibanaArgs(
            spaces=ground.spaces,
            settings=settings.logging.kibana,
            elasticsearch=elasticsearch,
            password=secret(secrets.kibana_password),
            encryption_key=secret(secrets.kibana_encryption_key),
            certificate=ground.issued(secrets.kibana_certificate),
            clients=[log_setup.WORKLOAD],
            rollout=ground.rollout,
        ),
        ground.options,
    )


def declare_filebeat(ground: Ground, *, host: str) -> Filebeat:
    """What takes them from every node to Logstash, whose `host` it is."""
    settings = ground.settings
    return Filebeat(
        "filebeat",
        FilebeatArgs(
            spaces=ground.spaces,
            settings=settings.logging.filebeat,
            namespace=ground.names["application"],
            logstash=f"{host}.{ground.names['observability']}:{logstash.PORT}",
            certificate=ground.issued(settings.secrets.filebeat_certificate),
            rollout=ground.rollout,
        ),
        ground.options,
    )


def declare_elasticsearch_exporter(ground: Ground) -> ElasticsearchExporter:
    """What measures Elasticsearch."""
    settings, secrets = ground.settings, ground.settings.secrets
    certificate = secrets.elasticsearch_exporter_certificate
    return ElasticsearchExporter(
        "elasticsearch-exporter",
        ElasticsearchExporterArgs(
            spaces=ground.spaces,
            serving=ground.serving(settings.monitoring.exporters.elasticsearch, certificate),
            password=secret(secrets.log_monitor_password),
        ),
        ground.options,
    )


def declare_log_setup(ground: Ground, *, elasticsearch: str) -> LogSetup:
    """The Job that configures Elasticsearch, at that URL, and Kibana."""
    settings = ground.settings
    return LogSetup(
        "log-setup",
        LogSetupArgs(
            spaces=ground.spaces,
            image=settings.ops.image,
            resources=settings.logging.setup,
            stack=settings.monitoring.environment,
            elasticsearch=elasticsearch,
            kibana=f"https://{kibana.WORKLOAD.name}:{kibana.PORT}",
            authority=ground.authority,
            passwords=_passwords(settings.secrets),
            retention=settings.logging.retention,
            snapshots=settings.logging.snapshots,
            bucket=settings.backup.bucket,
            rollout=ground.rollout,
        ),
        ground.options,
    )


def _passwords(secrets: Secrets) -> dict[str, pulumi.Output[str]]:
    """Of Elasticsearch's users."""
    return {
        elasticsearch.SETUP: secret(secrets.elasticsearch_setup_login.password),
        "elastic": secret(secrets.elasticsearch_password),
        "kibana_system": secret(secrets.kibana_password),
        logstash.WRITER: secret(secrets.log_writer_password),
        "log_reader": secret(secrets.log_reader_password),
        elasticsearch_exporter.MONITOR: secret(secrets.log_monitor_password),
        "log_snapshot": secret(secrets.log_snapshot_password),
    }
