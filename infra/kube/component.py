"""The base of all components: it names, labels and parents what they declare, so that they only say what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.batch import v1 as batch
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.networking import v1 as networking
from pulumi_kubernetes.policy import v1 as policy
from pulumi_kubernetes.rbac import v1 as rbac

from infra.kube import network
from infra.kube.identity import Space, Spaces, Workload
from infra.kube.pods import Pod, Rollout, claim_spec, config_hash, pod_template
from infra.settings import Storage

PREFIX = "modelcard:platform"
RBAC = "rbac.authorization.k8s.io"
# What the policies read of a volume, and of the jobs that back volumes up.
BACKUP, BACKS_UP = "modelcard/backup", "modelcard/backs-up"
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
API_PORTS = (443, 6443)  # of the API server's Service, and what clusters commonly have behind it
# Seconds. A start that the controller was not there for is made up for; after it, the next one is due soon enough.
STARTING_DEADLINE = 1800
KEPT_FINISHED = 3 * 24 * 3600  # over a weekend, for who wants to read its log

# Server-side apply as one owner, whose word counts. The provider would make up an owner per resource, and then be
# refused what a killed `up` or a hand had set under another name.
FIELD_MANAGER = {"pulumi.com/patchFieldManager": "modelcard-platform", "pulumi.com/patchForce": "true"}


def object_metadata(
    component: str,
    name: pulumi.Input[str],
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
    """A part of the platform, most of it in one namespace. Logical and physical names are alike: `NAME-WHAT`."""

    space: Space = "application"

    def __init__(self, name: str, spaces: Spaces, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"{PREFIX}:{type(self).__name__}", name, None, opts)
        self.name = name
        self.spaces = spaces
        self.children = pulumi.ResourceOptions(parent=self)
        self.config_maps: list[str] = []
        self.secrets: list[str] = []

    def metadata(
        self, name: str, annotations: Mapping[str, str] | None = None, *, space: Space | None = None
    ) -> meta.ObjectMetaArgs:
        """Metadata of a child object, in the component's own namespace unless it says another."""
        return object_metadata(self.name, name, self.spaces[space or self.space], annotations)

    def cluster_metadata(self, name: pulumi.Input[str], namespace: str | None = None) -> meta.ObjectMetaArgs:
        """Metadata of a child object that is in no namespace, or in one that is not the platform's."""
        return object_metadata(self.name, name, namespace)

    def config_map(self, what: str, data: Mapping[str, pulumi.Input[str]]) -> core.ConfigMap:
        """Files or variables that anybody may read."""
        name = f"{self.name}-{what}"
        self.config_maps.append(name)
        return core.ConfigMap(name, metadata=self.metadata(name), data=dict(data), opts=self.children)

    def secret(self, what: str, data: Mapping[str, pulumi.Input[str]], *, type_: str = "Opaque") -> core.Secret:
        """Files that only the pods that mount them may read; encrypted in Pulumi's state."""
        name = f"{self.name}-{what}"
        self.secrets.append(name)
        content = pulumi.Output.secret(dict(data))
        return core.Secret(name, metadata=self.metadata(name), type=type_, string_data=content, opts=self.children)

    def account(self, workload: Workload, *, role: str | None = None) -> core.ServiceAccount:
        """An identity of the workload's own; its pods have a token only if they ask for one. AWS lends it the role."""
        return core.ServiceAccount(
            workload.name,
            metadata=self.metadata(workload.name, {ROLE_ANNOTATION: role} if role else None),
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

    def claim(
        self, what: str, storage: Storage, *, access_mode: str, protect: bool, backup: str
    ) -> core.PersistentVolumeClaim:
        """A volume that outlives every pod. An object of its own: a StatefulSet's claim template can never grow.

        `backup` is what a backup calls it, or `none: ` and why it is in none.
        """
        name = f"{self.name}-{what}"
        return core.PersistentVolumeClaim(
            name,
            metadata=self.metadata(name, {BACKUP: backup}),
            spec=claim_spec(storage, access_mode),
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
        replicas: int = 1,
        volumes: Mapping[str, Storage] | None = None,
        backup: str | None = None,
    ) -> apps.StatefulSet:
        """Pods with a name of their own each, and a volume each by `volumes`, so that two never write to one.

        More than one start side by side: they know each other by name, not by order. `backup` is about the volumes,
        as `claim` has it.
        """
        return apps.StatefulSet(
            workload.name,
            metadata=self.metadata(workload.name, {BACKUP: backup} if backup else None),
            spec=apps.StatefulSetSpecArgs(
                replicas=replicas,
                service_name=service,
                pod_management_policy="Parallel" if replicas > 1 else None,
                selector=meta.LabelSelectorArgs(match_labels=workload.selector),
                revision_history_limit=5,
                template=self._template(workload, pod, config, rollout),
                volume_claim_templates=[self._claim_template(*each) for each in (volumes or {}).items()] or None,
            ),
            opts=pulumi.ResourceOptions.merge(self.keeping(protect=protect), rollout.options),
        )

    def daemon_set(
        self, workload: Workload, pod: Pod, *, config: Mapping[str, str], rollout: Rollout
    ) -> apps.DaemonSet:
        """A pod on each node."""
        return apps.DaemonSet(
            workload.name,
            metadata=self.metadata(workload.name),
            spec=apps.DaemonSetSpecArgs(
                selector=meta.LabelSelectorArgs(match_labels=workload.selector),
                update_strategy=apps.DaemonSetUpdateStrategyArgs(
                    type="RollingUpdate", rolling_update=apps.RollingUpdateDaemonSetArgs(max_unavailable="10%")
                ),
                revision_history_limit=5,
                template=self._template(workload, pod, config, rollout),
            ),
            opts=pulumi.ResourceOptions.merge(self.children, rollout.options),
        )

    def cron_job(
        self,
        workload: Workload,
        pod: Pod,
        *,
        schedule: str,
        deadline: int,
        config: Mapping[str, str],
        rollout: Rollout,
        backs_up: Sequence[str] = (),
    ) -> batch.CronJob:
        """Pods that run once each, never two at a time; `deadline` is in seconds, and ends one that hangs.

        `backs_up` names what the job copies, by the words that claims say they are backed up by.
        """
        template = self._template(workload, pod, config, rollout)
        return batch.CronJob(
            workload.name,
            metadata=self.metadata(workload.name, {BACKS_UP: ", ".join(backs_up)} if backs_up else None),
            spec=batch.CronJobSpecArgs(
                schedule=schedule,
                time_zone="UTC",  # the one that a program without a database of time zones knows, too
                concurrency_policy="Forbid",
                starting_deadline_seconds=STARTING_DEADLINE,
                successful_jobs_history_limit=3,
                failed_jobs_history_limit=3,
                job_template=batch.JobTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels=workload.labels),
                    spec=batch.JobSpecArgs(
                        backoff_limit=2,
                        active_deadline_seconds=deadline,
                        ttl_seconds_after_finished=KEPT_FINISHED,
                        template=template,
                    ),
                ),
            ),
            opts=self.children,
        )

    def job(
        self, workload: Workload, pod: Pod, *, config: Mapping[str, str], rollout: Rollout, attempts: int
    ) -> batch.Job:
        """Pods that run until one of them succeeds; again when its files, its image or the secrets change."""
        return batch.Job(
            workload.name,
            metadata=self.metadata(workload.name),
            spec=batch.JobSpecArgs(
                # No podFailurePolicy: the provider would go on waiting for what one ends (cloud-ready-checks 1.3, job).
                backoff_limit=attempts,
                active_deadline_seconds=rollout.deadline,
                pod_replacement_policy="Failed",  # two must not write at once, not even while one of them ends
                # What it did stays to be seen; the next run takes its name.
                template=self._template(workload, pod, config, rollout),
            ),
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions.merge(self.children, rollout.options),
                pulumi.ResourceOptions(delete_before_replace=True, replace_on_changes=["spec"]),
            ),
        )

    def _claim_template(self, name: str, storage: Storage) -> core.PersistentVolumeClaimArgs:
        return core.PersistentVolumeClaimArgs(
            metadata=meta.ObjectMetaArgs(name=name), spec=claim_spec(storage, "ReadWriteOnce")
        )

    def _template(
        self, workload: Workload, pod: Pod, config: Mapping[str, str], rollout: Rollout
    ) -> core.PodTemplateSpecArgs:
        annotations = {"modelcard/config": config_hash(config)}
        if pod.rotates_with_secrets:
            annotations["modelcard/rotation"] = str(rollout.rotation)
        account = self.account(workload, role=pod.role)
        return pod_template(workload, pod, account=account.metadata.name, annotations=annotations)

    def keeping(self, *, protect: bool) -> pulumi.ResourceOptions:
        """Options of what holds data: neither deleted by an `up` nor with the stack."""
        return pulumi.ResourceOptions(parent=self, protect=protect, retain_on_delete=protect)

    def service(
        self, workload: Workload, *, ports: Mapping[str, int], headless: bool = False, sticky: bool = False
    ) -> core.Service:
        """An address for the workload's pods; each port is the container's port of the same name.

        A `sticky` one leads a client to the same pod each time.
        """
        return core.Service(
            f"{workload.name}-service",
            metadata=self.metadata(workload.name),
            spec=core.ServiceSpecArgs(
                selector=workload.selector,
                cluster_ip="None" if headless else None,
                session_affinity="ClientIP" if sticky else None,
                ports=[core.ServicePortArgs(name=name, port=port, target_port=name) for name, port in ports.items()],
            ),
            opts=self.children,
        )

    def peers(self, workload: Workload, *, ports: Mapping[str, int]) -> core.Service:
        """A name for each pod of a StatefulSet, known before the pod is ready, by which they find each other."""
        name = f"{workload.name}-peers"
        return core.Service(
            name,
            metadata=self.metadata(name),
            spec=core.ServiceSpecArgs(
                selector=workload.selector,
                cluster_ip="None",
                publish_not_ready_addresses=True,
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

    def policy(
        self, name: str, spec: networking.NetworkPolicySpecArgs, *, space: Space | None = None
    ) -> networking.NetworkPolicy:
        """A NetworkPolicy, of this component's namespace unless it says another."""
        return networking.NetworkPolicy(name, metadata=self.metadata(name, space=space), spec=spec, opts=self.children)

    def allow(self, clients: Sequence[Workload], *, to: Workload, port: int, what: str = "") -> None:
        """Opens an edge on both of its ends: clients may call, the target may answer.

        `what` tells several ports of one target apart.
        """
        target = f"{to.name}-{what}" if what else to.name
        self.policy(target, network.ingress_from(to, clients, port, self.spaces), space=to.space)
        for client in clients:
            spec = network.egress_to(client, to, port, self.spaces)
            self.policy(f"{client.name}-to-{target}", spec, space=client.space)

    def may_call_api(self, workload: Workload, rules: Mapping[Space | None, Sequence[rbac.PolicyRuleArgs]]) -> None:
        """What the workload may ask the Kubernetes API, per namespace; None stands for the whole cluster."""
        subject = rbac.SubjectArgs(kind="ServiceAccount", name=workload.name, namespace=self.spaces[workload.space])
        for space, granted in rules.items():
            if space is None:
                self._may_in_cluster(workload, subject, granted)
                continue
            name = workload.name if space == workload.space else f"{workload.name}-{space}"
            metadata = self.metadata(workload.name, space=space)
            role = rbac.Role(name, metadata=metadata, rules=list(granted), opts=self.children)
            rbac.RoleBinding(
                name,
                metadata=metadata,
                role_ref=rbac.RoleRefArgs(api_group=RBAC, kind="Role", name=role.metadata.name),
                subjects=[subject],
                opts=self.children,
            )
        self.policy(f"{workload.name}-to-api", network.egress_to_nodes(workload, *API_PORTS), space=workload.space)

    def _may_in_cluster(
        self, workload: Workload, subject: rbac.SubjectArgs, granted: Sequence[rbac.PolicyRuleArgs]
    ) -> None:
        # The namespace's name tells it from that of another stack in the same cluster.
        physical = pulumi.Output.concat(self.spaces["application"], "-", workload.name)
        name = f"{workload.name}-cluster"
        metadata = self.cluster_metadata(physical)
        role = rbac.ClusterRole(name, metadata=metadata, rules=list(granted), opts=self.children)
        rbac.ClusterRoleBinding(
            name,
            metadata=metadata,
            role_ref=rbac.RoleRefArgs(api_group=RBAC, kind="ClusterRole", name=role.metadata.name),
            subjects=[subject],
            opts=self.children,
        )

    def finish(self, **outputs: pulumi.Input[object]) -> None:
        """Ends the declaration."""
        self.register_outputs(outputs)
