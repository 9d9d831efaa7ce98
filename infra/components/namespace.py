"""A namespace that admits hardened pods only, within a quota, and with every connection closed until it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.networking import v1 as networking

from infra.kube import network
from infra.kube.component import PREFIX, object_metadata
from infra.quantities import Cpu, Memory


@dataclass(frozen=True, kw_only=True)
class Quota:
    """The most that the namespace may ask for."""

    cpu: Cpu
    memory: Memory
    storage: Memory
    pods: int


@dataclass(frozen=True, kw_only=True)
class NamespaceArgs:
    """`pod_security` is the Pod Security Standard that admission enforces."""

    pod_security: Literal["restricted", "baseline", "privileged"]
    quota: Quota
    protect: bool


class Namespace(pulumi.ComponentResource):
    """The namespace with its quota and its default-deny policies. Output: `metadata_name`, to declare others in it."""

    metadata_name: pulumi.Output[str]

    def __init__(self, name: str, args: NamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"{PREFIX}:Namespace", name, None, opts)
        children = pulumi.ResourceOptions(parent=self)
        levels = {f"pod-security.kubernetes.io/{mode}": args.pod_security for mode in ("enforce", "audit", "warn")}
        namespace = core.Namespace(
            name,
            metadata=object_metadata("namespace", name, labels=levels),
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, retain_on_delete=args.protect),
        )
        self.metadata_name = namespace.metadata.name

        def metadata(child: str) -> meta.ObjectMetaArgs:
            return object_metadata("namespace", child, self.metadata_name)

        core.ResourceQuota(
            f"{name}-quota",
            metadata=metadata("quota"),
            spec=core.ResourceQuotaSpecArgs(
                hard={
                    "requests.cpu": str(args.quota.cpu),
                    "requests.memory": str(args.quota.memory),
                    "requests.storage": str(args.quota.storage),
                    "pods": str(args.quota.pods),
                    "services.nodeports": "0",
                    "services.loadbalancers": "0",
                }
            ),
            opts=children,
        )
        for child, spec in (("default-deny", network.default_deny()), ("name-resolution", network.name_resolution())):
            networking.NetworkPolicy(f"{name}-{child}", metadata=metadata(child), spec=spec, opts=children)
        self.register_outputs({"metadata_name": self.metadata_name})
