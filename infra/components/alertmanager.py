"""Alertmanager: tells people what Prometheus found, once, and no more than they need to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from infra.kube import network
from infra.kube.component import Component
from infra.kube.files import as_yaml
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import (
    Container,
    FromConfigMap,
    FromSecret,
    FromTemplate,
    Pod,
    Rollout,
    exec_probe,
    port_probe,
)
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.monitoring.routing import SECRETS, alertmanager_config
from infra.monitoring.scraping import LOGIN, TLS, client_config
from infra.settings import Notifications, Replicated

WORKLOAD = Workload(component="alertmanager", name="alertmanager", space="observability")
PORT = 9093
GOSSIP = 9094
METRICS = Metrics(job="alertmanager", workload=WORKLOAD, port=PORT, server=WORKLOAD.name, credentials="login")
CONFIG, DATA = "/etc/modelcard/alertmanager", "/var/lib/alertmanager"
# From inside the pod, and where links in notifications lead: what `kubectl port-forward` serves.
URL = f"https://localhost:{PORT}"


@dataclass(frozen=True, kw_only=True)
class AlertmanagerArgs:
    """Alertmanager, whom it tells and who may ask it. `secrets` are the files that its routes name.

    `responder` is where the stack's own responder takes webhooks.
    """

    spaces: Spaces
    settings: Replicated
    notifications: Notifications
    responder: str
    secrets: Mapping[str, pulumi.Output[str]]
    certificate: ServerCertificate
    login: MonitoringLogin
    clients: Sequence[Workload]
    rollout: Rollout


class Alertmanager(Component):
    """Alertmanager's replicas, which agree on who notifies. Output: `url`, inside its namespace."""

    space = "observability"
    url: str

    def __init__(self, name: str, args: AlertmanagerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        replicas = args.settings.replicas
        clustered = replicas > 1
        files = {
            "alertmanager.yml": as_yaml(alertmanager_config(args.notifications, responder=args.responder)),
            "client.yml": as_yaml(client_config()),
            "cluster.yml": as_yaml(cluster_config()),
        }
        config_map = self.config_map("config", files)
        secrets = self.secret("notifications", args.secrets)
        login = self.secret("login", {"password": args.login.password, "web.yml": args.login.web_config(TLS)})
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        self.service(WORKLOAD, ports={"https": PORT})
        peers = self.peers(WORKLOAD, ports={"https": PORT})
        itself = (f"--alertmanager.url={URL}", f"--http.config.file={CONFIG}/client.yml", "--no-version-check")
        self.stateful_set(
            WORKLOAD,
            Pod(
                main=Container(
                    name="alertmanager",
                    image=args.settings.image,
                    command=["/bin/alertmanager"],
                    args=[
                        f"--config.file={CONFIG}/alertmanager.yml",
                        f"--web.config.file={LOGIN}/web.yml",
                        f"--web.listen-address=:{PORT}",
                        f"--web.external-url={URL}",
                        f"--storage.path={DATA}",
                        *(cluster_arguments(replicas) if clustered else ["--cluster.listen-address="]),
                    ],
                    resources=args.settings.resources,
                    ports={"https": PORT} | ({"gossip": GOSSIP} if clustered else {}),
                    about_itself={"POD_IP": "status.podIP"} if clustered else {},
                    mounts=[
                        FromConfigMap(path=CONFIG, config_map=config_map.metadata.name, volume="config"),
                        FromSecret(path=SECRETS, secret=secrets.metadata.name, volume="notifications"),
                        FromSecret(path=LOGIN, secret=login.metadata.name, volume="login"),
                        FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
                        FromTemplate(path=DATA, volume="data"),
                    ],
                    readiness=exec_probe(
                        "/bin/amtool", "cluster", "show", *itself, period_seconds=15, timeout_seconds=5
                    ),
                    liveness=port_probe("https", initial_delay_seconds=15, period_seconds=15, timeout_seconds=5),
                )
            ),
            service=peers.metadata.name,
            config=files,
            rollout=args.rollout,
            protect=False,
            replicas=replicas,
            volumes={"data": args.settings.storage},
            backup="none: silences, and who was told of what; who loses them is told again",
        )
        self.allow(args.clients, to=WORKLOAD, port=PORT)
        self._may_notify(args.notifications)
        if clustered:
            self.budget(WORKLOAD)
            self.allow([WORKLOAD], to=WORKLOAD, port=GOSSIP, what="gossip")
        self.url = f"https://{WORKLOAD.name}:{PORT}"
        self.finish(url=self.url)

    def _may_notify(self, notifications: Notifications) -> None:
        if notifications.webhook_url or notifications.heartbeat_url or notifications.slack_token:
            self.policy(f"{WORKLOAD.name}-to-internet", network.egress_to_internet(WORKLOAD))
        if notifications.mail:
            # A mail server is often one's own, at a private address.
            self.policy(f"{WORKLOAD.name}-to-mail", network.egress_to_nodes(WORKLOAD, notifications.mail.port))


def cluster_arguments(replicas: int) -> list[str]:
    """How replicas find each other."""
    names = [f"{WORKLOAD.name}-{index}.{WORKLOAD.name}-peers" for index in range(replicas)]
    return [
        f"--cluster.listen-address=0.0.0.0:{GOSSIP}",
        # Otherwise it looks for an address of its own, and knows only some of the private ranges.
        f"--cluster.advertise-address=[$(POD_IP)]:{GOSSIP}",
        # With TLS, they talk over TCP alone and only to who has this certificate; policies decide who may call.
        f"--cluster.tls-config={CONFIG}/cluster.yml",
        *(f"--cluster.peer={name}:{GOSSIP}" for name in names),
    ]


def cluster_config() -> dict[str, object]:
    """TLS between replicas. Source: prometheus/alertmanager, "Gossip Traffic" in docs/https.md."""
    return {
        "tls_server_config": {
            "cert_file": f"{TLS}/tls.crt",
            "key_file": f"{TLS}/tls.key",
            "min_version": "TLS12",
        },
        # Replicas call each other by address, which no certificate names.
        "tls_client_config": {"ca_file": f"{TLS}/ca.crt", "server_name": WORKLOAD.name},
    }
