"""blackbox_exporter: tries the service as a user would, and the certificates of the servers inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.kube.exporter import TLS, WEB, Exporter, Serving
from infra.kube.files import as_yaml
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import FromConfigMap

WORKLOAD = Workload(component="blackbox-exporter", name="blackbox-exporter", space="observability")
PORT = 9115
METRICS = Metrics(job="blackbox", workload=WORKLOAD, port=PORT, server=WORKLOAD.name)
CONFIG = "/etc/modelcard/blackbox"
SERVICE, CERTIFICATE = "service", "certificate"
MODULES = {
    SERVICE: {"prober": "http", "timeout": "5s", "http": {"valid_status_codes": [200], "preferred_ip_protocol": "ip4"}},
    CERTIFICATE: {
        "prober": "tcp",
        "timeout": "5s",
        "tcp": {"tls": True, "preferred_ip_protocol": "ip4", "tls_config": {"ca_file": f"{TLS}/ca.crt"}},
    },
}


@dataclass(frozen=True, kw_only=True)
class BlackboxExporterArgs:
    """`servers` are those that it tries, each at its port."""

    spaces: Spaces
    serving: Serving
    servers: Sequence[tuple[Workload, int]]


class BlackboxExporter(Exporter):
    """One pod that tries what Prometheus names. PostgreSQL's certificate it cannot see: it is asked for by STARTTLS."""

    def __init__(self, name: str, args: BlackboxExporterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        files = {"blackbox.yml": as_yaml({"modules": MODULES})}
        config = self.config_map("config", files)
        self.serve(
            METRICS,
            args.serving,
            command="/bin/blackbox_exporter",
            args=[
                f"--web.listen-address=:{PORT}",
                f"--web.config.file={WEB}/web.yml",
                f"--config.file={CONFIG}/blackbox.yml",
            ],
            mounts=[FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config")],
            config=files,
        )
        for server, port in args.servers:
            self.allow([WORKLOAD], to=server, port=port, what="probe")
        self.finish()
