"""The Model Card Generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.autoscaling import v2 as autoscaling

from infra.kube import network
from infra.kube.component import Component
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import Container, FromClaim, FromConfigMap, FromSecret, Pod, Rollout, Scratch, http_probe
from infra.kube.tls import MonitoringLogin
from infra.quantities import Memory
from infra.settings import Autoscaling, Replicas, Resources, Uploads

WORKLOAD = Workload(component="app", name="modelcard-generator")
PORT = 8080
METRICS = Metrics(job="modelcard-generator", workload=WORKLOAD, port=PORT, server=None, interval=10)
SECRETS, AUTHORITY = "/run/secrets/modelcard", "/etc/modelcard/authority"
LOGS, UPLOADS = "/var/log/modelcard", "/var/lib/modelcard/uploads"
CLAIM = f"{WORKLOAD.component}-uploads"
AUTOSCALER = f"{WORKLOAD.name}-hpa"
# What is load: not what Prometheus and the probes ask. The window is six scrapes.
LOAD = f'job="{METRICS.job}",endpoint!~"/metrics|/health|/ready"'
LOAD_WINDOW = "1m"
KEDA = "keda.sh/v1alpha1"
KEDA_NAMESPACE = "keda"  # where its operator is (keda.sh, "Deploying KEDA")


@dataclass(frozen=True, kw_only=True)
class Keda:
    """By what KEDA learns the requests per second: Prometheus' URL, pods and login."""

    url: str
    server: Metrics
    login: MonitoringLogin


@dataclass(frozen=True, kw_only=True)
class AppArgs:
    """The application, what it needs to reach, and how far it may grow: by a plain autoscaler, or by KEDA's."""

    spaces: Spaces
    image: str
    workers: int
    database_connections: int  # of one worker
    upload_limit: Memory
    replicas: Replicas
    resources: Resources
    autoscaling: Autoscaling
    keda: Keda | None
    uploads: Uploads
    backup: str  # what backs them up
    termination_grace: int
    database_url: pulumi.Output[str]
    cache_url: pulumi.Output[str]
    authority: pulumi.Output[str]
    clients: Sequence[Workload]
    rollout: Rollout
    protect: bool


