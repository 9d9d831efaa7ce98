"""Elasticsearch: keeps what was logged, and finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from typing import Any

import pulumi

from infra.kube import network
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
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.quantities import Memory
from infra.settings import Replicated, Snapshots

WORKLOAD = Workload(component="elasticsearch", name="elasticsearch", space="observability")
PORT = 9200
TRANSPORT = 9300
READINESS = 9399
SETUP = "setup"  # the one superuser that is a file, so that it works before there is any index and after any rotation
HOME = "/usr/share/elasticsearch"
CONFIG, GIVEN, LOGIN, KEYS = f"{HOME}/config", "/etc/modelcard/elasticsearch", "/run/secrets/login", "/run/secrets/s3"
TLS = f"{CONFIG}/tls"  # it reads certificates below its own configuration only
DATA = f"{HOME}/data"
HEAP = 50  # per cent of the container; the page cache and Lucene need the rest (Elastic, "Set the JVM heap size")


@dataclass(frozen=True, kw_only=True)
class ElasticsearchArgs:
    """A cluster of equal nodes and whom it answers. `setup` is the login of the Job that configures it."""

    spaces: Spaces
    settings: Replicated
    snapshots: Snapshots | None
    setup: MonitoringLogin
    certificate: ServerCertificate
    clients: Sequence[Workload]
    rollout: Rollout
    protect: bool


class Elasticsearch(Component):
    """Elasticsearch over TLS, with logins, reachable by its clients only. Output: `url`, inside its namespace."""

    space = "observability"
    url: str

    def __init__(self, name: str, args: ElasticsearchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        replicas = args.settings.replicas
        files = {
            "elasticsearch.yml": as_yaml(elasticsearch_config(replicas, args.snapshots)),
            "heap.options": heap_options(args.settings.resources.memory_limit),
            "configure.sh": package_files("infra.components").joinpath("elasticsearch-configure.sh").read_text(),
        }
        config = self.config_map("config", files)
        login = self.secret("login", file_realm(args.setup))
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        mounts: list[Mount] = [
            FromConfigMap(path=GIVEN, config_map=config.metadata.name, volume="given"),
            FromSecret(path=LOGIN, secret=login.metadata.name, volume="login"),
            FromSecret(path="/run/secrets/tls", secret=tls.metadata.name, volume="tls"),
            *self._keys(args.snapshots),
            Scratch(path="/tmp", volume="tmp", size="128Mi"),
        ]
        # The image's own configuration, and ours over it; the server writes its keystore there.
        prepared = Scratch(path=CONFIG, volume="config", size="16Mi")
        self.service(WORKLOAD, ports={"https": PORT})
        peers = self.peers(WORKLOAD, ports={"transport": TRANSPORT})
        self.stateful_set(
            WORKLOAD,
            Pod(
                before=[
                    Container(
                        name="configure",
                        image=args.settings.image,
                        command=["bash", f"{GIVEN}/configure.sh"],
                        resources=args.settings.resources,
                        environment={"HOME_FOLDER": HOME, "GIVEN": GIVEN, "LOGIN": LOGIN, "KEYS": KEYS},
                        mounts=[*mounts, Scratch(path="/prepared", volume="config", size="16Mi")],
                    )
                ],
                main=Container(
                    name="elasticsearch",
                    image=args.settings.image,
                    command=[f"{HOME}/bin/elasticsearch"],
                    resources=args.settings.resources,
                    ports={"https": PORT, "transport": TRANSPORT, "readiness": READINESS},
                    environment={"ES_TMPDIR": "/tmp"},
                    about_itself={"POD_NAME": "metadata.name", "POD_IP": "status.podIP"},
                    mounts=[
                        *mounts,
                        prepared,
                        FromTemplate(path=DATA, volume="data"),
                        Scratch(path=f"{HOME}/logs", volume="logs", size="256Mi"),
                    ],
                    # After a crash it recovers what it had not yet written to an index.
                    startup=port_probe("readiness", period_seconds=5, timeout_seconds=3, failure_threshold=120),
                    readiness=port_probe("readiness", period_seconds=5, timeout_seconds=3, failure_threshold=3),
                    liveness=port_probe("https", period_seconds=20, timeout_seconds=5, failure_threshold=6),
                ),
                # A node that leaves says so, and hands over what it leads.
                grace=120,
            ),
            service=peers.metadata.name,
            config=files,
            rollout=args.rollout,
            protect=args.protect,
            replicas=replicas,
            volumes={"data": args.settings.storage},
            backup="none: audit and security are in snapshots of its own; the rest is kept for days",
        )
        self.allow(args.clients, to=WORKLOAD, port=PORT)
        if replicas > 1:
            self.budget(WORKLOAD)
            self.allow([WORKLOAD], to=WORKLOAD, port=TRANSPORT, what="transport")
        if args.snapshots:
            self.policy(f"{WORKLOAD.name}-to-internet", network.egress_to_internet(WORKLOAD))
        self.url = f"https://{WORKLOAD.name}:{PORT}"
        self.finish(url=self.url)

    def _keys(self, snapshots: Snapshots | None) -> list[Mount]:
        """The keys of the backup bucket, which go into its keystore."""
        if snapshots is None:
            return []
        pair = {"access_key": snapshots.access_key, "secret_key": snapshots.secret_key}
        secret = self.secret(
            "snapshots", {name: pulumi.Output.secret(key.get_secret_value()) for name, key in pair.items()}
        )
        return [FromSecret(path=KEYS, secret=secret.metadata.name, volume="keys")]


def elasticsearch_config(replicas: int, snapshots: Snapshots | None) -> dict[str, Any]:
    """What `elasticsearch.yml` says; variables are replaced by the server. Source: elastic.co, reference of 8.19."""
    names = [f"{WORKLOAD.name}-{index}" for index in range(replicas)]
    tls = {
        "enabled": True,
        "certificate": f"{TLS}/tls.crt",
        "key": f"{TLS}/tls.key",
        "certificate_authorities": [f"{TLS}/ca.crt"],
        "supported_protocols": ["TLSv1.3", "TLSv1.2"],
    }
    several: dict[str, Any] = {
        "discovery.seed_hosts": [f"{each}.{WORKLOAD.name}-peers" for each in names],
        # Read by a cluster that never formed; ignored ever after.
        "cluster.initial_master_nodes": names,
    }
    endpoint = {"s3.client.default.endpoint": snapshots.endpoint} if snapshots and snapshots.endpoint else {}
    return {
        "cluster.name": "modelcard-logs",
        "node.name": "${POD_NAME}",
        "network.host": "0.0.0.0",  # noqa: S104 - inside the pod; policies decide who may call
        "network.publish_host": "${POD_IP}",
        "http.port": PORT,
        "transport.port": TRANSPORT,
        "readiness.port": READINESS,  # accepts while the node is part of a cluster, and never says a word
        "path.data": DATA,
        "path.logs": f"{HOME}/logs",
        **(several if replicas > 1 else {"discovery.type": "single-node"}),
        # Otherwise every node needs another vm.max_map_count, which only a privileged container could set.
        "node.store.allow_mmap": False,
        "xpack.security.enabled": True,
        "xpack.security.autoconfiguration.enabled": False,
        "xpack.security.enrollment.enabled": False,
        "xpack.security.http.ssl": tls,
        # Nodes call each other by address, which no certificate names; only certificates of clients are let in.
        "xpack.security.transport.ssl": {
            **tls,
            "verification_mode": "certificate",
            "client_authentication": "required",
        },
        "xpack.security.authc.realms.file.file.order": 0,
        "xpack.security.authc.realms.native.native.order": 1,
        "xpack.license.self_generated.type": "basic",
        "xpack.ml.enabled": False,
        "ingest.geoip.downloader.enabled": False,
        **endpoint,
    }


def heap_options(memory: Memory) -> str:
    """The heap, from the container's memory; and none of the collector's own files, of which the image keeps 2 GiB."""
    lines = (
        f"-Xms{memory.share(HEAP)}m",
        f"-Xmx{memory.share(HEAP)}m",
        # Source: elastic.co, "GC logging settings".
        "-Xlog:disable",
        "-Xlog:all=warning:stderr:utctime,level,tags",
    )
    return "".join(f"{line}\n" for line in lines)


def file_realm(setup: MonitoringLogin) -> Mapping[str, pulumi.Input[str]]:
    """The users that are files. Source: elastic.co, "File-based user authentication"."""
    return {
        "users": setup.hash.apply(lambda hashed: f"{setup.user}:{hashed}\n"),
        "users_roles": f"superuser:{setup.user}\n",
    }
