"""The hardened pod template that every workload is made from.

It satisfies the Pod Security Standard `restricted` and adds a read-only root file system, a user above 10000 and
explicit ephemeral storage. Nothing here can be switched off by a component.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from infra.kube.identity import Workload
from infra.settings import Resources, Storage

# Above every range that an image or a node uses for its own users; also what kube-score and checkov ask for.
USER = 10001


@dataclass(frozen=True, kw_only=True)
class FromConfigMap:
    """Files of a ConfigMap, read-only; with `key` that one file, in place of whatever the image has at `path`."""

    path: str
    config_map: pulumi.Input[str]
    volume: str
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class FromSecret:
    """Files of a Secret, readable by the pod's group only."""

    path: str
    secret: pulumi.Input[str]
    volume: str


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """An empty folder that goes with the pod; `memory` keeps it in RAM."""

    path: str
    volume: str
    size: str
    memory: bool = False


@dataclass(frozen=True, kw_only=True)
class FromClaim:
    """A volume that outlives the pod."""

    path: str
    volume: str
    claim: pulumi.Input[str]
    read_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """An empty volume that goes with the pod, for more than a node's own disk holds."""

    path: str
    volume: str
    storage: Storage


@dataclass(frozen=True, kw_only=True)
class FromToken:
    """A token by which the pod proves to somebody outside (`audience`) whose it is; the kubelet renews it."""

    path: str
    volume: str
    audience: str


@dataclass(frozen=True, kw_only=True)
class FromHost:
    """A folder of the node, read-only; admitted in the agents' namespace alone."""

    path: str
    volume: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class FromTemplate:
    """A volume of this one replica of a StatefulSet, by the name of its claim template."""

    path: str
    volume: str


Volume = FromConfigMap | FromSecret | Scratch | FromClaim | FromHost | Workspace | FromToken
Mount = Volume | FromTemplate
READ_ONLY = FromConfigMap | FromSecret | FromHost | FromToken
TOKEN_LIFE = 3600  # seconds; renewed after 80 % of it


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container: what runs, on which files, how its health is asked."""

    name: str
    image: str
    command: Sequence[str]
    args: Sequence[str] = ()
    resources: Resources
    ports: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    about_itself: Mapping[str, str] = field(default_factory=dict)  # variable to field of the pod, such as metadata.name
    mounts: Sequence[Mount] = ()
    startup: core.ProbeArgs | None = None
    liveness: core.ProbeArgs | None = None
    readiness: core.ProbeArgs | None = None
    drain: int = 0


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod of one main container, what must have run before it, and what runs beside it.

    `calls_api` gives it a token of its account's; `on_every_node` lets it run on tainted nodes too. A job runs `once`.
    `near` is whose node it must share, for a volume that only one node can have; `role` is the ARN of its account's.
    `groups` are more groups whose files it may read. `shared_processes` has the pod adopt the orphans of its
    containers, where a container's first process would take them for its own children. One that `rereads_secrets` is
    not replaced when they are.
    """

    main: Container
    before: Sequence[Container] = ()
    beside: Sequence[Container] = ()
    grace: int = 30
    calls_api: bool = False
    on_every_node: bool = False
    once: bool = False
    near: Workload | None = None
    role: str | None = None
    groups: Sequence[int] = ()
    shared_processes: bool = False
    rereads_secrets: bool = False

    @property
    def containers(self) -> list[Container]:
        """All of them, in the order in which they start."""
        return [*self.before, self.main, *self.beside]

    @property
    def rotates_with_secrets(self) -> bool:
        """Whether it must be replaced when the secrets are."""
        mounts = [mount for container in self.containers for mount in container.mounts]
        return not self.rereads_secrets and any(isinstance(mount, FromSecret) for mount in mounts)


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """What decides when pods are replaced, and when that has failed.

    `rotation` counts the rotations of the stack's secrets; `deadline` is in seconds; `after` is what must be there
    before the first of them starts.
    """

    rotation: int
    deadline: int
    after: Sequence[pulumi.Resource] = ()

    @property
    def options(self) -> pulumi.ResourceOptions:
        """For what the pods wait, and how long an `up` waits for them."""
        timeout = f"{self.deadline + 30}s"  # Kubernetes' own verdict, with its reason, comes first
        return pulumi.ResourceOptions(
            custom_timeouts=pulumi.CustomTimeouts(create=timeout, update=timeout), depends_on=list(self.after)
        )


