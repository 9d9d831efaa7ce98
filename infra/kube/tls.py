"""How servers inside the cluster are told from impostors, and their clients from anybody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.kube.files import as_yaml


@dataclass(frozen=True, kw_only=True)
class ServerCertificate:
    """PEM texts; the authority's private key never reaches the cluster."""

    authority: pulumi.Output[str]
    certificate: pulumi.Output[str]
    key: pulumi.Output[str]

    def files(self) -> dict[str, pulumi.Output[str]]:
        """The content of a Secret of type `kubernetes.io/tls`, with the authority beside it."""
        return {"tls.crt": self.certificate, "tls.key": self.key, "ca.crt": self.authority}


@dataclass(frozen=True, kw_only=True)
class MonitoringLogin:
    """The one login of Prometheus and Alertmanager. `hash` is bcrypt's."""

    user: str
    password: pulumi.Output[str]
    hash: pulumi.Output[str]

    def web_config(self, tls: str) -> pulumi.Output[str]:
        """What `--web.config.file` names, for certificates in the folder `tls`."""
        return self.hash.apply(lambda hashed: web_config(tls, {self.user: hashed}))


def web_config(tls: str, users: Mapping[str, str] | None = None) -> str:
    """TLS, and a login if there are users. Source: prometheus/exporter-toolkit, "web-configuration.md"."""
    document: dict[str, object] = {
        "tls_server_config": {
            "cert_file": f"{tls}/tls.crt",
            "key_file": f"{tls}/tls.key",
            "min_version": "TLS12",
        }
    }
    if users:
        document["basic_auth_users"] = dict(users)
    return as_yaml(document)
