"""redis_exporter: what Redis says of itself, as metrics."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi

from infra.components import cache
from infra.kube.exporter import TLS, Exporter, Serving
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import FromSecret

WORKLOAD = Workload(component="redis-exporter", name="redis-exporter", space="observability")
PORT = 9121
METRICS = Metrics(job="redis", workload=WORKLOAD, port=PORT, server=WORKLOAD.name)
LOGIN = "/run/secrets/redis"


@dataclass(frozen=True, kw_only=True)
class RedisExporterArgs:
    """`address` is the server's `host:port`; the password is that of its user for monitoring."""

    spaces: Spaces
    serving: Serving
    address: str
    password: pulumi.Output[str]


class RedisExporter(Exporter):
    """One pod that asks Redis whenever Prometheus asks it."""

    def __init__(self, name: str, args: RedisExporterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)

        def passwords(password: str) -> str:
            # Versions before 1.55 look it up without the user.
            return json.dumps({f"rediss://{each}{args.address}": password for each in ("", f"{cache.MONITOR}@")})

        login = self.secret("login", {"passwords.json": args.password.apply(passwords)})
        self.serve(
            METRICS,
            args.serving,
            command="/redis_exporter",
            args=[
                f"-web.listen-address=:{PORT}",
                f"-tls-server-cert-file={TLS}/tls.crt",
                f"-tls-server-key-file={TLS}/tls.key",
                f"-tls-ca-cert-file={TLS}/ca.crt",
                f"-redis.addr=rediss://{args.address}",
                f"-redis.user={cache.MONITOR}",
                f"-redis.password-file={LOGIN}/passwords.json",
            ],
            mounts=[FromSecret(path=LOGIN, secret=login.metadata.name, volume="login")],
        )
        self.finish()
