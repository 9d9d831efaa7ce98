"""PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files

import pulumi

from infra.kube import pgbackrest
from infra.kube.bucket import Bucket
from infra.kube.component import Component
from infra.kube.identity import Spaces, Workload
from infra.kube.pods import (
    USER,
    Container,
    FromClaim,
    FromConfigMap,
    FromSecret,
    Mount,
    Pod,
    Rollout,
    Scratch,
    exec_probe,
    port_probe,
)
from infra.kube.tls import ServerCertificate
from infra.quantities import Memory
from infra.settings import Resources, Storage

WORKLOAD = Workload(component="database", name="database-postgres")
PORT = 5432
DATABASE = "modelcard"  # and the role that owns it, which nobody logs in as
MONITOR = "monitor"
CONFIG, SECRET, TLS = "/etc/postgresql/modelcard", "/run/secrets/postgres", "/run/secrets/tls"
SOCKET = "/var/run/postgresql"
ALIVE = "/tmp/rotation"  # touched every five seconds
RECENT = f'[ -n "$(find {ALIVE} -mmin -2)" ]'
CLAIM = f"{WORKLOAD.component}-data"
VOLUME = "/var/lib/postgresql/data"
DATA = f"{VOLUME}/pgdata"  # a fresh volume's root holds lost+found, which initdb refuses
# What the scripts that make the roles are told.
ROLES = {"SECRETS": SECRET, "SCRIPTS": CONFIG, "DATABASE": DATABASE, "MONITOR": MONITOR, "BACKUP": pgbackrest.ROLE}
SERVER = pgbackrest.Server(data=DATA, socket=SOCKET, port=PORT)
# Per cent of the volume. Log that cannot be archived may fill that much of it; more, and PostgreSQL would stop.
ARCHIVE_QUEUE = 25


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs:
    """One PostgreSQL server, its volume, and where it archives its log, at least every `archive_timeout` seconds.

    With None it archives nothing: what it holds is thrown away with it.
    """

    spaces: Spaces
    image: str
    resources: Resources
    backup_resources: Resources  # of what reads its files for who makes a backup
    rotation_resources: Resources
    storage: Storage
    max_connections: int
    password: pulumi.Output[str]
    monitor_password: pulumi.Output[str]
    certificate: ServerCertificate
    clients: Sequence[Workload]
    bucket: Bucket
    passphrase: pulumi.Output[str]
    archive_timeout: int | None
    backup: str  # what backs it up
    readers: Sequence[Workload]  # who may read its files
    rollout: Rollout
    protect: bool


class Database(Component):
    """PostgreSQL over TLS, reachable by its clients only. Output: `url` (secret, libpq form)."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        files = {
            "postgresql.conf": postgresql_conf(args.resources.memory_limit, args.max_connections, args.archive_timeout),
            "pg_hba.conf": PG_HBA,
            "pg_ident.conf": PG_IDENT,
            pgbackrest.FILE: pgbackrest.database_conf(
                args.bucket, SERVER, folder=CONFIG, tls=TLS, queue=args.storage.size.share(ARCHIVE_QUEUE)
            ),
            **({pgbackrest.AUTHORITY: args.bucket.authority} if args.bucket.authority else {}),
            "passwd": PASSWD,
            **{f"{name}.sh": script(name) for name in ("bootstrap", "roles", "rotation")},
        }
        config = self.config_map("config", files)
        # A login is one file: a rotation must not be read by halves.
        logins = {
            role: pulumi.Output.concat(login(role, args.rollout.rotation), " ", password)
            for role, password in {DATABASE: args.password, MONITOR: args.monitor_password}.items()
        }
        secret = self.secret("auth", logins)
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        archive = self.secret("archive", {"secret.conf": pgbackrest.secret_conf(args.passphrase, args.bucket.keys)})
        data = self.claim("data", args.storage, access_mode="ReadWriteOnce", protect=args.protect, backup=args.backup)
        mounts: list[Mount] = [
            FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"),
            FromConfigMap(path="/etc/passwd", config_map=config.metadata.name, volume="config", key="passwd"),
            FromSecret(path=SECRET, secret=secret.metadata.name, volume="auth"),
            FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
            FromSecret(path=pgbackrest.SECRETS, secret=archive.metadata.name, volume="archive"),
            *args.bucket.tokens,
            # What is archived is on the volume; here is only what pgBackRest knows of it, and can find out again.
            Scratch(path=pgbackrest.SPOOL, volume="spool", size=pgbackrest.SPOOL_SIZE),
            Scratch(path=SOCKET, volume="socket", size="1Mi"),
            Scratch(path="/tmp", volume="tmp", size="64Mi"),
            # PostgreSQL's dynamic shared memory; the runtime's own /dev/shm is 64 MiB, too small for parallel queries.
            Scratch(path="/dev/shm", volume="shm", size=f"{args.resources.memory_limit.share(25)}Mi", memory=True),
            FromClaim(path=VOLUME, volume="data", claim=data.metadata.name),
        ]
        self.service(WORKLOAD, ports={"postgres": PORT, "pgbackrest": pgbackrest.PORT}, headless=True)
        self.stateful_set(
            WORKLOAD,
            Pod(
                # pgBackRest's archiver outlives its command. PostgreSQL as the first process would adopt it, and take
                # its failure for a crash of its own: docs/decisions/0018.
                shared_processes=True,
                before=[_bootstrap(args, mounts)],
                main=_postgres(args, mounts),
                beside=[_backup_server(args, mounts), _rotation(args, mounts)],
                rereads_secrets=True,
                # A fast shutdown writes a checkpoint first.
                grace=120,
                role=args.bucket.roles.get("archiver"),
            ),
            service=WORKLOAD.name,
            config=files,
            rollout=args.rollout,
            protect=args.protect,
        )
        self.allow(args.clients, to=WORKLOAD, port=PORT)
        if args.readers:
            self.allow(args.readers, to=WORKLOAD, port=pgbackrest.PORT, what="pgbackrest")
        self.policy(f"{WORKLOAD.name}-to-storage", args.bucket.egress(WORKLOAD))
        self.url = pulumi.Output.secret(
            pulumi.Output.concat(
                f"postgresql://{login(DATABASE, args.rollout.rotation)}:",
                args.password,
                f"@{WORKLOAD.name}:{PORT}/{DATABASE}?sslmode=verify-full",
            )
        )
        self.finish(url=self.url)


