"""Grafana: shows the dashboards that are in this repository, and keeps nothing of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi

from infra.kube.component import Component
from infra.kube.files import as_yaml
from infra.kube.identity import Metrics, Spaces, Workload
from infra.kube.pods import Container, FromConfigMap, FromSecret, Mount, Pod, Rollout, Scratch, http_probe, port_probe
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.monitoring.scraping import INTERVAL, LOGIN, TLS
from infra.settings import Single

WORKLOAD = Workload(component="grafana", name="grafana", space="observability")
PORT = 3000
METRICS = Metrics(job="grafana", workload=WORKLOAD, port=PORT, server=WORKLOAD.name)
DASHBOARD_FILES = Path(__file__).resolve().parents[2] / "dashboards" / "json"
HOME_DASHBOARD = "service"
DASHBOARDS, PROVISIONING = "/etc/modelcard/dashboards", "/etc/modelcard/provisioning"
SECRET, DATA = "/run/secrets/grafana", "/var/lib/grafana"


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    """Grafana and what it asks. `password` is that of `admin`, `login` that of Prometheus and Alertmanager."""

    spaces: Spaces
    settings: Single
    prometheus: str
    alertmanager: str
    password: pulumi.Output[str]
    certificate: ServerCertificate
    login: MonitoringLogin
    rollout: Rollout


class Grafana(Component):
    """Grafana, for people who forward its port. Output: `url`, as they then reach it."""

    space = "observability"
    url: str

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        self.url = f"https://localhost:{PORT}"
        dashboards = {path.stem: compact(path.read_text()) for path in sorted(DASHBOARD_FILES.glob("*.json"))}
        files = {
            "datasources.yaml": as_yaml(data_sources(args.prometheus, args.alertmanager, args.login.user)),
            "dashboards.yaml": as_yaml(dashboard_providers()),
        }
        provisioning = self.config_map("provisioning", files).metadata.name
        secret = self.secret("auth", {"password": args.password})
        login = self.secret("login", {"password": args.login.password})
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        mounts: list[Mount] = [
            FromSecret(path=SECRET, secret=secret.metadata.name, volume="auth"),
            FromSecret(path=LOGIN, secret=login.metadata.name, volume="login"),
            FromSecret(path=TLS, secret=tls.metadata.name, volume="tls"),
            Scratch(path=DATA, volume="data", size="256Mi"),
            Scratch(path="/tmp", volume="tmp", size="64Mi"),
        ]
        for file in files:
            path = f"{PROVISIONING}/{Path(file).stem}/{file}"
            mounts.append(FromConfigMap(path=path, config_map=provisioning, volume="provisioning", key=file))
        # A ConfigMap of its own for each: one holds 1 MiB at most.
        for title, text in dashboards.items():
            config_map = self.config_map(f"dashboard-{title}", {f"{title}.json": text}).metadata.name
            volume = f"dashboard-{title}"
            mounts.append(FromConfigMap(path=f"{DASHBOARDS}/{title}", config_map=config_map, volume=volume))
        self.deployment(
            WORKLOAD,
            Pod(
                main=Container(
                    name="grafana",
                    image=args.settings.image,
                    # Not the image's script, which alone knows variables that end in __FILE: see `variables`.
                    command=["grafana", "server"],
                    args=["--homepath=/usr/share/grafana"],
                    resources=args.settings.resources,
                    ports={"https": PORT},
                    environment=variables(self.url),
                    mounts=mounts,
                    # Its first start makes its database, in hundreds of steps.
                    startup=http_probe("/api/health", "https", tls=True, period_seconds=5, failure_threshold=36),
                    readiness=http_probe("/api/health", "https", tls=True, period_seconds=10, timeout_seconds=5),
                    liveness=port_probe("https", period_seconds=15, timeout_seconds=5),
                )
            ),
            replicas=1,
            config=files | dashboards,
            rollout=args.rollout,
        )
        self.service(WORKLOAD, ports={"https": PORT})
        self.finish(url=self.url)


def compact(dashboard: str) -> str:
    """The same JSON without its layout: two fifths less in every write of the engine's state."""
    return json.dumps(json.loads(dashboard), separators=(",", ":"))


def variables(url: str) -> dict[str, str]:
    """Grafana's settings, GF_SECTION_KEY each. Source: grafana.com, "Configure Grafana"."""
    return {
        "GF_SERVER_PROTOCOL": "https",
        "GF_SERVER_HTTP_PORT": str(PORT),
        "GF_SERVER_ROOT_URL": f"{url}/",
        "GF_SERVER_CERT_FILE": f"{TLS}/tls.crt",
        "GF_SERVER_CERT_KEY": f"{TLS}/tls.key",
        "GF_PATHS_DATA": DATA,
        "GF_PATHS_PLUGINS": f"{DATA}/plugins",
        "GF_PATHS_PROVISIONING": PROVISIONING,
        "GF_DATABASE_TYPE": "sqlite3",
        "GF_LOG_MODE": "console",
        "GF_LOG_CONSOLE_FORMAT": "json",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": f"{DASHBOARDS}/{HOME_DASHBOARD}/{HOME_DASHBOARD}.json",
        "GF_SECURITY_ADMIN_PASSWORD": _content_of(f"{SECRET}/password"),
        # Encrypts the passwords in its database, which goes with the pod; the built-in key is known to everybody.
        "GF_SECURITY_SECRET_KEY": _content_of(f"{SECRET}/password"),
        "GF_SECURITY_COOKIE_SECURE": "true",
        "GF_SECURITY_COOKIE_SAMESITE": "strict",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
        "GF_USERS_ALLOW_SIGN_UP": "false",
        "GF_AUTH_ANONYMOUS_ENABLED": "false",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
        "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
        # Prometheus evaluates the rules; Grafana shows what Alertmanager has.
        "GF_UNIFIED_ALERTING_EXECUTE_ALERTS": "false",
    }


def data_sources(prometheus: str, alertmanager: str, user: str) -> dict[str, Any]:
    """Whom the dashboards ask. Source: grafana.com, "Provision Grafana"."""
    access: dict[str, Any] = {
        "access": "proxy",
        "editable": False,
        "basicAuth": True,
        "basicAuthUser": user,
        "secureJsonData": {
            "basicAuthPassword": _content_of(f"{LOGIN}/password"),
            "tlsCACert": _content_of(f"{TLS}/ca.crt"),
        },
    }
    return {
        "apiVersion": 1,
        "prune": True,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": "prometheus",
                "type": "prometheus",
                "url": prometheus,
                "isDefault": True,
                "jsonData": {"tlsAuthWithCACert": True, "httpMethod": "POST", "timeInterval": f"{INTERVAL}s"},
                **access,
            },
            {
                "name": "Alertmanager",
                "uid": "alertmanager",
                "type": "alertmanager",
                "url": alertmanager,
                "jsonData": {"tlsAuthWithCACert": True, "implementation": "prometheus"},
                **access,
            },
        ],
    }


def dashboard_providers() -> dict[str, Any]:
    """Where the dashboards are; what people change in them is changed in this repository. Source: as above."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "platform",
                "type": "file",
                "disableDeletion": True,
                "allowUiUpdates": False,
                "options": {"path": DASHBOARDS},
            }
        ],
    }


def _content_of(path: str) -> str:
    return f"$__file{{{path}}}"
