"""Prometheus: asks every pod of the platform for its metrics, evaluates the rules, tells Alertmanager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
from pulumi_kubernetes.rbac import v1 as rbac

from infra.kube import network
from infra.kube.component import Component
from infra.kube.files import as_yaml
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import (
    Container,
    FromConfigMap,
    FromSecret,
    FromTemplate,
    Mount,
    Pod,
    Rollout,
    Scratch,
    exec_probe,
    http_probe,
)
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.monitoring.scraping import (
    CONFIG,
    KUBELET_PORT,
    LOGIN,
    RULES,
    TLS,
    Scraping,
    client_config,
    prometheus_config,
)
from infra.settings import Ops
from infra.settings import Prometheus as PrometheusSettings

WORKLOAD = Workload(component="prometheus", name="prometheus", space="observability")
PORT = 9090
METRICS = Metrics(job="prometheus", workload=WORKLOAD, port=PORT, server=WORKLOAD.name, credentials="login")
RULE_FILES = Path(__file__).resolve().parents[2] / "rules"
DATA = "/prometheus"
SNAPSHOTS_PORT = 9854
SNAPSHOTS_SECRETS = "/run/secrets/modelcard"
# A backup asks one replica, always the same: it makes a snapshot on its own disk, from where the sidecar hands it out.
FIRST = f"{WORKLOAD.name}-0.{WORKLOAD.name}-peers"
DISK_SHARE = 85  # per cent of the volume; the write-ahead log and compaction need the rest
WATCH = ["get", "list", "watch"]


@dataclass(frozen=True, kw_only=True)
class PrometheusArgs:
    """Prometheus, whom it asks and who may ask it."""

    spaces: Spaces
    settings: PrometheusSettings
    tools: Ops
    scraping: Scraping
    certificate: ServerCertificate
    login: MonitoringLogin
    bucket: str  # where backups of its data go
    clients: Sequence[Workload]
    rollout: Rollout


class Prometheus(Component):
    """Prometheus' replicas, alike and independent of each other. Output: `url`, inside the cluster."""

    space = "observability"
    url: str

    def __init__(self, name: str, args: PrometheusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        files = {"prometheus.yml": as_yaml(prometheus_config(args.scraping)), "client.yml": as_yaml(client_config())}
        rules = {path.name: path.read_text() for path in sorted(RULE_FILES.glob("*.yml"))}
        config_map = self.config_map("config", files)
        rules_map = self.config_map("rules", rules)
        login = self.secret("login", {"password": args.login.password, "web.yml": args.login.web_config(TLS)})
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        snapshots = self.secret("snapshots", {"mcops_backup_prometheus_password": args.login.password})
        tls_files = FromSecret(path=TLS, secret=tls.metadata.name, volume="tls")
        samples = FromTemplate(path=DATA, volume="data")
        mounts: list[Mount] = [
            FromConfigMap(path=CONFIG, config_map=config_map.metadata.name, volume="config"),
            FromConfigMap(path=RULES, config_map=rules_map.metadata.name, volume="rules"),
            FromSecret(path=LOGIN, secret=login.metadata.name, volume="login"),
            tls_files,
            samples,
            Scratch(path="/tmp", volume="tmp", size="64Mi"),
        ]
        handed_out = FromSecret(path=SNAPSHOTS_SECRETS, secret=snapshots.metadata.name, volume="snapshots")
        self.service(WORKLOAD, ports={"https": PORT}, sticky=True)
        peers = self.peers(WORKLOAD, ports={"https": PORT})
        self.stateful_set(
            WORKLOAD,
            Pod(
                main=_prometheus(args.settings, mounts),
                beside=[_snapshots(args, [handed_out, tls_files, samples])],
                grace=300,
                calls_api=True,
            ),
            service=peers.metadata.name,
            config=files | rules,
            rollout=args.rollout,
            protect=False,
            replicas=args.settings.replicas,
            volumes={"data": args.settings.storage},
            backup="none: a snapshot of its samples is in each backup, but nothing that serves users needs them",
        )
        if args.settings.replicas > 1:
            self.budget(WORKLOAD)
        self._may_look(args)
        self.url = f"https://{WORKLOAD.name}.{args.scraping.namespaces['observability']}:{PORT}"
        self.finish(url=self.url)

    def _may_look(self, args: PrometheusArgs) -> None:
        pods = rbac.PolicyRuleArgs(api_groups=[""], resources=["pods"], verbs=WATCH)
        self.may_call_api(
            WORKLOAD,
            {
                **{space: [pods] for space in args.scraping.namespaces},
                None: [
                    rbac.PolicyRuleArgs(api_groups=[""], resources=["nodes"], verbs=WATCH),
                    rbac.PolicyRuleArgs(api_groups=[""], resources=["nodes/metrics"], verbs=["get"]),
                    rbac.PolicyRuleArgs(non_resource_urls=["/metrics"], verbs=["get"]),
                ],
            },
        )
        self.allow(args.clients, to=WORKLOAD, port=PORT)
        for target in args.scraping.targets:
            self.allow([WORKLOAD], to=target.workload, port=target.port, what="metrics")
        alertmanager = args.scraping.alertmanager
        self.allow([WORKLOAD], to=alertmanager.workload, port=alertmanager.port, what="alerts")
        self.policy(f"{WORKLOAD.name}-to-nodes", network.egress_to_nodes(WORKLOAD, KUBELET_PORT))


def _prometheus(settings: PrometheusSettings, mounts: Sequence[Mount]) -> Container:
    itself = (f"--url=https://localhost:{PORT}", f"--http.config.file={CONFIG}/client.yml")
    ready = ("/bin/promtool", "check", "ready", *itself)
    healthy = ("/bin/promtool", "check", "healthy", *itself)
    return Container(
        name="prometheus",
        image=settings.image,
        command=["/bin/prometheus"],
        args=[
            f"--config.file={CONFIG}/prometheus.yml",
            f"--web.config.file={LOGIN}/web.yml",
            f"--web.listen-address=:{PORT}",
            "--web.enable-admin-api",  # for the snapshots; whoever has the login may delete series, too
            f"--storage.tsdb.path={DATA}",
            f"--storage.tsdb.retention.time={settings.retention}d",
            f"--storage.tsdb.retention.size={settings.storage.size.share(DISK_SHARE)}MB",
        ],
        resources=settings.resources,
        ports={"https": PORT},
        about_itself={"POD_NAME": "metadata.name"},
        mounts=mounts,
        # After a crash it reads its write-ahead log again, for minutes.
        startup=exec_probe(*ready, period_seconds=5, timeout_seconds=5, failure_threshold=180),
        readiness=exec_probe(*ready, period_seconds=15, timeout_seconds=5, failure_threshold=3),
        liveness=exec_probe(*healthy, period_seconds=30, timeout_seconds=10, failure_threshold=4),
    )


def _snapshots(args: PrometheusArgs, mounts: Sequence[Mount]) -> Container:
    """Hands the snapshots out that a backup has had made."""
    return Container(
        name="snapshots",
        image=args.tools.image,
        command=["mcops"],
        args=["backup", "snapshots"],
        resources=args.tools.resources,
        ports={"snapshots": SNAPSHOTS_PORT},
        environment={
            "MCOPS_SECRETS_DIR": SNAPSHOTS_SECRETS,
            "MCOPS_BACKUP_BUCKET": args.bucket,
            "MCOPS_BACKUP_PORT": str(SNAPSHOTS_PORT),
            "MCOPS_BACKUP_CERTIFICATE_FILE": f"{TLS}/tls.crt",
            "MCOPS_BACKUP_KEY_FILE": f"{TLS}/tls.key",
            "MCOPS_BACKUP_PROMETHEUS_USER": args.login.user,
            "MCOPS_BACKUP_SNAPSHOTS_DIR": f"{DATA}/snapshots",
        },
        mounts=mounts,
        # Ready whenever it runs: Prometheus measures without it.
        readiness=exec_probe("true", period_seconds=60),
        liveness=http_probe("/health", "snapshots", tls=True, period_seconds=20, timeout_seconds=5),
    )
