"""Filebeat: ships what the pods of its node write to Logstash."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files as package_files

import pulumi

from infra.kube.component import Component
from infra.kube.identity import Spaces, Workload
from infra.kube.pods import Container, FromConfigMap, FromHost, FromSecret, Pod, Rollout, Scratch, exec_probe
from infra.kube.tls import ServerCertificate
from infra.settings import Single

WORKLOAD = Workload(component="filebeat", name="filebeat", space="agents")
HOME = "/usr/share/filebeat"
CONFIG, TLS, DATA = "/etc/modelcard/filebeat", "/run/secrets/tls", "/var/lib/filebeat"
LOGS = "/var/log/pods"
# The group of the node whose files the runtime lets read what containers write (0640, root:root): docs/decisions/0014.
NODE_GROUP = 0


@dataclass(frozen=True, kw_only=True)
class FilebeatArgs:
    """One pod per node. `namespace` is the application's, `logstash` a `host:port`; the certificate is a client's."""

    spaces: Spaces
    settings: Single
    namespace: str
    logstash: str
    certificate: ServerCertificate
    rollout: Rollout


class Filebeat(Component):
    """A pod on each node that reads the log files of our namespaces, and may do nothing else there."""

    space = "agents"

    def __init__(self, name: str, args: FilebeatArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        files = {"filebeat.yml": package_files("infra.components").joinpath("filebeat.yml").read_text()}
        config = self.config_map("config", files)
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        itself = (f"--path.config={CONFIG}", f"--path.home={HOME}", "-c", "filebeat.yml")
        self.daemon_set(
            WORKLOAD,
            Pod(
                main=Container(
                    name="filebeat",
                    image=args.settings.image,
                    command=["filebeat"],
                    args=["--environment=container", *itself],
                    resources=args.settings.resources,
                    environment={"NAMESPACE": args.namespace, "LOGSTASH": args.logstash, "TLS": TLS, "DATA": DATA},
                    mounts=[
                        FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"),
                        FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
                        FromHost(path=LOGS, volume="logs", folder=LOGS),
                        Scratch(path=DATA, volume="data", size="128Mi"),
                    ],
                    # Logstash is there, by its certificate; shipping itself is watched where it arrives.
                    readiness=exec_probe(
                        "filebeat",
                        "test",
                        "output",
                        *itself,
                        period_seconds=60,
                        timeout_seconds=20,
                        failure_threshold=3,
                    ),
                    liveness=exec_probe(
                        "sh", "-c", ALIVE, initial_delay_seconds=30, period_seconds=60, timeout_seconds=10
                    ),
                ),
                grace=30,
                on_every_node=True,
                groups=(NODE_GROUP,),
            ),
            config=files,
            rollout=args.rollout,
        )
        self.finish()


# It has written down where it is in the files since it started; a registry that cannot be written loses the place.
ALIVE = f"test -s {DATA}/registry/filebeat/meta.json"
