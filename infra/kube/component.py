"""The base of all components: it names, labels and parents what they declare, so that they only say what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.networking import v1 as networking
from pulumi_kubernetes.policy import v1 as policy

from infra.kube import network
from infra.kube.identity import Tier, Workload
from infra.kube.pods import Pod, Rollout, config_hash, pod_template
from infra.settings import Storage

PREFIX = "modelcard:platform"

# Server-side apply as one owner, whose word counts. The provider would make up an owner per resource, and then be
# refused what a killed `up` or a hand had set under another name.
FIELD_MANAGER = {"pulumi.com/patchFieldManager": "modelcard-platform", "pulumi.com/patchForce": "true"}


def object_metadata(
    component: str,
    name: str,
    namespace: pulumi.Input[str] | None = None,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> meta.ObjectMetaArgs:
    """Metadata that every object of the platform carries, and what this one adds to it."""
    common = {
        "app.kubernetes.io/part-of": "modelcard",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "pulumi",
    }
    return meta.ObjectMetaArgs(
        name=name,
        namespace=namespace,
        labels=common | dict(labels or {}),
        annotations=FIELD_MANAGER | dict(annotations or {}),
    )


class Component(pulumi.ComponentResource):
    """A part of the platform in one namespace. Logical and physical names are alike: `NAME-WHAT`."""

    tier: Tier

    def __init__(self, name: str, namespace: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"{PREFIX}:{type(self).__name__}", name, None, opts)
        self.name = name
        self.namespace = namespace
        self.children = pulumi.ResourceOptions(parent=self)

    def metadata(self, name: str, annotations: Mapping[str, str] | None = None) -> meta.ObjectMetaArgs:
        """Metadata of a child object."""
        return object_metadata(self.name, name, self.namespace, annotations)

    def config_map(self, what: str, data: Mapping[str, pulumi.Input[str]]) -> core.ConfigMap:
        """Files or variables that anybody may read."""
        name = f"{self.name}-{what}"
        return core.ConfigMap(name, metadata=self.metadata(name), data=dict(data), opts=self.children)

    def secret(self, what: str, data: Mapping[str, pulumi.Input[str]], *, type_: str = "Opaque") -> core.Secret:
        """Files that only the pods that mount them may read; encrypted in Pulumi's state."""
        name = f"{self.name}-{what}"
        content = pulumi.Output.secret(dict(data))
        return core.Secret(name, metadata=self.metadata(name), type=type_, string_data=content, opts=self.children)

    def account(self, workload: Workload) -> core.ServiceAccount:
        """An identity of the workload's own; without a token, for nothing here calls the API."""
        return core.ServiceAccount(
            workload.name,
            metadata=self.metadata(workload.name),
            automount_service_account_token=False,
            opts=self.children,
        )

    def deployment(
        self,
        workload: Workload,
        pod: Pod,
        *,
        replicas: int | None,
        config: Mapping[str, str],
        rollout: Rollout,
    ) -> apps.Deployment:
        """Pods without a state of their own. `replicas` is None where an autoscaler decides."""
        return apps.Deployment(
            workload.name,
            metadata=self.metadata(workload.name),
            spec=apps.DeploymentSpecArgs(
                replicas=replicas,
                selector=meta.LabelSelectorArgs(match_labels=workload.selector),
                strategy=apps.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0),
                ),
                progress_deadline_seconds=rollout.deadline,
                revision_history_limit=5,
                template=self._template(workload, pod, config, rollout),
            ),
            opts=pulumi.ResourceOptions.merge(self.children, rollout.options),
        )

    def claim(self, what: str, storage: Storage, *, access_mode: str, protect: bool) -> core.PersistentVolumeClaim:
        """A volume that outlives every pod. An object of its own: a StatefulSet's claim template can never grow."""
        name = f"{self.name}-{what}"
        return core.PersistentVolumeClaim(
            name,
            metadata=self.metadata(name),
            spec=core.PersistentVolumeClaimSpecArgs(
                access_modes=[access_mode],
                storage_class_name=storage.storage_class,
                resources=core.VolumeResourceRequirementsArgs(requests={"storage": str(storage.size)}),
            ),
            opts=self.keeping(protect=protect),
        )

    def stateful_set(
        self,
        workload: Workload,
        pod: Pod,
        *,
        service: pulumi.Input[str],
        config: Mapping[str, str],
        rollout: Rollout,
        protect: bool,
    ) -> apps.StatefulSet:
        """One pod at a time with a name of its own, so that two never write to one volume."""
        return apps.StatefulSet(
            workload.name,
            metadata=self.metadata(workload.name),
            spec=apps.StatefulSetSpecArgs(
                replicas=1,
                service_name=service,
                selector=meta.LabelSelectorArgs(match_labels=workload.selector),
                revision_history_limit=5,
                template=self._template(workload, pod, config, rollout),
            ),
            opts=pulumi.ResourceOptions.merge(self.keeping(protect=protect), rollout.options),
        )

    def _template(
        self, workload: Workload, pod: Pod, config: Mapping[str, str], rollout: Rollout
    ) -> core.PodTemplateSpecArgs:
        annotations = {"modelcard/config": config_hash(config)}
        if pod.reads_secrets:
            annotations["modelcard/rotation"] = str(rollout.rotation)
        return pod_template(workload, pod, account=self.account(workload).metadata.name, annotations=annotations)

    def keeping(self, *, protect: bool) -> pulumi.ResourceOptions:
        """Options of what holds data: neither deleted by an `up` nor with the stack."""
        return pulumi.ResourceOptions(parent=self, protect=protect, retain_on_delete=protect)

    def service(self, workload: Workload, *, ports: Mapping[str, int], headless: bool = False) -> core.Service:
        """An address for the workload's pods; each port is the container's port of the same name."""
        return core.Service(
            f"{workload.name}-service",
            metadata=self.metadata(workload.name),
            spec=core.ServiceSpecArgs(
                selector=workload.selector,
                cluster_ip="None" if headless else None,
                ports=[core.ServicePortArgs(name=name, port=port, target_port=name) for name, port in ports.items()],
            ),
            opts=self.children,
        )

    def budget(self, workload: Workload) -> policy.PodDisruptionBudget:
        """A drain takes one pod at a time."""
        return policy.PodDisruptionBudget(
            f"{workload.name}-budget",
            metadata=self.metadata(workload.name),
            spec=policy.PodDisruptionBudgetSpecArgs(
                max_unavailable=1,
                selector=meta.LabelSelectorArgs(match_labels=workload.selector),
                # Pods that never became ready must not block a drain.
                unhealthy_pod_eviction_policy="AlwaysAllow",
            ),
            opts=self.children,
        )

    def policy(self, name: str, spec: networking.NetworkPolicySpecArgs) -> networking.NetworkPolicy:
        """A NetworkPolicy of this component's namespace."""
        return networking.NetworkPolicy(name, metadata=self.metadata(name), spec=spec, opts=self.children)

    def allow(self, clients: Sequence[Workload], *, to: Workload, port: int) -> None:
        """Opens an edge on both of its ends: clients may call, the target may answer."""
        self.policy(to.name, network.ingress_from(to, list(clients), port))
        for client in clients:
            self.policy(f"{client.name}-to-{to.name}", network.egress_to(client, to, port))

    def finish(self, **outputs: pulumi.Input[object]) -> None:
        """Ends the declaration."""
        self.register_outputs(outputs)
