"""The one edge where configuration is read: a stack's file in, typed settings out, every error at once.

A stack file says which `environment` it is and overrides what `infra/defaults.py` says for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pulumi
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from infra.defaults import defaults
from infra.errors import UserError
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
Secret = Annotated[SecretStr, Field(min_length=1)]
# Connections for PostgreSQL's superuser (3: superuser_reserved_connections), exporters, backups and people.
RESERVED_CONNECTIONS = 20
# Settings of one section, of which the first must not exceed the second.
ORDERED = (("min", "max"), ("cpu_request", "cpu_limit"), ("memory_request", "memory_limit"))


class SettingsError(UserError):
    """All that is wrong with a stack's settings, one line each: file, key path, what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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
    """PostgreSQL. `backup_resources` are of what reads its files for a backup."""

    image: Image
    resources: Resources
    backup_resources: Resources
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

    database_admin_password: Secret
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

    `preview_environment` says that it is one, which `mcenv env` may remove; that command alone sets it.
    """

    environment: Environment
    namespace: Label
    preview_environment: bool
    protect_data: bool
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


# Settings at the top whose value is text, even if it looks like a number.
TEXTS = {name for name, field in Settings.model_fields.items() if field.annotation in {Environment, Label}}


def parse(config: Mapping[str, Any], *, file: str) -> Settings:
    """Settings from a stack's configuration: keys without the project's prefix, values as in the file.

    Raises `SettingsError` with all problems, each as `file: key.path what is wrong`.
    """
    config = {key: value if key in TEXTS else _decoded(value) for key, value in config.items()}
    problems: list[str] = []
    name = config.get("environment")
    known = name in list(Environment)
    # Where it is not known, any column will do to find what is wrong with the other settings.
    environment = Environment(str(name)) if known else Environment.DEV
    merged = {**merge(defaults(environment), config), "environment": environment}
    if known:
        problems += _contradictions(merged)
    else:
        found = repr(name) if name else "missing"
        problems.append(f"{PROJECT}:environment is {found}: set it to one of {', '.join(Environment)}")
    if config.get("secrets") is None:
        problems.append(f"secrets are missing: run `mcenv secrets init {_stack_of(file)}`")
        merged["secrets"] = placeholder_secrets()
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        problems = [*_mistakes(error, _stack_of(file)), *problems]
    if problems:
        raise SettingsError([f"{file}: {problem}" for problem in problems])
    return settings


def from_engine() -> Settings:
    """The settings of the stack that Pulumi is running; secrets arrive decrypted."""
    stack = pulumi.get_stack()
    raw = {**pulumi.runtime.config.get_config_env(), **pulumi.runtime.config.CONFIG.get()}
    prefix = f"{PROJECT}:"
    config = {key.removeprefix(prefix): value for key, value in raw.items() if key.startswith(prefix)}
    return parse(config, file=f"Pulumi.{stack}.yaml")


def connections_per_worker(max_connections: int, replicas: int, workers: int) -> int:
    """What each process of the application may open, with every pod there is and one more during a rollout."""
    return (max_connections - RESERVED_CONNECTIONS) // ((replicas + 1) * workers)


def placeholder_secrets() -> dict[str, Any]:
    """Stands for a stack's secrets where they must not be seen: previews and tests."""
    masked = {name: _placeholder(field.annotation) for name, field in Secrets.model_fields.items()}
    return masked | {"backup_recipient": "[recipient]"}  # public, and known to the stack alone


def _placeholder(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return dict.fromkeys(annotation.model_fields, MASK)
    return MASK


def _decoded(value: Any) -> Any:
    """`pulumi config set` writes numbers as text, and structured values reach the program as JSON text."""
    if isinstance(value, str) and re.match(r"[{[]|[0-9]+$|true$|false$", value):
        with suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `over` where it has any, section by section."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _mistakes(error: ValidationError, stack: str) -> Iterator[str]:
    """What is wrong with single settings. Inputs are looked at, but never shown here: they may be secret."""
    for problem in error.errors(include_url=False):
        path = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            yield f"{path} is not a setting: correct the name or remove it"
        elif path.startswith("secrets"):
            yield f"{path} is missing or damaged: run `mcenv secrets rotate {stack}`"
        elif problem["input"] is None:
            yield f"{path} is empty: set it or remove it"
        elif problem["type"] == "model_type":
            yield f"{path} is a section: write its settings below it"
        elif problem["type"] == "value_error":
            yield f"{path}: {problem['ctx']['error']}"
        else:
            yield f"{path} {problem['msg'].removeprefix('Input ')}"


def _contradictions(merged: Mapping[str, Any]) -> Iterator[str]:
    """What no setting shows alone. It reads raw values, so that a mistake in one does not hide it in others."""
    yield from _disordered(merged, "")
    match merged:
        case {
            "app": {"workers": int() as workers, "replicas": {"max": int() as replicas}},
            "database": {"max_connections": int() as connections},
        } if min(workers, replicas, connections) > 0 and connections_per_worker(connections, replicas, workers) < 1:
            needed = RESERVED_CONNECTIONS + (replicas + 1) * workers
            yield (
                f"database.max_connections is {connections} but app.replicas.max of {replicas} with app.workers of "
                f"{workers} needs {needed}"
            )
    yield from _storage(merged.get("backup"))
    match merged:
        case {"environment": Environment.PROD, "app": {"uploads": {"access_mode": "ReadWriteOnce"}}}:
            yield "app.uploads.access_mode is ReadWriteOnce, but pods on several nodes need ReadWriteMany"


# What one kind of storage needs, and what is another's.
STORAGE_NEEDS = {"aws": ("identity_provider",), "s3-compatible": ("endpoint", "access_key", "secret_key")}
STORAGE_IGNORES = {
    "aws": ("endpoint", "endpoint_authority", "access_key", "secret_key"),
    "s3-compatible": ("replica_region",),
}


def _storage(backup: object) -> Iterator[str]:
    match backup:
        case {"storage": "aws" | "s3-compatible" as storage, **others}:
            yield from (
                f"backup.{name} is missing: backup.storage {storage} needs it"
                for name in STORAGE_NEEDS[storage]
                if others.get(name) is None
            )
            yield from (
                f"backup.{name} is set, but backup.storage {storage} has no use for it: remove it"
                for name in STORAGE_IGNORES[storage]
                if others.get(name) is not None
            )
            if others.get("replica_region") is not None and others["replica_region"] == others.get("region"):
                yield f"backup.replica_region is {others['region']}, where backups are already: choose another"


def _disordered(section: Mapping[str, Any], path: str) -> Iterator[str]:
    for low, high in ORDERED:
        first, second = _amount(section.get(low)), _amount(section.get(high))
        if first is not None and second is not None and first > second:
            yield f"{path}{low} is {section[low]} but {path}{high} is {section[high]}"
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _disordered(value, f"{path}{key}.")


def _amount(value: Any) -> int | None:
    """A number, or a quantity in its smallest unit; None for what is neither."""
    match value:
        case int():
            return value
        case str() if re.fullmatch(Memory.pattern, value):
            return Memory(value).bytes
        case str() if re.fullmatch(Cpu.pattern, value):
            return Cpu(value).millicores
        case _:
            return None


def _stack_of(file: str) -> str:
    return Path(file).name.removeprefix("Pulumi.").removesuffix(".yaml")