def _bootstrap(args: DatabaseArgs, mounts: Sequence[Mount]) -> Container:
    """Makes the database, its roles and its archive where they are missing."""
    return Container(
        name="bootstrap",
        image=args.image,
        command=["bash", f"{CONFIG}/bootstrap.sh"],
        resources=args.resources,
        environment={"PGDATA": DATA, "STANZA": pgbackrest.STANZA, **ROLES, **_archiver(args)},
        mounts=mounts,
    )


def _postgres(args: DatabaseArgs, mounts: Sequence[Mount]) -> Container:
    ready = ("pg_isready", "--quiet", f"--host={SOCKET}", f"--dbname={DATABASE}", f"--username={DATABASE}")
    places = {"config_file": "postgresql.conf", "hba_file": "pg_hba.conf", "ident_file": "pg_ident.conf"}
    return Container(
        name="postgres",
        image=args.image,
        command=["postgres"],
        args=["-D", DATA, *(word for name, file in places.items() for word in ("-c", f"{name}={CONFIG}/{file}"))],
        resources=args.resources,
        ports={"postgres": PORT},
        environment=_archiver(args),
        mounts=mounts,
        # Recovery after a crash reads up to max_wal_size of log; restarting in the middle starts it anew.
        startup=exec_probe(*ready, period_seconds=5, timeout_seconds=3, failure_threshold=120),
        readiness=exec_probe(*ready, period_seconds=5, timeout_seconds=3, failure_threshold=2),
        liveness=port_probe("postgres", period_seconds=10, timeout_seconds=5, failure_threshold=6),
    )


def _backup_server(args: DatabaseArgs, mounts: Sequence[Mount]) -> Container:
    """Reads the database's files for who makes a backup."""
    return Container(
        name="pgbackrest",
        image=args.image,
        command=["pgbackrest"],
        args=["server"],
        resources=args.backup_resources,
        ports={"pgbackrest": pgbackrest.PORT},
        environment=pgbackrest.environment(CONFIG),
        mounts=mounts,
        # Ready whenever it runs: that no backup can be made must not take the database away.
        readiness=exec_probe("true", period_seconds=60),
        liveness=port_probe("pgbackrest", period_seconds=20, timeout_seconds=5, failure_threshold=6),
    )


