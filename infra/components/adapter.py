"""prometheus-adapter: gives the autoscaler the requests per second of each pod."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiregistration import v1 as apiregistration
from pulumi_kubernetes.rbac import v1 as rbac

from infra.components import app
from infra.kube import network
from infra.kube.component import RBAC, Component
from infra.kube.files import as_yaml
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import Container, FromConfigMap, FromSecret, Pod, Rollout, Scratch, http_probe
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.settings import Single

WORKLOAD = Workload(component="adapter", name="prometheus-adapter", space="observability")
PORT = 9443  # not one that the API server has: whoever may call that one could call this one as well
METRICS = Metrics(job="prometheus-adapter", workload=WORKLOAD, port=PORT, server=WORKLOAD.name, credentials="token")
GROUP, VERSION = "custom.metrics.k8s.io", "v1beta1"
METRIC = "http_requests_per_second"
CONFIG, LOGIN, TLS = "/etc/modelcard/adapter", "/run/secrets/login", "/run/secrets/tls"


@dataclass(frozen=True, kw_only=True)
class AdapterArgs:
    """`prometheus` is its URL."""

    spaces: Spaces
    settings: Single
    prometheus: str
    login: MonitoringLogin
    certificate: ServerCertificate
    rollout: Rollout


class Adapter(Component):
    """Two pods that answer the API `custom.metrics.k8s.io` for the cluster, of which there can be one only."""

    space = "observability"

    def __init__(self, name: str, args: AdapterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        files = {"config.yaml": as_yaml(adapter_config())}
        config = self.config_map("config", files)
        access = args.login.password.apply(
            lambda password: prometheus_access(args.prometheus, args.login.user, password)
        )
        login = self.secret("login", {"prometheus.yaml": access})
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        self.deployment(
            WORKLOAD,
            Pod(
                main=Container(
                    name="adapter",
                    image=args.settings.image,
                    command=["/adapter"],
                    args=[
                        f"--secure-port={PORT}",
                        f"--tls-cert-file={TLS}/tls.crt",
                        f"--tls-private-key-file={TLS}/tls.key",
                        f"--prometheus-url={args.prometheus}",
                        f"--prometheus-auth-config={LOGIN}/prometheus.yaml",
                        f"--config={CONFIG}/config.yaml",
                        "--metrics-relist-interval=1m",
                        # What has just started has no series yet; longer than the interval above.
                        "--metrics-max-age=2m",
                    ],
                    resources=args.settings.resources,
                    ports={"https": PORT},
                    mounts=[
                        FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"),
                        FromSecret(path=LOGIN, secret=login.metadata.name, volume="login"),
                        FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
                        Scratch(path="/tmp", volume="tmp", size="16Mi"),
                    ],
                    readiness=http_probe("/readyz", "https", tls=True, period_seconds=5, timeout_seconds=3),
                    liveness=http_probe("/livez", "https", tls=True, period_seconds=10, timeout_seconds=5),
                ),
                calls_api=True,
            ),
            replicas=2,
            config=files,
            rollout=args.rollout,
        )
        self.service(WORKLOAD, ports={"https": PORT})
        self.budget(WORKLOAD)
        # The API server calls it from wherever it is.
        self.policy(f"{WORKLOAD.name}-from-api", network.ingress_from_nodes(WORKLOAD, PORT))
        self._may_delegate()
        self._serve_api(args.certificate)
        self.finish()

    def _may_delegate(self) -> None:
        pods = rbac.PolicyRuleArgs(api_groups=[""], resources=["pods"], verbs=["get", "list", "watch"])
        self.may_call_api(WORKLOAD, {"application": [pods]})
        subject = rbac.SubjectArgs(kind="ServiceAccount", name=WORKLOAD.name, namespace=self.spaces[self.space])
        physical = pulumi.Output.concat(self.spaces["application"], "-", WORKLOAD.name)
        # It asks the API server who is calling, and whether they may.
        rbac.ClusterRoleBinding(
            f"{WORKLOAD.name}-delegation",
            metadata=self.cluster_metadata(pulumi.Output.concat(physical, "-delegation")),
            role_ref=rbac.RoleRefArgs(api_group=RBAC, kind="ClusterRole", name="system:auth-delegator"),
            subjects=[subject],
            opts=self.children,
        )
        rbac.RoleBinding(
            f"{WORKLOAD.name}-authentication",
            metadata=self.cluster_metadata(pulumi.Output.concat(physical, "-authentication"), "kube-system"),
            role_ref=rbac.RoleRefArgs(api_group=RBAC, kind="Role", name="extension-apiserver-authentication-reader"),
            subjects=[subject],
            opts=self.children,
        )
        role = rbac.Role(
            f"{WORKLOAD.name}-autoscaler",
            metadata=self.metadata(f"{WORKLOAD.name}-autoscaler", space="application"),
            rules=[rbac.PolicyRuleArgs(api_groups=[GROUP], resources=[f"pods/{METRIC}"], verbs=["get"])],
            opts=self.children,
        )
        rbac.RoleBinding(
            f"{WORKLOAD.name}-autoscaler",
            metadata=self.metadata(f"{WORKLOAD.name}-autoscaler", space="application"),
            role_ref=rbac.RoleRefArgs(api_group=RBAC, kind="Role", name=role.metadata.name),
            subjects=[
                rbac.SubjectArgs(kind="ServiceAccount", name="horizontal-pod-autoscaler", namespace="kube-system")
            ],
            opts=self.children,
        )

    def _serve_api(self, certificate: ServerCertificate) -> None:
        apiregistration.APIService(
            f"{WORKLOAD.name}-api",
            metadata=self.cluster_metadata(f"{VERSION}.{GROUP}"),
            spec=apiregistration.APIServiceSpecArgs(
                group=GROUP,
                version=VERSION,
                group_priority_minimum=100,
                version_priority=100,
                ca_bundle=certificate.authority.apply(encoded),
                service=apiregistration.ServiceReferenceArgs(
                    name=WORKLOAD.name, namespace=self.spaces[self.space], port=PORT
                ),
            ),
            opts=self.children,
        )


def adapter_config() -> dict[str, object]:
    """The one metric. Source: prometheus-adapter, "docs/config.md"."""
    return {
        "rules": [
            {
                "seriesQuery": f'http_requests_total{{{app.LOAD},namespace!="",pod!=""}}',
                "resources": {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}},
                "name": {"matches": "^http_requests_total$", "as": METRIC},
                "metricsQuery": (
                    f"sum(rate(<<.Series>>{{<<.LabelMatchers>>,{app.LOAD}}}[{app.LOAD_WINDOW}])) by (<<.GroupBy>>)"
                ),
            }
        ]
    }


def prometheus_access(url: str, user: str, password: str) -> str:
    """The login, in the only form that the adapter takes together with a certificate authority: a kubeconfig."""
    return as_yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "prometheus", "cluster": {"server": url, "certificate-authority": f"{TLS}/ca.crt"}}],
            "users": [{"name": "prometheus", "user": {"username": user, "password": password}}],
            "contexts": [{"name": "prometheus", "context": {"cluster": "prometheus", "user": "prometheus"}}],
            "current-context": "prometheus",
        }
    )


def encoded(authority: str) -> str:
    """As the API has it: base64 of the PEM text."""
    return base64.b64encode(authority.encode()).decode()
