"""Defaults per environment, side by side. A row whose values differ says why they may.

These reasons are the whole list of what may differ between two environments: `mcenv preview prod --against dev` fails
on a difference that no reasoned row explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENVIRONMENTS = ("local", "dev", "prod")
# AWS' own example of one: with it, AWS refuses the stack. Source: Amazon EKS user guide.
EXAMPLE_PROVIDER = (
    "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
)
SMALLER = "dev serves a handful of people and pays for that"


@dataclass(frozen=True)
class Row:
    """One setting: its dotted key, its value per environment, and why the values differ."""

    key: str
    local: Any
    dev: Any
    prod: Any
    why: str = ""


def same(key: str, value: Any) -> Row:
    """A setting that is alike everywhere."""
    return Row(key, value, value, value)


# fmt: off
TABLE: tuple[Row, ...] = (
    same("namespace", "modelcard"),
    same("preview_environment", False),
    Row("protect_data", False, False, True, "only prod holds data that nobody can make again"),
    same("approvals", ()),
    # Seconds. Probes allow a container a minute; pulling an image, attaching a volume and a crash recovery come before.
    Row("rollout_deadline", 60, 600, 600, "simulated pods are ready at once"),
    same("rotation", 0),

    same("app.image", "docker.io/terragonlabs/modelcard-generator:1.0.0"),
    # Processes of one pod; a process uses one core at most, and the limit is two.
    same("app.workers", 2),
    Row("app.replicas.min", 3, 2, 3, SMALLER),
    Row("app.replicas.max", 20, 4, 20, SMALLER),
    Row("app.resources.cpu_request", "500m", "100m", "500m", SMALLER),
    same("app.resources.cpu_limit", "2000m"),
    # Memory cannot be throttled: a limit above the request lets a pod live on memory that the node may not have.
    Row("app.resources.memory_request", "1Gi", "512Mi", "1Gi", SMALLER),
    Row("app.resources.memory_limit", "1Gi", "512Mi", "1Gi", SMALLER),
    same("app.resources.ephemeral_storage", "1Gi"),
    same("app.autoscaling.cpu", 70),
    same("app.autoscaling.memory", 80),
    same("app.autoscaling.requests_per_second", 100),
    # An API that nobody answers keeps every namespace from ending.
    Row("app.autoscaling.metrics_from", "none", "prometheus-adapter", "prometheus-adapter", "simulated pods"),
    Row("app.uploads.size", "10Gi", "10Gi", "200Gi", SMALLER),
    Row("app.uploads.access_mode", "ReadWriteMany", "ReadWriteOnce", "ReadWriteMany",
        "dev clusters often have block storage only, and one node"),
    Row("app.uploads.storage_class", None, None, "efs", "sharing uploads across nodes needs a file system"),
    same("app.termination_grace", 45),

    same("edge.image", "docker.io/library/nginx:1.28.0"),
    Row("edge.host", "modelcard.localhost", "modelcard-dev.example.com", "modelcard.example.com",
        "each environment has an address of its own"),
    same("edge.replicas", 2),
    Row("edge.resources.cpu_request", "100m", "50m", "100m", SMALLER),
    same("edge.resources.memory_request", "128Mi"),
    same("edge.resources.memory_limit", "128Mi"),
    same("edge.resources.ephemeral_storage", "1Gi"),
    same("edge.ingress_class", "nginx"),
    same("edge.ingress_namespace", "ingress-nginx"),
    same("edge.tls_secret", None),
    same("edge.upload_limit", "100Mi"),

    same("database.image", "docker.io/terragonlabs/modelcard-postgres:15.20.0"),
    Row("database.resources.cpu_request", "500m", "100m", "1000m", SMALLER),
    Row("database.resources.memory_request", "1Gi", "512Mi", "4Gi", SMALLER),
    Row("database.resources.memory_limit", "1Gi", "512Mi", "4Gi", SMALLER),
    same("database.resources.ephemeral_storage", "1Gi"),
    same("database.backup_resources.cpu_request", "100m"),
    same("database.backup_resources.memory_request", "256Mi"),
    same("database.backup_resources.memory_limit", "256Mi"),
    same("database.backup_resources.ephemeral_storage", "64Mi"),
    same("database.rotation_resources.cpu_request", "10m"),
    same("database.rotation_resources.memory_request", "32Mi"),
    same("database.rotation_resources.memory_limit", "32Mi"),
    same("database.rotation_resources.ephemeral_storage", "16Mi"),
    Row("database.storage.size", "20Gi", "20Gi", "200Gi", SMALLER),
    same("database.storage.storage_class", None),
    Row("database.max_connections", 200, 50, 200, "follows the number of application pods"),

    same("cache.image", "docker.io/library/redis:7.4.5"),
    Row("cache.resources.cpu_request", "100m", "75m", "250m", SMALLER),
    Row("cache.resources.memory_request", "256Mi", "256Mi", "1Gi", SMALLER),
    Row("cache.resources.memory_limit", "256Mi", "256Mi", "1Gi", SMALLER),
    same("cache.resources.ephemeral_storage", "256Mi"),

    Row("monitoring.environment", "local", "dev", "prod", "an alert says where it comes from"),
    same("monitoring.prometheus.image", "quay.io/prometheus/prometheus:v3.13.2"),
    Row("monitoring.prometheus.replicas", 1, 1, 2, "prod goes on measuring while one is replaced"),
    Row("monitoring.prometheus.resources.cpu_request", "250m", "100m", "500m", SMALLER),
    Row("monitoring.prometheus.resources.memory_request", "1Gi", "512Mi", "2Gi", SMALLER),
    Row("monitoring.prometheus.resources.memory_limit", "1Gi", "512Mi", "2Gi", SMALLER),
    same("monitoring.prometheus.resources.ephemeral_storage", "256Mi"),
    Row("monitoring.prometheus.storage.size", "20Gi", "20Gi", "50Gi", SMALLER),
    same("monitoring.prometheus.storage.storage_class", None),
    same("monitoring.prometheus.retention", 15),
    same("monitoring.alertmanager.image", "quay.io/prometheus/alertmanager:v0.34.0"),
    Row("monitoring.alertmanager.replicas", 1, 1, 3, "prod notifies while one is replaced and another is lost"),
    same("monitoring.alertmanager.resources.cpu_request", "25m"),
    same("monitoring.alertmanager.resources.memory_request", "128Mi"),
    same("monitoring.alertmanager.resources.memory_limit", "128Mi"),
    same("monitoring.alertmanager.resources.ephemeral_storage", "64Mi"),
    same("monitoring.alertmanager.storage.size", "1Gi"),
    same("monitoring.alertmanager.storage.storage_class", None),
    same("monitoring.grafana.image", "docker.io/grafana/grafana:13.2.0"),
    same("monitoring.grafana.resources.cpu_request", "100m"),
    same("monitoring.grafana.resources.memory_request", "512Mi"),
    same("monitoring.grafana.resources.memory_limit", "512Mi"),
    same("monitoring.grafana.resources.ephemeral_storage", "512Mi"),
    same("monitoring.kube_state_metrics.image", "registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.20.0"),
    same("monitoring.kube_state_metrics.resources.cpu_request", "25m"),
    same("monitoring.kube_state_metrics.resources.memory_request", "128Mi"),
    same("monitoring.kube_state_metrics.resources.memory_limit", "128Mi"),
    same("monitoring.kube_state_metrics.resources.ephemeral_storage", "64Mi"),
    same("monitoring.adapter.image", "registry.k8s.io/prometheus-adapter/prometheus-adapter:v0.12.0"),
    same("monitoring.adapter.resources.cpu_request", "50m"),
    same("monitoring.adapter.resources.memory_request", "128Mi"),
    same("monitoring.adapter.resources.memory_limit", "128Mi"),
    same("monitoring.adapter.resources.ephemeral_storage", "64Mi"),
    same("monitoring.exporters.postgresql", "quay.io/prometheuscommunity/postgres-exporter:v0.20.1"),
    same("monitoring.exporters.redis", "docker.io/oliver006/redis_exporter:v1.89.0"),
    same("monitoring.exporters.nginx", "docker.io/nginx/nginx-prometheus-exporter:1.5.3"),
    same("monitoring.exporters.node", "quay.io/prometheus/node-exporter:v1.12.1"),
    same("monitoring.exporters.blackbox", "quay.io/prometheus/blackbox-exporter:v0.27.0"),
    same("monitoring.exporters.elasticsearch", "quay.io/prometheuscommunity/elasticsearch-exporter:v1.11.0"),
    same("monitoring.exporters.resources.cpu_request", "20m"),
    same("monitoring.exporters.resources.memory_request", "64Mi"),
    same("monitoring.exporters.resources.memory_limit", "64Mi"),
    same("monitoring.exporters.resources.ephemeral_storage", "64Mi"),

    # In dev, all of it together stays below 4 GiB; `mcenv sizing logs` computes what more lines need.
    same("logging.elasticsearch.image", "docker.elastic.co/elasticsearch/elasticsearch:8.19.20"),
    Row("logging.elasticsearch.replicas", 1, 1, 3, "prod goes on writing and finding while one node is replaced"),
    Row("logging.elasticsearch.resources.cpu_request", "250m", "250m", "1000m", SMALLER),
    Row("logging.elasticsearch.resources.memory_request", "2Gi", "2Gi", "8Gi", SMALLER),
    Row("logging.elasticsearch.resources.memory_limit", "2Gi", "2Gi", "8Gi", SMALLER),
    same("logging.elasticsearch.resources.ephemeral_storage", "1Gi"),
    Row("logging.elasticsearch.storage.size", "20Gi", "20Gi", "200Gi", SMALLER),
    same("logging.elasticsearch.storage.storage_class", None),
    same("logging.logstash.image", "docker.elastic.co/logstash/logstash:8.19.20"),
    Row("logging.logstash.replicas", 1, 1, 2, "prod goes on taking lines while one is replaced"),
    Row("logging.logstash.resources.cpu_request", "200m", "200m", "500m", SMALLER),
    Row("logging.logstash.resources.memory_request", "832Mi", "832Mi", "2Gi", SMALLER),
    Row("logging.logstash.resources.memory_limit", "832Mi", "832Mi", "2Gi", SMALLER),
    same("logging.logstash.resources.ephemeral_storage", "512Mi"),
    Row("logging.logstash.storage.size", "4Gi", "4Gi", "20Gi", SMALLER),
    same("logging.logstash.storage.storage_class", None),
    same("logging.kibana.image", "docker.elastic.co/kibana/kibana:8.19.20"),
    same("logging.kibana.resources.cpu_request", "100m"),
    Row("logging.kibana.resources.memory_request", "832Mi", "832Mi", "1536Mi", SMALLER),
    Row("logging.kibana.resources.memory_limit", "832Mi", "832Mi", "1536Mi", SMALLER),
    same("logging.kibana.resources.ephemeral_storage", "512Mi"),
    same("logging.filebeat.image", "docker.elastic.co/beats/filebeat:8.19.20"),
    same("logging.filebeat.resources.cpu_request", "50m"),
    Row("logging.filebeat.resources.memory_request", "128Mi", "128Mi", "256Mi", SMALLER),
    Row("logging.filebeat.resources.memory_limit", "128Mi", "128Mi", "256Mi", SMALLER),
    same("logging.filebeat.resources.ephemeral_storage", "256Mi"),
    same("logging.setup.cpu_request", "20m"),
    same("logging.setup.memory_request", "128Mi"),
    same("logging.setup.memory_limit", "128Mi"),
    same("logging.setup.ephemeral_storage", "64Mi"),
    # PCI DSS 4.0, 10.5.1, wants twelve months of audit trail.
    Row("logging.retention.app", 7, 7, 30, SMALLER),
    Row("logging.retention.audit", 30, 30, 400, SMALLER),
    Row("logging.retention.security", 30, 30, 400, SMALLER),
    same("logging.snapshots", None),

    # The operators' tools: backup, incidents, and what sets up the logs.
    same("ops.image", "docker.io/terragonlabs/modelcard-ops:1.0.0"),
    same("ops.resources.cpu_request", "50m"),
    same("ops.resources.memory_request", "256Mi"),
    same("ops.resources.memory_limit", "256Mi"),
    same("ops.resources.ephemeral_storage", "128Mi"),

    same("notifications.heartbeat_url", None),
    same("notifications.webhook_url", None),
    same("notifications.slack_token", None),
    same("notifications.mail", None),
    same("notifications.maintenance", ()),

    same("incidents.resources.cpu_request", "50m"),
    same("incidents.resources.memory_request", "256Mi"),
    same("incidents.resources.memory_limit", "256Mi"),
    same("incidents.resources.ephemeral_storage", "256Mi"),
    same("incidents.storage.size", "1Gi"),
    same("incidents.storage.storage_class", None),
    same("incidents.heartbeat_url", None),
    same("incidents.status_page", None),

    same("backup.storage", "aws"),
    Row("backup.bucket", "modelcard-backups-local", "modelcard-backups-dev", "modelcard-backups",
        "each environment has a bucket of its own"),
    same("backup.region", "eu-central-1"),
    Row("backup.replica_region", None, None, "eu-west-1", "only prod must outlive the loss of a region"),
    same("backup.identity_provider", EXAMPLE_PROVIDER),
    same("backup.endpoint", None),
    same("backup.endpoint_authority", None),
    same("backup.access_key", None),
    same("backup.secret_key", None),
    same("backup.recipient", None),
    Row("backup.object_lock.mode", "GOVERNANCE", "GOVERNANCE", "COMPLIANCE",
        "a stack that is thrown away takes its bucket with it"),
    Row("backup.object_lock.days", 1, 1, 30, "a stack that is thrown away takes its bucket with it"),
    # Days, weeks, months: two weeks to notice a mistake in, a year for what an audit asks.
    same("backup.keep.daily", 14),
    same("backup.keep.weekly", 8),
    same("backup.keep.monthly", 12),
    # At night where the users are; each after the one that it is about, none at the full hour, when others run theirs.
    same("backup.schedules.run", "17 1 * * *"),
    same("backup.schedules.uploads", "*/2 * * * *"),
    same("backup.schedules.verify", "17 3 * * *"),
    same("backup.schedules.drill", "17 4 * * *"),
    same("backup.schedules.prune", "17 6 * * *"),
    # Seconds. PostgreSQL hands over its log after half of the first; uploads follow every two minutes.
    same("backup.objectives.rpo", 300),
    Row("backup.objectives.rto", 1800, 1800, 3600, "prod has ten times the data"),
    same("backup.resources.cpu_request", "250m"),
    same("backup.resources.memory_request", "1Gi"),
    same("backup.resources.memory_limit", "1Gi"),
    same("backup.resources.ephemeral_storage", "2Gi"),
    # The drill restores the database and every upload: both volumes together.
    Row("backup.scratch.size", "30Gi", "30Gi", "400Gi", SMALLER),
    same("backup.scratch.storage_class", None),
)
# fmt: on


def defaults(environment: str) -> dict[str, Any]:
    """One column of the table, nested as the settings are."""
    nested: dict[str, Any] = {}
    for row in TABLE:
        *sections, leaf = row.key.split(".")
        section = nested
        for name in sections:
            section = section.setdefault(name, {})
        section[leaf] = getattr(row, environment)
    return nested


def reasons() -> Mapping[str, str]:
    """Dotted key of each setting that may differ between environments, to the reason."""
    return {row.key: row.why for row in TABLE if row.why}