def _rotation(args: DatabaseArgs, mounts: Sequence[Mount]) -> Container:
    """Tells PostgreSQL of new passwords and certificates."""
    return Container(
        name="rotation",
        image=args.image,
        command=["bash", f"{CONFIG}/rotation.sh"],
        resources=args.rotation_resources,
        environment={"TLS": TLS, "SOCKET": SOCKET, "PGPORT": str(PORT), "ALIVE": ALIVE, **ROLES},
        mounts=mounts,
        # As above: whoever has a password keeps it.
        readiness=exec_probe("true", period_seconds=60),
        liveness=exec_probe("bash", "-c", RECENT, period_seconds=60, timeout_seconds=5),
    )


def _archiver(args: DatabaseArgs) -> Mapping[str, str]:
    """Environment of what archives the log."""
    return pgbackrest.environment(CONFIG) | args.bucket.environment("archiver")


def login(role: str, rotation: int) -> str:
    """Which of a role's two members has the password of this rotation of the secrets: docs/decisions/0029."""
    return f"{role}_{'ab'[rotation % 2]}"


def script(name: str) -> str:
    """A script of this component's."""
    return package_files("infra.components").joinpath(f"database-{name}.sh").read_text()


# TLS only, and for members of two roles. The superuser and pgBackRest's role have no password: they are this pod's.
PG_HBA = f"""\
local    all        postgres                    peer map=pod
local    postgres   {pgbackrest.ROLE:<9}                   peer map=pod
hostssl  modelcard  +modelcard  0.0.0.0/0       scram-sha-256
hostssl  modelcard  +modelcard  ::/0            scram-sha-256
hostssl  modelcard  +monitor    0.0.0.0/0       scram-sha-256
hostssl  modelcard  +monitor    ::/0            scram-sha-256
"""
PG_IDENT = f"pod postgres postgres\npod postgres {pgbackrest.ROLE}\n"
# initdb and psql look their user up by name, and no image knows the pod's.
PASSWD = f"postgres:x:{USER}:{USER}::{VOLUME}:/bin/sh\n"


def postgresql_conf(memory: Memory, max_connections: int, archive_timeout: int | None) -> str:
    """Server parameters that follow from the container's memory, and from how much may be lost.

    Source: PostgreSQL 15 documentation, chapters 20.4 (shared_buffers: a quarter of memory), 20.5 and 20.7
    (effective_cache_size: what the operating system may cache); work_mem: a quarter of memory if every connection
    sorts at once.
    """
    parameters = {
        "listen_addresses": "'*'",
        "port": PORT,
        "unix_socket_directories": f"'{SOCKET}'",
        "max_connections": max_connections,
        "shared_buffers": f"{memory.share(25)}MB",
        "effective_cache_size": f"{memory.share(50)}MB",
        "maintenance_work_mem": f"{memory.share(5)}MB",
        "work_mem": f"{max(memory.bytes // 4 // max_connections // 1024, 64)}kB",
        "dynamic_shared_memory_type": "posix",
        "wal_level": "replica",
        "max_wal_size": "1GB",
        "checkpoint_completion_target": "0.9",
        **({"archive_mode": "off"} if archive_timeout is None else _archiving(archive_timeout)),
        "password_encryption": "scram-sha-256",
        "ssl": "on",
        "ssl_cert_file": f"'{TLS}/tls.crt'",
        "ssl_key_file": f"'{TLS}/tls.key'",
        "ssl_min_protocol_version": "TLSv1.2",
        "log_destination": "stderr",
        "log_min_duration_statement": "1s",
        "log_lock_waits": "on",
        "log_connections": "off",
        "idle_in_transaction_session_timeout": "60s",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
    }
    return "".join(f"{name} = {value}\n" for name, value in parameters.items())


def _archiving(timeout: int) -> dict[str, str]:
    return {
        "archive_mode": "on",
        "archive_command": f"'pgbackrest --stanza={pgbackrest.STANZA} archive-push %p'",
        "archive_timeout": f"{timeout}s",
    }
