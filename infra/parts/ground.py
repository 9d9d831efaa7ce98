"""What every component stands on: the namespaces, who vouches for its servers, and how its pods roll."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pydantic import SecretStr

from infra.components.namespace import Namespace, NamespaceArgs
from infra.kube.exporter import Serving
from infra.kube.identity import Space, Spaces, namespace_names
from infra.kube.pods import Rollout
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.monitoring.scraping import USER
from infra.quotas import quota
from infra.settings import Certificate, Resources, Settings


@dataclass(frozen=True, kw_only=True)
class Ground:
    """`spaces` are the declared namespaces; `options` put a component into the cluster that they are in; `after` is
    what must be there before any pod starts.
    """

    settings: Settings
    spaces: Spaces
    options: pulumi.ResourceOptions
    after: Sequence[pulumi.Resource] = ()

    @property
    def names(self) -> Mapping[Space, str]:
        """The namespaces by their plain names, known before anything is declared."""
        return namespace_names(self.settings)

    @property
    def rollout(self) -> Rollout:
        """How pods roll."""
        return Rollout(rotation=self.settings.rotation, deadline=self.settings.rollout_deadline, after=self.after)

    @property
    def authority(self) -> pulumi.Output[str]:
        """The certificate of who signed all others."""
        return secret(self.settings.secrets.authority.certificate)

    @property
    def login(self) -> MonitoringLogin:
        """Of whoever may ask the monitoring."""
        login = self.settings.secrets.monitoring_login
        return MonitoringLogin(user=USER, password=secret(login.password), hash=secret(login.hash))

    def issued(self, pair: Certificate) -> ServerCertificate:
        """The certificate as a server takes it."""
        return ServerCertificate(authority=self.authority, certificate=secret(pair.certificate), key=secret(pair.key))

    def serving(self, image: str, certificate: Certificate, resources: Resources | None = None) -> Serving:
        """What an exporter runs on; its resources are those of all exporters, unless it has its own."""
        return Serving(
            image=image,
            resources=resources or self.settings.monitoring.exporters.resources,
            certificate=self.issued(certificate),
            rollout=self.rollout,
        )


def secret(value: SecretStr) -> pulumi.Output[str]:
    """The value, encrypted wherever Pulumi keeps it."""
    return pulumi.Output.secret(value.get_secret_value())


def declare_namespaces(settings: Settings, options: pulumi.ResourceOptions) -> dict[Space, Namespace]:
    """All that the platform is in."""
    return {
        space: Namespace(
            name,
            NamespaceArgs(
                # node-exporter and Filebeat read the node's own files.
                pod_security="privileged" if space == "agents" else "restricted",
                quota=quota(settings, space),
                protect=settings.protect_data and space == "application",
            ),
            options,
        )
        for space, name in namespace_names(settings).items()
    }
