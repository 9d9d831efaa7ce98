"""Kibana: shows what was logged to people with a login."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.kube.component import Component
from infra.kube.files import as_yaml
from infra.kube.identity import Spaces, Workload
from infra.kube.pods import Container, FromConfigMap, FromSecret, Pod, Rollout, Scratch, http_probe, port_probe
from infra.kube.tls import ServerCertificate
from infra.quantities import Memory
from infra.settings import Single

WORKLOAD = Workload(component="kibana", name="kibana", space="observability")
PORT = 5601
URL = f"https://localhost:{PORT}"  # what `kubectl port-forward` serves
HOME = "/usr/share/kibana"
CONFIG, SECRET, TLS = "/etc/modelcard/kibana", "/run/secrets/kibana", "/run/secrets/tls"
HEAP = 75  # per cent of the container; Node.js has buffers beside it


@dataclass(frozen=True, kw_only=True)
class KibanaArgs:
    """Kibana and what it asks. `password` is its own at Elasticsearch; `encryption_key` is for what it keeps there."""

    spaces: Spaces
    settings: Single
    elasticsearch: str
    password: pulumi.Output[str]
    encryption_key: pulumi.Output[str]
    certificate: ServerCertificate
    clients: Sequence[Workload]
    rollout: Rollout


class Kibana(Component):
    """Kibana, for people who forward its port. Output: `url`, as they then reach it."""

    space = "observability"
    url: str

    def __init__(self, name: str, args: KibanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        files = {"kibana.yml": as_yaml(kibana_config(args.elasticsearch))}
        config = self.config_map("config", files)
        secret = self.secret(
            "auth",
            {"secrets.yml": pulumi.Output.all(args.password, args.encryption_key).apply(lambda both: secrets(*both))},
        )
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        self.deployment(
            WORKLOAD,
            Pod(
                main=Container(
                    name="kibana",
                    image=args.settings.image,
                    command=[f"{HOME}/bin/kibana"],
                    args=[f"--config={CONFIG}/kibana.yml", f"--config={SECRET}/secrets.yml"],
                    resources=args.settings.resources,
                    ports={"https": PORT},
                    environment={"NODE_OPTIONS": node_options(args.settings.resources.memory_limit)},
                    mounts=[
                        FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"),
                        FromSecret(path=SECRET, secret=secret.metadata.name, volume="auth"),
                        FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
                        Scratch(path=f"{HOME}/data", volume="data", size="256Mi"),
                        Scratch(path="/tmp", volume="tmp", size="64Mi"),
                    ],
                    # Its first start makes its indices; its password comes with the Job that runs beside it.
                    startup=http_probe("/api/status", "https", tls=True, period_seconds=10, failure_threshold=60),
                    readiness=http_probe("/api/status", "https", tls=True, period_seconds=10, timeout_seconds=5),
                    liveness=port_probe("https", period_seconds=20, timeout_seconds=5, failure_threshold=6),
                )
            ),
            replicas=1,
            config=files,
            rollout=args.rollout,
        )
        self.service(WORKLOAD, ports={"https": PORT})
        self.allow(args.clients, to=WORKLOAD, port=PORT)
        self.url = URL
        self.finish(url=self.url)


def kibana_config(url: str) -> dict[str, Any]:
    """What `kibana.yml` says. Source: elastic.co, "Configure Kibana" of 8.19."""
    return {
        "server.host": "0.0.0.0",  # noqa: S104 - inside the pod; policies decide who may call
        "server.port": PORT,
        "server.publicBaseUrl": URL,
        "server.ssl.enabled": True,
        "server.ssl.certificate": f"{TLS}/tls.crt",
        "server.ssl.key": f"{TLS}/tls.key",
        "server.ssl.supportedProtocols": ["TLSv1.2", "TLSv1.3"],
        "elasticsearch.hosts": [url],
        "elasticsearch.username": "kibana_system",
        "elasticsearch.ssl.certificateAuthorities": [f"{TLS}/ca.crt"],
        "elasticsearch.ssl.verificationMode": "full",
        # The only way in is a login at Elasticsearch; the kubelet may see whether it lives.
        "status.allowAnonymous": True,
        "xpack.security.secureCookies": True,
        "xpack.security.sameSiteCookies": "Strict",
        "xpack.security.session.idleTimeout": "8h",
        "xpack.security.session.lifespan": "24h",
        "telemetry.optIn": False,
        "telemetry.allowChangingOptInStatus": False,
        "newsfeed.enabled": False,
        "map.includeElasticMapsService": False,
        "logging.root.level": "warn",
    }


def secrets(password: str, encryption_key: str) -> str:
    """The part of its configuration that is secret."""
    return as_yaml(
        {
            "elasticsearch.password": password,
            "xpack.security.encryptionKey": encryption_key,
            "xpack.encryptedSavedObjects.encryptionKey": encryption_key,
        }
    )


def node_options(memory: Memory) -> str:
    """Node.js' heap, from the container's memory."""
    return f"--max-old-space-size={memory.share(HEAP)}"
