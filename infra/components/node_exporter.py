"""node_exporter: the state of each node, as metrics."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.kube.exporter import WEB, WEB_CONFIG, Exporter, Serving
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import Container, FromHost, Pod, http_probe

WORKLOAD = Workload(component="node-exporter", name="node-exporter", space="agents")
PORT = 9100
METRICS = Metrics(job="node", workload=WORKLOAD, port=PORT, server=WORKLOAD.name)
ROOT = "/host/root"
# Without the node's network there is nothing to say about it: those collectors would show the pod's own.
COLLECTORS = (
    "cpu",
    "diskstats",
    "filefd",
    "filesystem",
    "loadavg",
    "meminfo",
    "pressure",
    "stat",
    "time",
    "timex",
    "uname",
    "vmstat",
)
PSEUDO_FILE_SYSTEMS = (
    "autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|erofs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|"
    "proc|pstore|ramfs|rpc_pipefs|securityfs|selinuxfs|squashfs|sysfs|tmpfs|tracefs"
)
# What containers mount is a volume's matter, and the kubelet's to tell.
FOREIGN_MOUNTS = "dev|proc|run|sys|var/lib/(containerd|docker|kubelet)/.+"


@dataclass(frozen=True, kw_only=True)
class NodeExporterArgs:
    """One pod per node."""

    spaces: Spaces
    serving: Serving


class NodeExporter(Exporter):
    """A pod on each node that reads the node's own files, and writes nothing."""

    space = "agents"

    def __init__(self, name: str, args: NodeExporterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        self.daemon_set(
            WORKLOAD,
            Pod(
                main=Container(
                    name="exporter",
                    image=args.serving.image,
                    command=["/bin/node_exporter"],
                    args=[
                        f"--web.listen-address=:{PORT}",
                        f"--web.config.file={WEB}/web.yml",
                        f"--path.rootfs={ROOT}",
                        f"--path.procfs={ROOT}/proc",
                        f"--path.sysfs={ROOT}/sys",
                        f"--path.udev.data={ROOT}/run/udev/data",
                        "--collector.disable-defaults",
                        *(f"--collector.{name}" for name in COLLECTORS),
                        f"--collector.filesystem.fs-types-exclude=^({PSEUDO_FILE_SYSTEMS})$",
                        f"--collector.filesystem.mount-points-exclude=^/({FOREIGN_MOUNTS})($|/)",
                    ],
                    resources=args.serving.resources,
                    ports={"metrics": PORT},
                    mounts=[
                        *self.certified(args.serving.certificate),
                        FromHost(path=ROOT, volume="root", folder="/"),
                    ],
                    readiness=http_probe("/", "metrics", tls=True, period_seconds=10, timeout_seconds=5),
                    liveness=http_probe("/", "metrics", tls=True, period_seconds=20, timeout_seconds=5),
                ),
                on_every_node=True,
            ),
            config=WEB_CONFIG,
            rollout=args.serving.rollout,
        )
        self.finish()