class App(Component):
    """The pods of the service behind an address of their own. Outputs: `host`, inside the namespace, and `uploads`,
    the claim of the files that users upload.
    """

    host: str = WORKLOAD.name
    uploads: pulumi.Output[str]

    def __init__(self, name: str, args: AppArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        settings = {
            "MCG_SECRETS_DIR": SECRETS,
            "MCG_AUTHORITY_FILE": f"{AUTHORITY}/ca.crt",
            "MCG_LOG_DIR": LOGS,
            "MCG_UPLOADS_DIR": UPLOADS,
            "MCG_UPLOAD_LIMIT": str(args.upload_limit.bytes),
            "MCG_WORKERS": str(args.workers),
            "MCG_DATABASE_POOL_SIZE": str(args.database_connections),
        }
        config = self.config_map("config", {"ca.crt": args.authority})
        secret = self.secret("secrets", {"mcg_database_url": args.database_url, "mcg_cache_url": args.cache_url})
        uploads = self.claim(
            "uploads",
            args.uploads,
            access_mode=args.uploads.access_mode,
            protect=args.protect,
            backup=args.backup,
        )
        self.uploads = uploads.metadata.name
        self.deployment(
            WORKLOAD,
            Pod(
                main=Container(
                    name="app",
                    image=args.image,
                    command=["python", "-m", "modelcard_generator.api"],
                    args=["--host", "0.0.0.0", "--port", str(PORT)],  # noqa: S104 - inside the pod; policies decide who may call
                    resources=args.resources,
                    ports={"http": PORT},
                    environment=settings,
                    mounts=[
                        FromConfigMap(path=AUTHORITY, config_map=config.metadata.name, volume="authority"),
                        FromSecret(path=SECRETS, secret=secret.metadata.name, volume="secrets"),
                        FromClaim(path=UPLOADS, volume="uploads", claim=uploads.metadata.name),
                        Scratch(path=LOGS, volume="logs", size="256Mi"),
                        Scratch(path="/tmp", volume="tmp", size="256Mi"),
                    ],
                    liveness=http_probe(
                        "/health",
                        "http",
                        initial_delay_seconds=30,
                        period_seconds=10,
                        timeout_seconds=5,
                        failure_threshold=3,
                    ),
                    readiness=http_probe(
                        "/ready",
                        "http",
                        initial_delay_seconds=5,
                        period_seconds=5,
                        timeout_seconds=3,
                        failure_threshold=3,
                    ),
                    drain=5,
                ),
                grace=args.termination_grace,
            ),
            replicas=None,
            config={},
            rollout=args.rollout,
        )
        self.service(WORKLOAD, ports={"http": PORT})
        if args.keda is None:
            self._autoscaler(args)
        else:
            self._scaled_by_keda(args, args.keda)
        self.budget(WORKLOAD)
        self.allow(args.clients, to=WORKLOAD, port=PORT)
        # The registries of models, experiments and code that cards refer to.
        self.policy(f"{WORKLOAD.name}-to-internet", network.egress_to_internet(WORKLOAD))
        self.finish(host=self.host, uploads=self.uploads)

    def _autoscaler(self, args: AppArgs) -> None:
        autoscaling.HorizontalPodAutoscaler(
            AUTOSCALER,
            metadata=self.metadata(AUTOSCALER),
            spec=autoscaling.HorizontalPodAutoscalerSpecArgs(
                scale_target_ref=autoscaling.CrossVersionObjectReferenceArgs(
                    api_version="apps/v1", kind="Deployment", name=WORKLOAD.name
                ),
                min_replicas=args.replicas.min,
                max_replicas=args.replicas.max,
                metrics=_metrics(args.autoscaling),
                behavior=_pace(),
            ),
            opts=self.children,
        )

    def _scaled_by_keda(self, args: AppArgs, keda: Keda) -> None:
        """The same autoscaler, made by KEDA, which asks Prometheus itself."""
        access: dict[str, pulumi.Input[str]] = {
            "username": keda.login.user,
            "password": keda.login.password,
            "ca": args.authority,
        }
        secret = self.secret("autoscaling", access)
        CustomResource(
            f"{WORKLOAD.name}-authentication",
            api_version=KEDA,
            kind="TriggerAuthentication",
            metadata=self.metadata(WORKLOAD.name),
            spec={
                "secretTargetRef": [{"parameter": key, "name": secret.metadata.name, "key": key} for key in access],
            },
            opts=self.children,
        )
        CustomResource(
            f"{WORKLOAD.name}-scaling",
            api_version=KEDA,
            kind="ScaledObject",
            metadata=self.metadata(WORKLOAD.name),
            spec={
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WORKLOAD.name},
                "minReplicaCount": args.replicas.min,
                "maxReplicaCount": args.replicas.max,
                "advanced": {"horizontalPodAutoscalerConfig": {"name": AUTOSCALER, "behavior": _pace()}},
                "triggers": [
                    *(
                        {"type": kind, "metricType": "Utilization", "metadata": {"value": str(percent)}}
                        for kind, percent in (("cpu", args.autoscaling.cpu), ("memory", args.autoscaling.memory))
                    ),
                    {
                        "type": "prometheus",
                        "metricType": "AverageValue",
                        "metadata": {
                            "serverAddress": keda.url,
                            "query": f"sum(rate(http_requests_total{{{LOAD}}}[{LOAD_WINDOW}]))",
                            "threshold": str(args.autoscaling.requests_per_second),
                            "authModes": "basic",
                            "ignoreNullValues": "false",  # no answer is not the answer that there is no load
                        },
                        "authenticationRef": {"name": WORKLOAD.name},
                    },
                ],
            },
            opts=self.children,
        )
        server = keda.server.workload
        self.policy(
            f"{server.name}-from-keda",
            network.ingress_from_namespace(server, KEDA_NAMESPACE, keda.server.port),
            space=server.space,
        )


def _metrics(aims: Autoscaling) -> list[autoscaling.MetricSpecArgs]:
    metrics = [_resource_metric("cpu", aims.cpu), _resource_metric("memory", aims.memory)]
    if aims.metrics_from == "none":
        return metrics
    requests = autoscaling.PodsMetricSourceArgs(
        metric=autoscaling.MetricIdentifierArgs(name="http_requests_per_second"),
        target=autoscaling.MetricTargetArgs(type="AverageValue", average_value=str(aims.requests_per_second)),
    )
    return [*metrics, autoscaling.MetricSpecArgs(type="Pods", pods=requests)]


def _pace() -> autoscaling.HorizontalPodAutoscalerBehaviorArgs:
    return autoscaling.HorizontalPodAutoscalerBehaviorArgs(
        scale_down=autoscaling.HPAScalingRulesArgs(
            stabilization_window_seconds=300,
            policies=[autoscaling.HPAScalingPolicyArgs(type="Percent", value=10, period_seconds=60)],
        ),
        scale_up=autoscaling.HPAScalingRulesArgs(
            stabilization_window_seconds=60,
            policies=[
                autoscaling.HPAScalingPolicyArgs(type="Percent", value=50, period_seconds=60),
                autoscaling.HPAScalingPolicyArgs(type="Pods", value=2, period_seconds=60),
            ],
            select_policy="Max",
        ),
    )


def _resource_metric(name: str, percent: int) -> autoscaling.MetricSpecArgs:
    return autoscaling.MetricSpecArgs(
        type="Resource",
        resource=autoscaling.ResourceMetricSourceArgs(
            name=name, target=autoscaling.MetricTargetArgs(type="Utilization", average_utilization=percent)
        ),
    )
