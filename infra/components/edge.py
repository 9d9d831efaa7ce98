"""nginx as the reverse proxy in front of the application, and the Ingress that leads to it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files as package_files

import pulumi
from pulumi_kubernetes.networking import v1 as networking

from infra.kube import network
from infra.kube.component import Component
from infra.kube.exporter import TLS, WEB, WEB_CONFIG, Serving
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import (
    Container,
    FromConfigMap,
    FromSecret,
    Pod,
    Rollout,
    Scratch,
    http_probe,
    port_probe,
)
from infra.kube.tls import ServerCertificate
from infra.quantities import Memory
from infra.settings import Resources

WORKLOAD = Workload(component="edge", name="edge-nginx")
PORT = 8080
METRICS = Metrics(job="nginx", workload=WORKLOAD, port=9113, server=WORKLOAD.name)
CONFIG = "/etc/nginx/modelcard"


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    """`backend` is the application's `host:port`; `tls_secret`, if any, names what replaces `certificate`."""

    spaces: Spaces
    image: str
    host: str
    replicas: int
    resources: Resources
    ingress_class: str
    ingress_namespace: str
    tls_secret: str | None
    certificate: ServerCertificate
    upload_limit: Memory
    backend: str
    exporter: Serving
    rollout: Rollout


class Edge(Component):
    """The only way in. Output: `url`."""

    url: str

    def __init__(self, name: str, args: EdgeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        files = {"nginx.conf": nginx_conf(args.backend, args.upload_limit)}
        config = self.config_map("config", files)
        self.deployment(
            WORKLOAD,
            Pod(
                main=Container(
                    name="nginx",
                    image=args.image,
                    command=["nginx"],
                    args=["-e", "stderr", "-c", f"{CONFIG}/nginx.conf"],
                    resources=args.resources,
                    ports={"http": PORT},
                    mounts=[
                        FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"),
                        Scratch(path="/tmp", volume="tmp", size="512Mi"),
                    ],
                    readiness=http_probe(
                        "/edge/ready", "http", period_seconds=5, timeout_seconds=2, failure_threshold=2
                    ),
                    liveness=http_probe(
                        "/edge/alive", "http", period_seconds=10, timeout_seconds=5, failure_threshold=3
                    ),
                    # On busy nodes it takes seconds until nobody sends anything here any more.
                    drain=10,
                ),
                beside=[self._exporter(args.exporter)],
                # A request may take 30 s.
                grace=45,
            ),
            replicas=args.replicas,
            config=files | WEB_CONFIG,
            rollout=args.rollout,
        )
        self.service(WORKLOAD, ports={"http": PORT})
        self.budget(WORKLOAD)
        self.policy(WORKLOAD.name, network.ingress_from_namespace(WORKLOAD, args.ingress_namespace, PORT))
        tls_secret: pulumi.Input[str]
        if args.tls_secret is None:
            tls_secret = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls").metadata.name
        else:
            tls_secret = args.tls_secret
        networking.Ingress(
            f"{name}-ingress",
            metadata=self.metadata(
                name, {"nginx.ingress.kubernetes.io/proxy-body-size": f"{args.upload_limit.share(100)}m"}
            ),
            spec=networking.IngressSpecArgs(
                ingress_class_name=args.ingress_class,
                tls=[networking.IngressTLSArgs(hosts=[args.host], secret_name=tls_secret)],
                rules=[
                    networking.IngressRuleArgs(
                        host=args.host,
                        http=networking.HTTPIngressRuleValueArgs(
                            paths=[
                                networking.HTTPIngressPathArgs(
                                    path="/",
                                    path_type="Prefix",
                                    backend=networking.IngressBackendArgs(
                                        service=networking.IngressServiceBackendArgs(
                                            name=WORKLOAD.name,
                                            port=networking.ServiceBackendPortArgs(name="http"),
                                        )
                                    ),
                                )
                            ]
                        ),
                    )
                ],
            ),
            opts=self.children,
        )
        self.url = f"https://{args.host}/"
        self.finish(url=self.url)

    def _exporter(self, serving: Serving) -> Container:
        """Reads the counters of the nginx beside it."""
        tls = self.secret("exporter-tls", serving.certificate.files(), type_="kubernetes.io/tls")
        web = self.config_map("exporter-web", WEB_CONFIG)
        return Container(
            name="exporter",
            image=serving.image,
            command=["/usr/bin/nginx-prometheus-exporter"],
            args=[
                "--nginx.scrape-uri=http://127.0.0.1:8081/stub_status",
                f"--web.listen-address=:{METRICS.port}",
                f"--web.config.file={WEB}/web.yml",
            ],
            resources=serving.resources,
            ports={"metrics": METRICS.port},
            mounts=[
                FromConfigMap(path=WEB, config_map=web.metadata.name, volume="exporter-web"),
                FromSecret(path=TLS, secret=tls.metadata.name, volume="exporter-tls"),
            ],
            # Unready, it would take its pod out of service: ten minutes late, since users come before statistics.
            readiness=port_probe("metrics", period_seconds=10, timeout_seconds=5, failure_threshold=60),
            liveness=http_probe("/", "metrics", tls=True, period_seconds=20, timeout_seconds=5),
        )


def nginx_conf(backend: str, upload_limit: Memory) -> str:
    """The configuration in `nginx.conf` with its two variables set."""
    text = package_files("infra.components").joinpath("nginx.conf").read_text()
    return text.replace("@BACKEND@", backend).replace("@UPLOAD_LIMIT@", f"{upload_limit.share(100)}m")