def http_probe(path: str, port: str, *, tls: bool = False, **timing: Any) -> core.ProbeArgs:
    """A probe by HTTP GET; `timing` in seconds and counts, as in Kubernetes' Probe."""
    scheme = "HTTPS" if tls else None
    return core.ProbeArgs(http_get=core.HTTPGetActionArgs(path=path, port=port, scheme=scheme), **timing)


def exec_probe(*command: str, **timing: Any) -> core.ProbeArgs:
    """A probe by a command inside the container."""
    return core.ProbeArgs(exec_=core.ExecActionArgs(command=list(command)), **timing)


def port_probe(port: str, **timing: Any) -> core.ProbeArgs:
    """A probe that asks only whether the process accepts connections."""
    return core.ProbeArgs(tcp_socket=core.TCPSocketActionArgs(port=port), **timing)


def config_hash(*contents: Mapping[str, str]) -> str:
    """Changes when any of the files does, so that a changed ConfigMap rolls the pods that read it."""
    digest = hashlib.sha256()
    for content in contents:
        for name in sorted(content):
            digest.update(f"{name}\0{content[name]}\0".encode())
    return digest.hexdigest()[:16]


def pod_template(
    workload: Workload, pod: Pod, *, account: pulumi.Input[str], annotations: Mapping[str, str]
) -> core.PodTemplateSpecArgs:
    """The template of a Deployment, StatefulSet or Job."""
    alone = pod.on_every_node or pod.once  # there is nothing of its kind to keep away from
    mounts = {mount.volume: mount for container in pod.containers for mount in container.mounts}
    return core.PodTemplateSpecArgs(
        metadata=meta.ObjectMetaArgs(labels=workload.labels, annotations=dict(annotations)),
        spec=core.PodSpecArgs(
            service_account_name=account,
            automount_service_account_token=pod.calls_api,
            enable_service_links=False,
            share_process_namespace=pod.shared_processes or None,
            security_context=core.PodSecurityContextArgs(
                run_as_non_root=True,
                run_as_user=USER,
                run_as_group=USER,
                fs_group=USER,
                fs_group_change_policy="OnRootMismatch",
                supplemental_groups=list(pod.groups) or None,
                seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
            ),
            termination_grace_period_seconds=pod.grace,
            restart_policy="Never" if pod.once else None,
            topology_spread_constraints=None if alone else _spread(workload),
            affinity=_beside(pod.near) if pod.near else None if alone else _apart(workload),
            tolerations=[core.TolerationArgs(operator="Exists")] if pod.on_every_node else None,
            init_containers=[_container(container) for container in pod.before] or None,
            containers=[_container(container) for container in (pod.main, *pod.beside)],
            volumes=[_volume(mount) for mount in mounts.values() if not isinstance(mount, FromTemplate)],
        ),
    )


