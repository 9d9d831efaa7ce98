"""pgBackRest's configuration: beside the database, which archives its log, and where backups are made and restored.

Source: pgBackRest 2.45, "Configuration Reference".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.kube.bucket import Bucket, Keys
from infra.kube.files import as_ini

STANZA = "modelcard"
PORT = 8432
CLIENT = "modelcard-backup"  # the name in the certificate of whoever may read the database's files
ROLE = "backup"  # in PostgreSQL
FILE, AUTHORITY = "pgbackrest.conf", "storage.crt"
SECRETS, SPOOL = "/run/secrets/pgbackrest", "/var/spool/pgbackrest"
TEMPORARY = "/tmp"  # noqa: S108 - inside the pod
# Segments that are fetched ahead while a log is replayed: eight of 16 MiB; the spool is a little larger.
FETCHED_AHEAD, SPOOL_SIZE = "128MiB", "160Mi"
NEVER = "9999999"  # what is kept, `mcops backup prune` decides: pgBackRest's own expiry knows nothing of verified sets


@dataclass(frozen=True, kw_only=True)
class Server:
    """The database as pgBackRest sees it: where its files and its socket are."""

    data: str
    socket: str
    port: int


@dataclass(frozen=True, kw_only=True)
class Client:
    """A job: by what name it reaches the database, and where its own files and its certificate are."""

    host: str
    folder: str
    tls: str


def environment(folder: str) -> dict[str, str]:
    """By what every call of pgBackRest finds its files: public ones in this folder, secret ones in their own."""
    return {"PGBACKREST_CONFIG": f"{folder}/{FILE}", "PGBACKREST_CONFIG_INCLUDE_PATH": SECRETS}


def database_conf(bucket: Bucket, server: Server, *, folder: str, tls: str, queue: int) -> str:
    """Beside the database. After `queue` MiB that could not be archived, log is dropped rather than service."""
    return as_ini(
        {
            "global": {
                **_repository(bucket, folder),
                "archive-async": "y",
                "archive-push-queue-max": f"{queue}MiB",
                "archive-get-queue-max": FETCHED_AHEAD,
                "spool-path": SPOOL,
                "tls-server-address": "*",
                "tls-server-port": PORT,
                "tls-server-auth": f"{CLIENT}={STANZA}",
                "tls-server-ca-file": f"{tls}/ca.crt",
                "tls-server-cert-file": f"{tls}/tls.crt",
                "tls-server-key-file": f"{tls}/tls.key",
            },
            STANZA: _server(server),
        }
    )


def job_conf(bucket: Bucket, server: Server, client: Client, passphrase: pulumi.Output[str]) -> pulumi.Output[str]:
    """In a job, which reads the database's files through the server beside it and writes to the bucket itself.

    One file with all of it, for a job hands its programs no more than the file's name.
    """
    remote = {
        "pg1-host": client.host,
        "pg1-host-type": "tls",
        "pg1-host-port": PORT,
        "pg1-host-ca-file": f"{client.tls}/ca.crt",
        "pg1-host-cert-file": f"{client.tls}/tls.crt",
        "pg1-host-key-file": f"{client.tls}/tls.key",
    }
    options = {**_repository(bucket, client.folder), "start-fast": "y", "expire-auto": "n", "spool-path": TEMPORARY}
    public = as_ini({STANZA: {**_server(server), **remote}, "global": options})
    return pulumi.Output.concat(public, secret_options(passphrase, bucket.keys))


def secret_conf(passphrase: pulumi.Output[str], keys: Keys | None) -> pulumi.Output[str]:
    """What of it nobody may read: a file of its own, which pgBackRest reads beside the public one."""
    return pulumi.Output.concat("[global]\n", secret_options(passphrase, keys))


def secret_options(passphrase: pulumi.Output[str], keys: Keys | None) -> pulumi.Output[str]:
    """The repository's passphrase, and the login of its storage if it has one."""
    login = ("repo1-s3-key=", keys.access, "\nrepo1-s3-key-secret=", keys.secret, "\n") if keys else ()
    return pulumi.Output.concat("repo1-cipher-pass=", passphrase, "\n", *login)


def _repository(bucket: Bucket, folder: str) -> Mapping[str, object]:
    place: dict[str, object]
    authority = {"repo1-storage-ca-file": f"{folder}/{AUTHORITY}"} if bucket.authority else {}
    if bucket.endpoint is None:
        place = {"repo1-s3-endpoint": f"s3.{bucket.region}.amazonaws.com", "repo1-s3-key-type": "web-id"}
    else:
        place = {
            "repo1-s3-endpoint": bucket.endpoint.host,
            "repo1-storage-port": bucket.endpoint.port,
            "repo1-s3-uri-style": "path",
            "repo1-s3-key-type": "shared",
        }
    return {
        "repo1-type": "s3",
        "repo1-path": f"/{bucket.folder}/pgbackrest",
        "repo1-s3-bucket": bucket.name,
        "repo1-s3-region": bucket.region,
        **place,
        **authority,
        "repo1-cipher-type": "aes-256-cbc",
        "repo1-bundle": "y",
        "repo1-retention-full": NEVER,
        "compress-type": "zst",
        "process-max": 2,
        "archive-timeout": 60,
        "lock-path": f"{TEMPORARY}/pgbackrest",
        "log-level-file": "off",
        "log-level-console": "info",
    }


def _server(server: Server) -> dict[str, object]:
    return {
        "pg1-path": server.data,
        "pg1-socket-path": server.socket,
        "pg1-port": server.port,
        "pg1-user": ROLE,
        "pg1-database": "postgres",
    }
