"""Certificates of servers inside the cluster, issued by the stack's own authority."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, kw_only=True)
class ServerCertificate:
    """PEM texts; the authority's private key never reaches the cluster."""

    authority: pulumi.Output[str]
    certificate: pulumi.Output[str]
    key: pulumi.Output[str]

    def files(self) -> dict[str, pulumi.Output[str]]:
        """The content of a Secret of type `kubernetes.io/tls`, with the authority beside it."""
        return {"tls.crt": self.certificate, "tls.key": self.key, "ca.crt": self.authority}
