"""What a stack file may say, section by section, with the unit of each setting in its type.

A stack file says which `environment` it is and overrides what `infra/defaults.py` says for it.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from infra.quantities import (
    Address,
    BucketName,
    Clock,
    Count,
    Cpu,
    Endpoint,
    Host,
    IdentityProvider,
    Image,
    Label,
    Memory,
    Moment,
    Percent,
    Port,
    Recipient,
    Region,
    Schedule,
    Seconds,
    Weekday,
)

PROJECT = "modelcard-platform"
MASK = "[secret]"
NEWEST = "newest"  # all that was archived
UNSEEN_RECIPIENT = "[recipient]"  # public, but known to the stack alone
Secret = Annotated[SecretStr, Field(min_length=1)]
# Connections for PostgreSQL's superuser (3: superuser_reserved_connections), exporters, backups and people.
RESERVED_CONNECTIONS = 20


class Environment(StrEnum):
    """A column of the table of defaults."""

    LOCAL = "local"
    DEV = "dev"
    PROD = "prod"


class Section(BaseModel):
    """Part of a stack file: frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Replicas(Section):
    """How many pods the autoscaler may keep."""

    min: Count
    max: Count


class Resources(Section):
    """Of one container. `cpu_limit` is absent where throttling would only add latency."""

    cpu_request: Cpu
    cpu_limit: Cpu | None = None
    memory_request: Memory
    memory_limit: Memory
    ephemeral_storage: Memory


class Storage(Section):
    """A claim. `storage_class` is absent where the cluster's default serves."""

    size: Memory
    storage_class: Label | None = None


class Autoscaling(Section):
    """What the autoscaler aims at, on average over the pods, and who tells it the requests per second, if anybody."""

    cpu: Percent
    memory: Percent
    requests_per_second: Count
    metrics_from: Literal["prometheus-adapter", "keda", "none"]

    @property
    def uses_adapter(self) -> bool:
        """Whether prometheus-adapter tells it; otherwise KEDA does, or nobody."""
        return self.metrics_from == "prometheus-adapter"


class Uploads(Storage):
    """The files that users upload, shared by all application pods."""

    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"]


class App(Section):
    """The Model Card Generator itself."""

    image: Image
    workers: Count
    replicas: Replicas
    resources: Resources
    autoscaling: Autoscaling
    uploads: Uploads
    termination_grace: Seconds


class Edge(Section):
    """nginx and the Ingress in front of the application."""

    image: Image
    host: Host
    replicas: Count
    resources: Resources
    ingress_class: Label
    ingress_namespace: Label
    tls_secret: Label | None = None
    upload_limit: Memory


class Database(Section):
    """PostgreSQL. `backup_resources` are of what reads its files for a backup, `rotation_resources` of what rotates."""

    image: Image
    resources: Resources
    backup_resources: Resources
    rotation_resources: Resources
    storage: Storage
    max_connections: Count


class Cache(Section):
    """Redis."""

    image: Image
    resources: Resources


class Replicated(Section):
    """A server of the monitoring and its volume, one of each per replica."""

    image: Image
    replicas: Count
    resources: Resources
    storage: Storage


class Prometheus(Replicated):
    """`retention` is in days; no rule may look further back."""

    retention: Count


class Single(Section):
    """A server of the monitoring that keeps nothing."""

    image: Image
    resources: Resources


class Exporters(Section):
    """What turns the state of others into metrics. `resources` are those of each."""

    postgresql: Image
    redis: Image
    nginx: Image
    node: Image
    blackbox: Image
    elasticsearch: Image
    resources: Resources


class Monitoring(Section):
    """Prometheus, and what it measures and alerts with. `environment` is the label that says whose an alert is."""

    environment: Label
    prometheus: Prometheus
    alertmanager: Replicated
    grafana: Single
    kube_state_metrics: Single
    adapter: Single
    exporters: Exporters


class LogRetention(Section):
    """Days after which what was logged is deleted."""

    app: Count
    audit: Count
    security: Count


class Snapshots(Section):
    """Keys of an account that may write below `elasticsearch/` in the backup bucket; `endpoint` is not that of AWS."""

    access_key: Secret
    secret_key: Secret
    endpoint: Host | None = None


class Logging(Section):
    """Elasticsearch and what fills and shows it. `setup` are the resources of the Job that configures it."""

    elasticsearch: Replicated
    logstash: Replicated
    kibana: Single
    filebeat: Single
    setup: Resources
    retention: LogRetention
    snapshots: Snapshots | None = None


class Mail(Section):
    """The mail server that takes notifications; by STARTTLS, with a login unless it asks for none."""

    host: Host
    port: Port
    sender: Address
    recipients: Annotated[tuple[Address, ...], Field(min_length=1, strict=False)]
    username: str | None = None
    password: Secret | None = None


class Maintenance(Section):
    """A weekly window, in UTC, in which nobody is called for anything below P0."""

    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1, strict=False)]
    start: Clock
    end: Clock


class Notifications(Section):
    """Whom Alertmanager tells. What is absent is not told; addresses that hold a token are secrets.

    `heartbeat_url` is called every minute for as long as alerting works; who is behind it calls when it stops.
    `slack_token` is a bot's, with the scope `chat:write`, invited to the channels that it writes to.
    """

    heartbeat_url: Secret | None = None
    webhook_url: Secret | None = None
    slack_token: Secret | None = None
    mail: Mail | None = None
    maintenance: Annotated[tuple[Maintenance, ...], Field(strict=False)] = ()


