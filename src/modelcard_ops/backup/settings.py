"""What `mcops backup …` is told: variables with the prefix `MCOPS_BACKUP_`, secrets as files.

A secret is the file `mcops_backup_NAME` in the folder `MCOPS_SECRETS_DIR`; a variable of the same name wins. One
pair of credentials is given to each job: what a job may do is what its own credentials may do.

    run       writes a set                               writes objects, never deletes
    uploads   copies new uploads between two sets        writes objects, never deletes
    verify    reads a whole set, records what it found   reads, writes objects
    drill     restores the newest set into SCRATCH_DIR   reads, writes objects
    prune     deletes what retention does not keep       deletes
    restore   into folders and a namespace               reads
    exporter  serves metrics, TLS                        reads
    snapshots serves Prometheus' snapshots, TLS          needs no bucket; a sidecar of Prometheus
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from modelcard_ops.errors import UserError

PREFIX = "MCOPS_BACKUP_"
SECRETS_DIR = "MCOPS_SECRETS_DIR"
DAY = 24 * 3600
Names = Annotated[tuple[str, ...], NoDecode]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]


class Settings(BaseSettings):
    """Of one job; times in seconds. What a job does not need may be left out: it asks for what it misses."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True, env_ignore_empty=True)

    # Where sets are.
    bucket: Annotated[str, Field(min_length=3)]
    region: str = "us-east-1"
    endpoint: str | None = None  # https://HOST:PORT of what speaks S3; default: the region's own
    endpoint_authority_file: Path | None = None  # PEM; who signs the endpoint's certificate; default: the system's
    prefix: str = "modelcard"  # folder of this stack in the bucket; pgBackRest's is beside it
    kms_key: str | None = None  # asked for with every object; default: the bucket's own
    access_key: SecretStr | None = None  # a file; default: boto3's chain (IRSA, profile, …)
    secret_key: SecretStr | None = None  # a file

    # Who can read them. Cluster objects only `recipient`, whose private key is not in the cluster; all else `identity`
    # too, so that a drill can read what it has restored.
    recipient: str | None = None  # age1…
    identity: SecretStr | None = None  # a file; AGE-SECRET-KEY-1…, of this stack

    # The database.
    # Names pg1-host and a lock-path and spool-path that can be written; without retention, which is `prune`'s.
    pgbackrest_config: Path = Path("/etc/pgbackrest/pgbackrest.conf")
    stanza: str = "modelcard"
    database_url: SecretStr | None = None  # a file; libpq form, the owner of the tables
    full_every: Positive = 7 * DAY  # a full database backup; between them differential ones

    # The rest of a set.
    uploads_dir: Path | None = None
    namespace: str | None = None
    config_maps: Names = ()  # names, comma separated; read one by one
    secrets: Names = ()  # names, comma separated; read one by one
    prometheus_url: str | None = None  # https://HOST:PORT; needs --web.enable-admin-api
    snapshots_url: str | None = None  # https://HOST:PORT of `mcops backup snapshots` in Prometheus' pod
    prometheus_user: str | None = None
    prometheus_password: SecretStr | None = None  # a file
    authority_file: Path | None = None  # PEM; who signs the certificates of PostgreSQL, Prometheus and the sidecar
    cache_url: SecretStr | None = None  # a file; a restore empties this Redis, which would know rows that are gone

    # How.
    scratch_dir: Path = Path("/tmp")  # noqa: S108 - a volume of the job's own; drill: room for the whole database
    keep_daily: Count = 7
    keep_weekly: Count = 5
    keep_monthly: Count = 12
    rpo: Positive = 5 * 60  # what may be lost, at most: a drill that finds more fails
    rto: Positive = 60 * 60  # how long a restore may take
    lease: Annotated[int, Field(ge=2)] = 10 * 60  # after which a run that says nothing any more is taken for dead
    workers: Annotated[int, Field(ge=1, le=64)] = 8  # objects at once

    # The exporter and the sidecar.
    port: Annotated[int, Field(ge=1, le=65535)] = 9854
    certificate_file: Path | None = None  # PEM
    key_file: Path | None = None  # PEM
    snapshots_dir: Path = Path("/prometheus/snapshots")

    @field_validator("config_maps", "secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, (each.strip() for each in value.split(",")))) if isinstance(value, str) else value

    @field_validator("prefix")
    @classmethod
    def _folder(cls, value: str) -> str:
        if not value.strip("/"):
            raise ValueError("is empty: each stack has a folder of its own in the bucket")
        return value.strip("/")

    def secret(self, name: str) -> str:
        """A secret that must be there."""
        self.need(name)
        value = getattr(self, name)
        return str(value.get_secret_value())

    def folder(self, name: str) -> Path:
        """A path that must be set."""
        self.need(name)
        return Path(getattr(self, name))

    def text(self, name: str) -> str:
        """A value that must be set."""
        self.need(name)
        return str(getattr(self, name))

    def need(self, *names: str) -> None:
        """Raises `UserError` that names every variable of `names` that is missing."""
        missing = [PREFIX + name.upper() for name in names if not getattr(self, name)]
        if missing:
            raise UserError("\n".join(f"{name}: is not set, and this command needs it" for name in missing))


def from_environment() -> Settings:
    """The settings of this process. Raises `UserError` with every problem, each naming its variable."""
    folder = os.environ.get(SECRETS_DIR)
    if folder is not None and not Path(folder).is_dir():
        raise UserError(f"{SECRETS_DIR}: {folder} is not a folder")
    try:
        # An argument of pydantic-settings' own, which its types do not know.
        return Settings(_secrets_dir=folder)  # type: ignore[call-arg]
    except ValidationError as error:
        lines = (f"{PREFIX}{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors())
        raise UserError("\n".join(lines)) from None
