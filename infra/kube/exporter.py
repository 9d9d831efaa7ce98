"""The base of what turns the state of a server into metrics: one pod, one port, TLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from infra.kube.component import Component
from infra.kube.identity import Metrics, Space
from infra.kube.pods import Container, FromConfigMap, FromSecret, Mount, Pod, Rollout, http_probe
from infra.kube.tls import ServerCertificate, web_config
from infra.settings import Resources

WEB, TLS = "/etc/modelcard/web", "/run/secrets/tls"
WEB_CONFIG = {"web.yml": web_config(TLS)}


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What every exporter runs on."""

    image: str
    resources: Resources
    certificate: ServerCertificate
    rollout: Rollout


class Exporter(Component):
    """A component of one exporter."""

    space: Space = "observability"

    def serve(
        self,
        metrics: Metrics,
        serving: Serving,
        *,
        command: str,
        args: Sequence[str],
        mounts: Sequence[Mount] = (),
        config: Mapping[str, str] | None = None,
        environment: Mapping[str, pulumi.Input[str]] | None = None,
        role: str | None = None,
        health: str = "/",
    ) -> None:
        """The exporter behind an address of its own; `config` are the files, of which a change rolls it.

        `health` is the page that costs nothing.
        """
        workload = metrics.workload
        self.deployment(
            workload,
            Pod(
                main=Container(
                    name="exporter",
                    image=serving.image,
                    command=[command],
                    args=args,
                    resources=serving.resources,
                    ports={"metrics": metrics.port},
                    environment=environment or {},
                    mounts=[*self.certified(serving.certificate), *mounts],
                    readiness=http_probe(health, "metrics", tls=True, period_seconds=10, timeout_seconds=5),
                    liveness=http_probe(health, "metrics", tls=True, period_seconds=20, timeout_seconds=5),
                ),
                role=role,
            ),
            replicas=1,
            config={**WEB_CONFIG, **(config or {})},
            rollout=serving.rollout,
        )
        self.service(workload, ports={"metrics": metrics.port})

    def certified(self, certificate: ServerCertificate) -> list[Mount]:
        """What a server of prometheus/exporter-toolkit needs to be called by TLS only."""
        web = self.config_map("web", WEB_CONFIG)
        tls = self.secret("tls", certificate.files(), type_="kubernetes.io/tls")
        return [
            FromConfigMap(path=WEB, config_map=web.metadata.name, volume="web"),
            FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
        ]