def _container(container: Container) -> core.ContainerArgs:
    resources = container.resources
    limits = {"memory": str(resources.memory_limit), "ephemeral-storage": str(resources.ephemeral_storage)}
    if resources.cpu_limit is not None:
        limits["cpu"] = str(resources.cpu_limit)
    return core.ContainerArgs(
        name=container.name,
        image=container.image,
        # A tag can be pushed again; asking the registry for the digest is cheap and layers stay cached.
        image_pull_policy="Always",
        command=list(container.command),
        args=list(container.args) or None,
        ports=[core.ContainerPortArgs(name=name, container_port=port) for name, port in container.ports.items()]
        or None,
        env=[
            *(core.EnvVarArgs(name=name, value=value) for name, value in container.environment.items()),
            *(_about_itself(name, path) for name, path in container.about_itself.items()),
        ]
        or None,
        resources=core.ResourceRequirementsArgs(
            requests={
                "cpu": str(resources.cpu_request),
                "memory": str(resources.memory_request),
                "ephemeral-storage": str(resources.ephemeral_storage),
            },
            limits=limits,
        ),
        security_context=core.SecurityContextArgs(
            allow_privilege_escalation=False,
            capabilities=core.CapabilitiesArgs(drop=["ALL"]),
            privileged=False,
            read_only_root_filesystem=True,
            run_as_non_root=True,
            run_as_user=USER,
            run_as_group=USER,
            seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        startup_probe=container.startup,
        liveness_probe=container.liveness,
        readiness_probe=container.readiness,
        lifecycle=_drain(container.drain) if container.drain else None,
        volume_mounts=[
            core.VolumeMountArgs(
                name=mount.volume,
                mount_path=mount.path,
                sub_path=mount.key if isinstance(mount, FromConfigMap) else None,
                read_only=isinstance(mount, READ_ONLY) or (isinstance(mount, FromClaim) and mount.read_only),
                mount_propagation="HostToContainer" if isinstance(mount, FromHost) else None,
            )
            for mount in container.mounts
        ],
    )


def _about_itself(name: str, path: str) -> core.EnvVarArgs:
    source = core.ObjectFieldSelectorArgs(field_path=path)
    return core.EnvVarArgs(name=name, value_from=core.EnvVarSourceArgs(field_ref=source))


def _drain(seconds: int) -> core.LifecycleArgs:
    # Endpoints are withdrawn while SIGTERM is already on its way: wait until no new connection can arrive.
    return core.LifecycleArgs(pre_stop=core.LifecycleHandlerArgs(sleep=core.SleepActionArgs(seconds=seconds)))


def _volume(mount: Volume) -> core.VolumeArgs:
    return core.VolumeArgs(name=mount.volume, **_source(mount))


def _source(mount: Volume) -> dict[str, Any]:
    """The one field of a volume that says what it is."""
    source: Any
    match mount:
        case FromConfigMap():
            source = core.ConfigMapVolumeSourceArgs(name=mount.config_map, default_mode=0o444)
            field = "config_map"
        case FromSecret():
            source = core.SecretVolumeSourceArgs(secret_name=mount.secret, default_mode=0o440)
            field = "secret"
        case Scratch():
            source = core.EmptyDirVolumeSourceArgs(size_limit=mount.size, medium="Memory" if mount.memory else None)
            field = "empty_dir"
        case FromClaim():
            read_only = mount.read_only or None
            source = core.PersistentVolumeClaimVolumeSourceArgs(claim_name=mount.claim, read_only=read_only)
            field = "persistent_volume_claim"
        case FromHost():
            source = core.HostPathVolumeSourceArgs(path=mount.folder, type="Directory")
            field = "host_path"
        case Workspace():
            template = core.PersistentVolumeClaimTemplateArgs(spec=claim_spec(mount.storage, "ReadWriteOnce"))
            source = core.EphemeralVolumeSourceArgs(volume_claim_template=template)
            field = "ephemeral"
        case FromToken():
            token = core.ServiceAccountTokenProjectionArgs(
                path="token", audience=mount.audience, expiration_seconds=TOKEN_LIFE
            )
            projection = core.VolumeProjectionArgs(service_account_token=token)
            source = core.ProjectedVolumeSourceArgs(sources=[projection], default_mode=0o440)
            field = "projected"
    return {field: source}


def claim_spec(storage: Storage, access_mode: str) -> core.PersistentVolumeClaimSpecArgs:
    """What a claim asks for."""
    return core.PersistentVolumeClaimSpecArgs(
        access_modes=[access_mode],
        storage_class_name=storage.storage_class,
        resources=core.VolumeResourceRequirementsArgs(requests={"storage": str(storage.size)}),
    )


def _spread(workload: Workload) -> list[core.TopologySpreadConstraintArgs]:
    return [
        core.TopologySpreadConstraintArgs(
            max_skew=1,
            topology_key=key,
            # Losing a zone must not leave pods unschedulable.
            when_unsatisfiable="ScheduleAnyway",
            label_selector=meta.LabelSelectorArgs(match_labels=workload.selector),
        )
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def _beside(workload: Workload) -> core.AffinityArgs:
    return core.AffinityArgs(
        pod_affinity=core.PodAffinityArgs(
            required_during_scheduling_ignored_during_execution=[
                core.PodAffinityTermArgs(
                    topology_key="kubernetes.io/hostname",
                    label_selector=meta.LabelSelectorArgs(match_labels=workload.selector),
                )
            ]
        )
    )


def _apart(workload: Workload) -> core.AffinityArgs:
    return core.AffinityArgs(
        pod_anti_affinity=core.PodAntiAffinityArgs(
            preferred_during_scheduling_ignored_during_execution=[
                core.WeightedPodAffinityTermArgs(
                    weight=100,
                    pod_affinity_term=core.PodAffinityTermArgs(
                        topology_key="kubernetes.io/hostname",
                        label_selector=meta.LabelSelectorArgs(match_labels=workload.selector),
                    ),
                )
            ]
        )
    )
