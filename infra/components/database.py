"""PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files

import pulumi

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
DATABASE = USER_NAME = "modelcard"
MONITOR = "monitor"
CONFIG, SECRET, TLS = "/etc/postgresql/modelcard", "/run/secrets/postgres", "/run/secrets/tls"
SOCKET = "/var/run/postgresql"
VOLUME = "/var/lib/postgresql/data"
DATA = f"{VOLUME}/pgdata"  # a fresh volume's root holds lost+found, which initdb refuses


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs:
    """One PostgreSQL server and its volume."""

    spaces: Spaces
    image: str
    resources: Resources
    storage: Storage
    max_connections: int
    admin_password: pulumi.Output[str]
    password: pulumi.Output[str]
    monitor_password: pulumi.Output[str]
    certificate: ServerCertificate
    clients: Sequence[Workload]
    rollout: Rollout
    protect: bool


class Database(Component):
    """PostgreSQL over TLS, reachable by its clients only. Output: `url` (secret, libpq form)."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        files = {
            "postgresql.conf": postgresql_conf(args.resources.memory_limit, args.max_connections),
            "pg_hba.conf": PG_HBA,
            "passwd": PASSWD,
            "bootstrap.sh": package_files("infra.components").joinpath("database-bootstrap.sh").read_text(),
        }
        config = self.config_map("config", files)
        passwords = {
            "admin-password": args.admin_password,
            "password": args.password,
            "monitor-password": args.monitor_password,
        }
        secret = self.secret("auth", passwords)
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        data = self.claim("data", args.storage, access_mode="ReadWriteOnce", protect=args.protect)
        mounts: list[Mount] = [
            FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"),
            FromConfigMap(path="/etc/passwd", config_map=config.metadata.name, volume="config", key="passwd"),
            FromSecret(path=SECRET, secret=secret.metadata.name, volume="auth"),
            FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
            Scratch(path=SOCKET, volume="socket", size="1Mi"),
            Scratch(path="/tmp", volume="tmp", size="64Mi"),
            # PostgreSQL's dynamic shared memory; the runtime's own /dev/shm is 64 MiB, too small for parallel queries.
            Scratch(path="/dev/shm", volume="shm", size=f"{args.resources.memory_limit.share(25)}Mi", memory=True),
            FromClaim(path=VOLUME, volume="data", claim=data.metadata.name),
        ]
        ready = ("pg_isready", "--quiet", f"--host={SOCKET}", f"--dbname={DATABASE}", f"--username={USER_NAME}")
        self.service(WORKLOAD, ports={"postgres": PORT}, headless=True)
        self.stateful_set(
            WORKLOAD,
            Pod(
                before=[
                    Container(
                        name="bootstrap",
                        image=args.image,
                        command=["bash", f"{CONFIG}/bootstrap.sh"],
                        resources=args.resources,
                        environment={"PGDATA": DATA, "DATABASE": DATABASE, "MONITOR": MONITOR, "SECRETS": SECRET},
                        mounts=mounts,
                    )
                ],
                main=Container(
                    name="postgres",
                    image=args.image,
                    command=["postgres"],
                    args=[
                        "-D",
                        DATA,
                        "-c",
                        f"config_file={CONFIG}/postgresql.conf",
                        "-c",
                        f"hba_file={CONFIG}/pg_hba.conf",
                    ],
                    resources=args.resources,
                    ports={"postgres": PORT},
                    mounts=mounts,
                    # Recovery after a crash reads up to max_wal_size of log; restarting in the middle starts it anew.
                    startup=exec_probe(*ready, period_seconds=5, timeout_seconds=3, failure_threshold=120),
                    readiness=exec_probe(*ready, period_seconds=5, timeout_seconds=3, failure_threshold=2),
                    liveness=port_probe("postgres", period_seconds=10, timeout_seconds=5, failure_threshold=6),
                ),
                # A fast shutdown writes a checkpoint first.
                grace=120,
            ),
            service=WORKLOAD.name,
            config=files,
            rollout=args.rollout,
            protect=args.protect,
        )
        self.allow(args.clients, to=WORKLOAD, port=PORT)
        self.url = pulumi.Output.secret(
            pulumi.Output.concat(
                f"postgresql://{USER_NAME}:", args.password, f"@{WORKLOAD.name}:{PORT}/{DATABASE}?sslmode=verify-full"
            )
        )
        self.finish(url=self.url)


# TLS only; the superuser only from inside the pod.
PG_HBA = """\
local    all        all                        scram-sha-256
hostssl  modelcard  modelcard  0.0.0.0/0       scram-sha-256
hostssl  modelcard  modelcard  ::/0            scram-sha-256
hostssl  modelcard  monitor    0.0.0.0/0       scram-sha-256
hostssl  modelcard  monitor    ::/0            scram-sha-256
"""
# initdb and psql look their user up by name, and no image knows the pod's.
PASSWD = f"postgres:x:{USER}:{USER}::{VOLUME}:/bin/sh\n"


def postgresql_conf(memory: Memory, max_connections: int) -> str:
    """Server parameters that follow from the container's memory.

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
