"""Redis as a cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.kube.component import Component
from infra.kube.identity import Spaces, Workload
from infra.kube.pods import Container, FromConfigMap, FromSecret, Pod, Rollout, Scratch, exec_probe, port_probe
from infra.kube.tls import ServerCertificate
from infra.quantities import Memory
from infra.settings import Resources

WORKLOAD = Workload(component="cache", name="cache-redis")
PORT = 6379
MONITOR = "monitor"
CONFIG, SECRET, TLS = "/etc/redis", "/run/secrets/redis", "/run/secrets/tls"
HEADROOM = (
    75  # per cent of the container for data, the rest for buffers and fragmentation (Redis, "Memory optimization")
)
# What redis_exporter asks as it is called here, tried on Redis 6.2 and 7.0: its ACL LOG stays empty.
MONITOR_MAY = "+ping +info +config|get +slowlog|get +slowlog|len +latency|latest +latency|histogram +client|setname"


@dataclass(frozen=True, kw_only=True)
class CacheArgs:
    """Redis as a cache: nothing in it needs to survive."""

    spaces: Spaces
    image: str
    resources: Resources
    password: pulumi.Output[str]
    monitor_password: pulumi.Output[str]
    certificate: ServerCertificate
    clients: Sequence[Workload]
    rollout: Rollout


class Cache(Component):
    """Redis over TLS, reachable by its clients only. Output: `url` (secret)."""

    url: pulumi.Output[str]

    def __init__(self, name: str, args: CacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        files = {"redis.conf": redis_conf(args.resources.memory_limit)}
        config = self.config_map("config", files)
        users = pulumi.Output.all(args.password, args.monitor_password).apply(lambda both: users_acl(*both))
        secret = self.secret("auth", {"users.acl": users, "password": args.password})
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        # redis-cli takes the password from this variable only, or from its command line, where others can read it.
        ask = f"redis-cli --tls --cacert {TLS}/ca.crt ping | grep -q PONG"
        ping = f'export REDISCLI_AUTH="$(cat {SECRET}/password)"; {ask}'
        self.deployment(
            WORKLOAD,
            Pod(
                main=Container(
                    name="redis",
                    image=args.image,
                    command=["redis-server"],
                    args=[f"{CONFIG}/redis.conf"],
                    resources=args.resources,
                    ports={"redis": PORT},
                    mounts=[
                        FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"),
                        FromSecret(path=SECRET, secret=secret.metadata.name, volume="auth"),
                        FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
                        Scratch(path="/data", volume="data", size="64Mi"),
                    ],
                    readiness=exec_probe("sh", "-c", ping, period_seconds=5, timeout_seconds=3),
                    liveness=port_probe("redis", initial_delay_seconds=15, period_seconds=20, timeout_seconds=5),
                )
            ),
            replicas=1,
            config=files,
            rollout=args.rollout,
        )
        self.service(WORKLOAD, ports={"redis": PORT})
        self.allow(args.clients, to=WORKLOAD, port=PORT)
        self.url = pulumi.Output.secret(
            pulumi.Output.concat("rediss://app:", args.password, f"@{WORKLOAD.name}:{PORT}/0")
        )
        self.finish(url=self.url)


def redis_conf(memory: Memory) -> str:
    """A cache that forgets the least recently used entry and never touches a disk. Source: redis.io, redis.conf 7.4."""
    directives = {
        "port": "0",
        "tls-port": PORT,
        "tls-cert-file": f"{TLS}/tls.crt",
        "tls-key-file": f"{TLS}/tls.key",
        "tls-ca-cert-file": f"{TLS}/ca.crt",
        "tls-auth-clients": "no",
        "aclfile": f"{SECRET}/users.acl",
        "dir": "/data",
        "maxmemory": f"{memory.share(HEADROOM)}mb",
        "maxmemory-policy": "allkeys-lru",
        "save": '""',
        "appendonly": "no",
        "timeout": "300",
        "tcp-keepalive": "60",
    }
    return "".join(f"{key} {value}\n" for key, value in directives.items())


def users_acl(password: str, monitor_password: str) -> str:
    """`default` answers health checks only; `app` may do what a cache needs, but not reconfigure or stop the server.

    `monitor` sees how the server does, and no key.
    """
    users = {
        "default": (password, "-@all +ping"),
        "app": (password, "~* &* +@all -@admin -@dangerous +info"),
        MONITOR: (monitor_password, f"-@all {MONITOR_MAY}"),
    }
    return "".join(f"user {name} on >{secret} {may}\n" for name, (secret, may) in users.items())
