"""How pods reach the bucket that backups go to: by a role that AWS lends to their account, or by keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_kubernetes.networking import v1 as networking

from infra.kube import network
from infra.kube.identity import Workload
from infra.kube.pods import FromToken
from infra.quantities import Endpoint

# Who may do what: the database hands over its log, jobs write, prune, or read it all, the exporter looks at records.
Role = Literal["archiver", "writer", "pruner", "restorer", "observer"]
ROLES: tuple[Role, ...] = ("archiver", "writer", "pruner", "restorer", "observer")
# As EKS' own webhook would do it, which then finds it done. Source: aws/amazon-eks-pod-identity-webhook, README.
TOKEN = FromToken(
    path="/var/run/secrets/eks.amazonaws.com/serviceaccount", volume="aws-iam-token", audience="sts.amazonaws.com"
)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """A login of an S3-compatible storage."""

    access: pulumi.Output[str]
    secret: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Where backups are. `folder` is the stack's own; `authority` is the PEM of who signed a private endpoint.

    With AWS there are `roles`, by ARN; with another storage there are `endpoint` and `keys`.
    """

    name: str
    region: str
    folder: str
    endpoint: Endpoint | None = None
    authority: str | None = None
    keys: Keys | None = None
    roles: Mapping[Role, str]

    def environment(self, role: Role) -> dict[str, str]:
        """By what AWS' libraries and pgBackRest find the role."""
        if role not in self.roles:
            return {}
        return {
            "AWS_ROLE_ARN": self.roles[role],
            "AWS_WEB_IDENTITY_TOKEN_FILE": f"{TOKEN.path}/token",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        }

    @property
    def tokens(self) -> list[FromToken]:
        """With what a pod proves to AWS whose it is."""
        return [TOKEN] if self.roles else []

    def egress(self, client: Workload) -> networking.NetworkPolicySpecArgs:
        """The client's end of the edge: S3 and STS are public, another storage may be anywhere."""
        if self.endpoint is None:
            return network.egress_to_internet(client)
        return network.egress_to_nodes(client, self.endpoint.port)
