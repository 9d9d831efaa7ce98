"""Logstash: takes the lines from the shippers, keeps them until Elasticsearch has them, and loses none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from typing import Any

import pulumi

from infra.kube.component import Component
from infra.kube.files import as_yaml
from infra.kube.identity import Spaces, Workload
from infra.kube.pods import (
    Container,
    FromConfigMap,
    FromSecret,
    FromTemplate,
    Mount,
    Pod,
    Rollout,
    Scratch,
    port_probe,
)
from infra.kube.tls import ServerCertificate
from infra.quantities import Memory
from infra.settings import Replicated

WORKLOAD = Workload(component="logstash", name="logstash", space="observability")
PORT = 5044
WRITER = "log_writer"
HOME = "/usr/share/logstash"
SETTINGS, GIVEN = f"{HOME}/config", "/etc/modelcard/logstash"
SECRET, TLS, DATA = "/run/secrets/logstash", "/run/secrets/tls", f"{HOME}/data"
HEAP = 45  # per cent of the container; JRuby's code and Netty's buffers live outside of the heap
QUEUE, DEAD_LETTERS = 70, 10  # per cent of the volume each; the rest is for what is not yet removed


@dataclass(frozen=True, kw_only=True)
class LogstashArgs:
    """Who ships lines, where they go, and whose they are. `password` is that of the user who may write them."""

    spaces: Spaces
    settings: Replicated
    stack: str
    elasticsearch: str
    password: pulumi.Output[str]
    certificate: ServerCertificate
    clients: Sequence[Workload]
    rollout: Rollout


class Logstash(Component):
    """Logstash, for shippers with a certificate of the stack's authority. Output: `host`, inside its namespace."""

    space = "observability"
    host: str

    def __init__(self, name: str, args: LogstashArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        settings = args.settings
        files = {
            "logstash.yml": as_yaml(logstash_config()),
            "pipelines.yml": as_yaml(pipelines(settings.storage.size)),
            **{name: component_file(name) for name in ("logstash.conf", "logstash-rejected.conf")},
            "configure.sh": component_file("logstash-configure.sh"),
        }
        config = self.config_map("config", files)
        secret = self.secret("auth", {"password": args.password})
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        mounts: list[Mount] = [
            FromConfigMap(path=GIVEN, config_map=config.metadata.name, volume="given"),
            FromSecret(path=SECRET, secret=secret.metadata.name, volume="auth"),
            FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
            Scratch(path="/tmp", volume="tmp", size="256Mi"),
        ]
        environment = {"LS_JAVA_OPTS": heap(settings.resources.memory_limit)}
        self.service(WORKLOAD, ports={"beats": PORT})
        peers = self.peers(WORKLOAD, ports={"beats": PORT})
        self.stateful_set(
            WORKLOAD,
            Pod(
                before=[
                    Container(
                        name="configure",
                        image=settings.image,
                        command=["bash", f"{GIVEN}/configure.sh"],
                        resources=settings.resources,
                        environment={
                            **environment,
                            "HOME_FOLDER": HOME,
                            "GIVEN": GIVEN,
                            "SECRET": SECRET,
                            "DATA": DATA,
                        },
                        mounts=[
                            *mounts,
                            Scratch(path="/prepared", volume="settings", size="16Mi"),
                            FromTemplate(path=DATA, volume="data"),
                        ],
                    )
                ],
                main=Container(
                    name="logstash",
                    image=settings.image,
                    command=[f"{HOME}/bin/logstash"],
                    args=[f"--path.settings={SETTINGS}"],
                    resources=settings.resources,
                    ports={"beats": PORT},
                    environment={
                        **environment,
                        "ELASTICSEARCH": args.elasticsearch,
                        "STACK": args.stack,
                        "TLS": TLS,
                        "WRITER": WRITER,
                    },
                    mounts=[
                        *mounts,
                        Scratch(path=SETTINGS, volume="settings", size="16Mi"),
                        FromTemplate(path=DATA, volume="data"),
                    ],
                    # JRuby takes a minute to start; it listens when its queue can take lines.
                    startup=port_probe("beats", period_seconds=5, timeout_seconds=3, failure_threshold=60),
                    readiness=port_probe("beats", period_seconds=10, timeout_seconds=3, failure_threshold=3),
                    liveness=port_probe("beats", period_seconds=30, timeout_seconds=10, failure_threshold=6),
                ),
                # What is in flight goes into the queue or to Elasticsearch first.
                grace=90,
            ),
            service=peers.metadata.name,
            config=files,
            rollout=args.rollout,
            protect=False,
            replicas=settings.replicas,
            volumes={"data": settings.storage},
            backup="none: lines on their way, each for as long as Elasticsearch does not take it",
        )
        if settings.replicas > 1:
            self.budget(WORKLOAD)
        self.allow(args.clients, to=WORKLOAD, port=PORT)
        self.host = WORKLOAD.name
        self.finish(host=self.host)


def component_file(name: str) -> str:
    """A file in Logstash's own format, beside this one."""
    return package_files("infra.components").joinpath(name).read_text()


def heap(memory: Memory) -> str:
    """The heap, from the container's memory."""
    return f"-Xms{memory.share(HEAP)}m -Xmx{memory.share(HEAP)}m"


def logstash_config() -> dict[str, Any]:
    """What `logstash.yml` says. Source: elastic.co, "logstash.yml" of 8.19."""
    return {
        "path.data": DATA,
        "path.logs": "/tmp",
        "log.format": "json",
        # Nobody but the pod itself may ask; it has no password.
        "api.http.host": "127.0.0.1",
        "xpack.monitoring.enabled": False,
        # Otherwise it keeps a copy of every line beside the line.
        "pipeline.ecs_compatibility": "disabled",
        "config.support_escapes": False,
    }


def pipelines(storage: Memory) -> list[dict[str, Any]]:
    """The two pipelines, in MiB of the volume: what was shipped, and what Elasticsearch would not take."""
    return [
        {
            "pipeline.id": "main",
            "path.config": f"{GIVEN}/logstash.conf",
            # A line is acknowledged to the shipper when it is on this volume.
            "queue.type": "persisted",
            "queue.max_bytes": f"{storage.share(QUEUE)}mb",
            "queue.checkpoint.writes": 1024,
            "dead_letter_queue.enable": True,
            "dead_letter_queue.max_bytes": f"{storage.share(DEAD_LETTERS)}mb",
            "dead_letter_queue.storage_policy": "drop_older",
        },
        {
            "pipeline.id": "rejected",
            "path.config": f"{GIVEN}/logstash-rejected.conf",
            "pipeline.workers": 1,
            "dead_letter_queue.enable": False,
        },
    ]