class Ops(Section):
    """The image of `mcops`, which the platform's own jobs and services run; `resources` are of a small service."""

    image: Image
    resources: Resources


class ObjectLock(Section):
    """For how long nobody may delete what was written; in mode `COMPLIANCE` not even the account's owner."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"]
    days: Count


class Keep(Section):
    """How many sets stay: the newest of each of that many days, weeks and months."""

    daily: Count
    weekly: Count
    monthly: Count


class Schedules(Section):
    """When each job runs, in UTC."""

    run: Schedule
    uploads: Schedule
    verify: Schedule
    drill: Schedule
    prune: Schedule


class Objectives(Section):
    """What may be lost at most (`rpo`), and how long a restore may take (`rto`). A drill that exceeds them fails."""

    rpo: Seconds
    rto: Seconds


class StatusPage(Section):
    """A page of Statuspage, where users read of what is urgent. `page` is its id."""

    page: Label
    token: Secret


class Incidents(Section):
    """The responder and its volume. People are told by the channels of `notifications`, and by a status page.

    `heartbeat_url` is called every minute for as long as the clocks are looked after. It must be another than that of
    `notifications`: each would hide that the other is silent.
    """

    resources: Resources
    storage: Storage
    heartbeat_url: Secret | None = None
    status_page: StatusPage | None = None


class Backup(Section):
    """Where backups go, when, and for how long.

    With `storage: aws` the stack makes the bucket and lets in who `identity_provider` vouches for. With `s3-compatible`
    there is one already: at `endpoint`, whose certificate `endpoint_authority` (PEM) signed if no public authority did.
    `recipient` is the age public key of whoever may read everything; without it, the one of `mcenv secrets init`.
    """

    storage: Literal["aws", "s3-compatible"]
    bucket: BucketName
    region: Region
    replica_region: Region | None = None
    identity_provider: IdentityProvider | None = None
    endpoint: Endpoint | None = None
    endpoint_authority: Annotated[str, Field(min_length=1)] | None = None
    access_key: Secret | None = None
    secret_key: Secret | None = None
    recipient: Recipient | None = None
    object_lock: ObjectLock
    keep: Keep
    schedules: Schedules
    objectives: Objectives
    resources: Resources
    scratch: Storage


class Approval(Section):
    """That one resource (`type::name`) may be deleted or replaced where data is protected, said by whom and why.

    `expires` is its last day, a month ahead at most.
    """

    resource: Annotated[str, Field(pattern=r"^[^:\s]+:[^:\s]+:[^:\s]+::\S+$")]
    operation: Literal["delete", "replace"]
    approver: Annotated[str, Field(min_length=2)]
    reason: Annotated[str, Field(min_length=20)]
    expires: Annotated[date, Field(strict=False)]


class Certificate(Section):
    """A certificate and its private key, PEM."""

    certificate: Secret
    key: Secret


class Login(Section):
    """A password and its bcrypt hash, for servers that must not know the password itself."""

    password: Secret
    hash: Secret


class Secrets(Section):
    """Written by `mcenv secrets init|rotate`, as one encrypted value."""

    database_password: Secret
    database_monitor_password: Secret
    cache_password: Secret
    cache_monitor_password: Secret
    grafana_password: Secret
    monitoring_login: Login
    backup_passphrase: Secret
    backup_identity: Secret
    backup_recipient: Secret
    authority: Certificate
    backup_client_certificate: Certificate
    backup_exporter_certificate: Certificate
    database_certificate: Certificate
    cache_certificate: Certificate
    edge_certificate: Certificate
    prometheus_certificate: Certificate
    alertmanager_certificate: Certificate
    grafana_certificate: Certificate
    adapter_certificate: Certificate
    kube_state_metrics_certificate: Certificate
    postgresql_exporter_certificate: Certificate
    redis_exporter_certificate: Certificate
    nginx_exporter_certificate: Certificate
    node_exporter_certificate: Certificate
    blackbox_exporter_certificate: Certificate
    incidents_certificate: Certificate
    incidents_token: Secret
    incidents_webhook_token: Secret
    elasticsearch_password: Secret
    elasticsearch_setup_login: Login
    kibana_password: Secret
    kibana_encryption_key: Secret
    log_writer_password: Secret
    log_reader_password: Secret
    log_monitor_password: Secret
    log_snapshot_password: Secret
    elasticsearch_certificate: Certificate
    logstash_certificate: Certificate
    kibana_certificate: Certificate
    filebeat_certificate: Certificate
    elasticsearch_exporter_certificate: Certificate


class Settings(Section):
    """Everything that may differ between two stacks.

    `preview_environment` says that it is one, which `mcenv env` may remove; that command alone sets it. `recovery` is
    the moment that comes back into new volumes; `mcenv recover` sets it, and takes it away again.
    """

    environment: Environment
    namespace: Label
    preview_environment: bool
    protect_data: bool
    recovery: Moment | None = None
    approvals: Annotated[tuple[Approval, ...], Field(strict=False)]
    rollout_deadline: Seconds
    rotation: Annotated[int, Field(ge=0)]
    app: App
    edge: Edge
    database: Database
    cache: Cache
    monitoring: Monitoring
    logging: Logging
    notifications: Notifications
    ops: Ops
    incidents: Incidents
    backup: Backup
    secrets: Secrets


def connections_per_worker(max_connections: int, replicas: int, workers: int) -> int:
    """What each process of the application may open, with every pod there is and one more during a rollout."""
    return (max_connections - RESERVED_CONNECTIONS) // ((replicas + 1) * workers)
