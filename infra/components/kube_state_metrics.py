"""kube-state-metrics: the state of the platform's Kubernetes objects, as metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.rbac import v1 as rbac

from infra.kube.exporter import WEB, WEB_CONFIG, Exporter, Serving
from infra.kube.identity import Metrics, Space, Spaces, Workload
from infra.kube.pods import Container, Pod, http_probe

WORKLOAD = Workload(component="kube-state-metrics", name="kube-state-metrics", space="observability")
PORT, OWN_PORT = 8443, 8444
METRICS = Metrics(job="kube-state-metrics", workload=WORKLOAD, port=PORT, server=WORKLOAD.name, honor_labels=True)
# API group to what it shows of it. Not Secrets and ConfigMaps: whoever may list them may read them. Not nodes: up to
# version 2.18 at least, it shows what is in no namespace once for each of several (kubernetes/kube-state-metrics#2878).
RESOURCES: Mapping[str, Sequence[str]] = {
    "": ("persistentvolumeclaims", "pods", "resourcequotas"),
    "apps": ("daemonsets", "deployments", "replicasets", "statefulsets"),
    "autoscaling": ("horizontalpodautoscalers",),
    "batch": ("cronjobs", "jobs"),
    "policy": ("poddisruptionbudgets",),
}


@dataclass(frozen=True, kw_only=True)
class KubeStateMetricsArgs:
    """`namespaces` are the plain names of those that it shows; it may look at no other."""

    spaces: Spaces
    namespaces: Mapping[Space, str]
    serving: Serving


class KubeStateMetrics(Exporter):
    """One pod that watches the platform's objects."""

    def __init__(self, name: str, args: KubeStateMetricsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        shown = sorted(kind for kinds in RESOURCES.values() for kind in kinds)
        self.deployment(
            WORKLOAD,
            Pod(
                main=Container(
                    name="exporter",
                    image=args.serving.image,
                    command=["/kube-state-metrics"],
                    args=[
                        f"--port={PORT}",
                        f"--telemetry-port={OWN_PORT}",
                        f"--tls-config={WEB}/web.yml",
                        f"--namespaces={','.join(args.namespaces.values())}",
                        f"--resources={','.join(shown)}",
                    ],
                    resources=args.serving.resources,
                    ports={"metrics": PORT},
                    mounts=self.certified(args.serving.certificate),
                    readiness=http_probe("/healthz", "metrics", tls=True, period_seconds=10, timeout_seconds=5),
                    liveness=http_probe("/livez", "metrics", tls=True, period_seconds=20, timeout_seconds=5),
                ),
                calls_api=True,
            ),
            replicas=1,
            config=WEB_CONFIG,
            rollout=args.serving.rollout,
        )
        self.service(WORKLOAD, ports={"metrics": PORT})
        objects = [
            rbac.PolicyRuleArgs(api_groups=[group], resources=list(kinds), verbs=["list", "watch"])
            for group, kinds in RESOURCES.items()
        ]
        self.may_call_api(WORKLOAD, dict.fromkeys(args.namespaces, objects))
        self.finish()
