"""Defaults per environment, side by side. A row whose values differ says why they may.

These reasons are the whole list of what may differ between two environments: `mcenv preview prod --against dev` fails
on a difference that no reasoned row explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ENVIRONMENTS = ("local", "dev", "prod")
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
    Row("protect_data", False, False, True, "only prod holds data that nobody can make again"),
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
    Row("app.uploads.size", "10Gi", "10Gi", "200Gi", SMALLER),
    Row("app.uploads.access_mode", "ReadWriteMany", "ReadWriteOnce", "ReadWriteMany",
        "dev clusters often have block storage only, and one node"),
    Row("app.uploads.storage_class", None, None, "efs", "sharing uploads across nodes needs a file system"),
    same("app.termination_grace", 45),

    same("edge.image", "docker.io/library/nginx:1.28.0"),
    Row("edge.host", "modelcard.localhost", "modelcard-dev.example.com", "modelcard.example.com",
        "each environment has an address of its own"),
    same("edge.replicas", 2),
    Row("edge.resources.cpu_request", "100m", "25m", "100m", SMALLER),
    same("edge.resources.memory_request", "128Mi"),
    same("edge.resources.memory_limit", "128Mi"),
    same("edge.resources.ephemeral_storage", "1Gi"),
    same("edge.ingress_class", "nginx"),
    same("edge.ingress_namespace", "ingress-nginx"),
    same("edge.tls_secret", None),
    same("edge.upload_limit", "100Mi"),

    same("database.image", "docker.io/library/postgres:15.14-bookworm"),
    Row("database.resources.cpu_request", "500m", "100m", "1000m", SMALLER),
    Row("database.resources.memory_request", "1Gi", "512Mi", "4Gi", SMALLER),
    Row("database.resources.memory_limit", "1Gi", "512Mi", "4Gi", SMALLER),
    same("database.resources.ephemeral_storage", "1Gi"),
    Row("database.storage.size", "20Gi", "20Gi", "200Gi", SMALLER),
    same("database.storage.storage_class", None),
    Row("database.max_connections", 200, 50, 200, "follows the number of application pods"),

    same("cache.image", "docker.io/library/redis:7.4.5"),
    Row("cache.resources.cpu_request", "100m", "50m", "250m", SMALLER),
    Row("cache.resources.memory_request", "256Mi", "256Mi", "1Gi", SMALLER),
    Row("cache.resources.memory_limit", "256Mi", "256Mi", "1Gi", SMALLER),
    same("cache.resources.ephemeral_storage", "256Mi"),

    Row("backup.bucket", "modelcard-backups-local", "modelcard-backups-dev", "modelcard-backups",
        "each environment has a bucket of its own"),
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
