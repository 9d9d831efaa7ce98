"""postgres_exporter: what PostgreSQL says of itself, as metrics."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.components import database
from infra.kube.exporter import TLS, WEB, Exporter, Serving
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import FromSecret

WORKLOAD = Workload(component="postgres-exporter", name="postgres-exporter", space="observability")
PORT = 9187
METRICS = Metrics(job="postgresql", workload=WORKLOAD, port=PORT, server=WORKLOAD.name)
LOGIN = "/run/secrets/postgres"
CONNECT_TIMEOUT = 5  # seconds: shorter than a scrape, so that a server that hangs is told from an exporter that does


@dataclass(frozen=True, kw_only=True)
class PostgresExporterArgs:
    """`address` is the server's `host:port`; `user` and `password` are of a login that may monitor."""

    spaces: Spaces
    serving: Serving
    address: str
    user: str
    password: pulumi.Output[str]


class PostgresExporter(Exporter):
    """One pod that asks PostgreSQL whenever Prometheus asks it."""

    def __init__(self, name: str, args: PostgresExporterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        login = self.secret("login", {"password": args.password})
        verified = f"sslmode=verify-full&sslrootcert={TLS}/ca.crt&connect_timeout={CONNECT_TIMEOUT}"
        self.serve(
            METRICS,
            args.serving,
            command="/bin/postgres_exporter",
            args=[
                f"--web.listen-address=:{PORT}",
                f"--web.config.file={WEB}/web.yml",
                "--collector.database_wraparound",
                "--collector.long_running_transactions",
                "--collector.postmaster",
            ],
            environment={
                "DATA_SOURCE_URI": f"{args.address}/{database.DATABASE}?{verified}",
                "DATA_SOURCE_USER": args.user,
                "DATA_SOURCE_PASS_FILE": f"{LOGIN}/password",
            },
            mounts=[FromSecret(path=LOGIN, secret=login.metadata.name, volume="login")],
        )
        self.finish()
