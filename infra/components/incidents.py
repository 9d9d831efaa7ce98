"""The responder to incidents: takes what Alertmanager tells, watches the clocks, and tells people until one comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.rbac import v1 as rbac

from infra.kube import network
from infra.kube.component import Component
from infra.kube.identity import Metrics, Space, Spaces, Workload
from infra.kube.pods import Container, FromClaim, FromSecret, Pod, Rollout, Scratch, http_probe
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.settings import Incidents as IncidentSettings
from infra.settings import Notifications

WORKLOAD = Workload(component="incidents", name="incident-responder", space="observability")
PORT = 8443
METRICS = Metrics(job="incidents", workload=WORKLOAD, port=PORT, server=WORKLOAD.name)
SECRETS, TLS = "/run/secrets/responder", "/run/secrets/tls"
DATA, LOGS = "/var/lib/responder", "/var/log/modelcard"
PREFIX = "MCOPS_RESPONDER_"
SEES: Mapping[str, tuple[str, ...]] = {
    "": ("pods",),
    "apps": ("deployments", "replicasets", "statefulsets"),
    "metrics.k8s.io": ("pods",),
}


@dataclass(frozen=True, kw_only=True)
class Assessed:
    """Whom the responder asks when an incident opens: addresses inside the cluster."""

    namespaces: Mapping[Space, str]
    workload: str
    service: str
    database: str
    database_port: int
    prometheus: str
    alertmanager: str


@dataclass(frozen=True, kw_only=True)
class IncidentsArgs:
    """The responder, whom it tells, whom it asks, and who calls it: Alertmanager. `token` is that of people."""

    spaces: Spaces
    image: str
    settings: IncidentSettings
    notifications: Notifications
    secrets: Mapping[str, pulumi.Output[str]]
    webhook_token: pulumi.Output[str]
    token: pulumi.Output[str]
    assessed: Assessed
    alertmanager: Workload
    certificate: ServerCertificate
    login: MonitoringLogin
    rollout: Rollout
    protect: bool


class Incidents(Component):
    """One pod with a volume of its own: it must not share the fate of the database it wakes people for."""

    space = "observability"

    def __init__(self, name: str, args: IncidentsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        secrets = {
            "webhook_token": args.webhook_token,
            "token": args.token,
            "monitoring_password": args.login.password,
            **args.secrets,
        }
        secret = self.secret("secrets", {f"{PREFIX.lower()}{key}": value for key, value in secrets.items()})
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        data = self.claim(
            "data",
            args.settings.storage,
            access_mode="ReadWriteOnce",
            protect=args.protect,
            backup="none: who was told of what is in chat and mail, and open alerts open their incidents again",
        )
        service = self.service(WORKLOAD, ports={"https": PORT}, headless=True)
        variables = environment(args.settings, args.notifications, args.assessed, args.login.user)
        self.stateful_set(
            WORKLOAD,
            Pod(
                main=Container(
                    name="responder",
                    image=args.image,
                    command=["mcops"],
                    args=["responder"],
                    resources=args.settings.resources,
                    ports={"https": PORT},
                    environment=variables,
                    mounts=[
                        FromClaim(path=DATA, volume="data", claim=data.metadata.name),
                        FromSecret(path=SECRETS, secret=secret.metadata.name, volume="secrets"),
                        FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
                        Scratch(path=LOGS, volume="logs", size="128Mi"),
                        Scratch(path="/tmp", volume="tmp", size="16Mi"),
                    ],
                    readiness=http_probe("/ready", "https", tls=True, period_seconds=10, timeout_seconds=5),
                    liveness=http_probe(
                        "/live", "https", tls=True, initial_delay_seconds=15, period_seconds=15, timeout_seconds=5
                    ),
                ),
                calls_api=True,
            ),
            service=service.metadata.name,
            config={},
            rollout=args.rollout,
            protect=args.protect,
        )
        self.allow([args.alertmanager], to=WORKLOAD, port=PORT)
        self._may_look()
        self._may_tell(args.settings, args.notifications)
        self.finish()

    def _may_look(self) -> None:
        """What an assessment needs, and to change nothing."""
        objects = [
            rbac.PolicyRuleArgs(api_groups=[group], resources=list(kinds), verbs=["list"])
            for group, kinds in SEES.items()
        ]
        logs = rbac.PolicyRuleArgs(api_groups=[""], resources=["pods/log"], verbs=["get"])
        nodes = [
            rbac.PolicyRuleArgs(api_groups=[group], resources=["nodes"], verbs=["list"])
            for group in ("", "metrics.k8s.io")
        ]
        self.may_call_api(
            WORKLOAD,
            {
                "application": [*objects, logs],  # the logs of the service only, of which it looks for errors
                "observability": objects,
                "agents": objects,
                None: nodes,
            },
        )

    def _may_tell(self, settings: IncidentSettings, notifications: Notifications) -> None:
        if notifications.slack_token or settings.status_page or settings.heartbeat_url:
            self.policy(f"{WORKLOAD.name}-to-internet", network.egress_to_internet(WORKLOAD))
        if notifications.mail:
            # A mail server is often one's own, at a private address.
            self.policy(f"{WORKLOAD.name}-to-mail", network.egress_to_nodes(WORKLOAD, notifications.mail.port))


def webhook(namespace: str) -> str:
    """Where Alertmanager finds it."""
    return f"https://{WORKLOAD.name}.{namespace}:{PORT}/alerts"


def environment(
    settings: IncidentSettings, notifications: Notifications, assessed: Assessed, user: str
) -> dict[str, str]:
    """Its settings, but for secrets."""
    values = {
        "SECRETS_DIR": SECRETS,
        "DATA_DIR": DATA,
        "LOG_DIR": LOGS,
        "HOST": "0.0.0.0",  # noqa: S104 - inside the pod; policies decide who may call
        "PORT": str(PORT),
        "CERTIFICATE_FILE": f"{TLS}/tls.crt",
        "KEY_FILE": f"{TLS}/tls.key",
        "AUTHORITY_FILE": f"{TLS}/ca.crt",
        "MONITORING_USER": user,
        "NAMESPACES": ",".join(assessed.namespaces[space] for space in ("application", "observability", "agents")),
        "WORKLOAD": assessed.workload,
        "SERVICE_URL": assessed.service,
        "DATABASE_HOST": assessed.database,
        "DATABASE_PORT": str(assessed.database_port),
        "PROMETHEUS_URL": assessed.prometheus,
        "ALERTMANAGER_URL": assessed.alertmanager,
    }
    if settings.status_page:
        values["STATUS_PAGE_ID"] = settings.status_page.page
    if mail := notifications.mail:
        values |= {
            "MAIL_HOST": mail.host,
            "MAIL_PORT": str(mail.port),
            "MAIL_SENDER": mail.sender,
            "MAIL_RECIPIENTS": ",".join(mail.recipients),
            **({"MAIL_USERNAME": mail.username} if mail.username else {}),
        }
    return {f"{PREFIX}{name}": value for name, value in values.items()}
