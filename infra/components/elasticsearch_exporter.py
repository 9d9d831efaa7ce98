"""elasticsearch_exporter: what Elasticsearch says of itself and of its streams, as metrics."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from infra.components import elasticsearch
from infra.kube.exporter import TLS, WEB, Exporter, Serving
from infra.kube.files import as_yaml
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import FromSecret

WORKLOAD = Workload(component="elasticsearch-exporter", name="elasticsearch-exporter", space="observability")
PORT = 9114
MONITOR = "log_monitor"
METRICS = Metrics(
    job="elasticsearch",
    workload=WORKLOAD,
    port=PORT,
    server=WORKLOAD.name,
    # Asked for one server it takes a login from its environment only; asked for several, from a file.
    path="/probe",
    parameters={"target": f"https://{elasticsearch.WORKLOAD.name}:{elasticsearch.PORT}", "auth_module": MONITOR},
)
LOGIN = "/run/secrets/elasticsearch"


@dataclass(frozen=True, kw_only=True)
class ElasticsearchExporterArgs:
    """The password is that of Elasticsearch's user for monitoring."""

    spaces: Spaces
    serving: Serving
    password: pulumi.Output[str]


class ElasticsearchExporter(Exporter):
    """One pod that asks Elasticsearch whenever Prometheus asks it."""

    def __init__(self, name: str, args: ElasticsearchExporterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        login = self.secret("login", {"modules.yml": args.password.apply(modules)})
        self.serve(
            METRICS,
            args.serving,
            command="/bin/elasticsearch_exporter",
            args=[
                f"--web.listen-address=:{PORT}",
                f"--web.config.file={WEB}/web.yml",
                f"--config.file={LOGIN}/modules.yml",
                f"--es.ca={TLS}/ca.crt",
                "--es.indices",
                "--es.all",
                "--es.timeout=10s",
            ],
            mounts=[FromSecret(path=LOGIN, secret=login.metadata.name, volume="login")],
        )
        self.finish()


def modules(password: str) -> str:
    """Its logins. Source: prometheus-community/elasticsearch_exporter, "Multi-target scraping" in README.md."""
    module = {"type": "userpass", "userpass": {"username": MONITOR, "password": password}}
    return as_yaml({"auth_modules": {MONITOR: module}})
