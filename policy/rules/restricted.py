"""The Kubernetes Pod Security Standards, baseline and restricted, and the hardening that goes beyond them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.model import Control, Node, Resource, Violation
from policy.pods import Container, container_rule, containers, metadata, only, pod, pod_rule, workload_rule

_STANDARDS = "https://kubernetes.io/docs/concepts/security/pod-security-standards/"
BASELINE = Control("Kubernetes Pod Security Standards, baseline", f"{_STANDARDS}#baseline")
RESTRICTED = Control("Kubernetes Pod Security Standards, restricted", f"{_STANDARDS}#restricted")
IMMUTABLE = Control(
    "NSA/CISA Kubernetes Hardening Guide, immutable container file systems",
    "https://media.defense.gov/2022/Aug/29/2003066362/-1/-1/0/CTR_KUBERNETES_HARDENING_GUIDANCE_1.2_20220829.PDF",
)
HIGH_IDS = Control(
    "Checkov CKV_K8S_40, containers run as a high UID to avoid conflicts with the host",
    "https://www.checkov.io/5.Policy%20Index/kubernetes.html",
)

LOWEST_ID = 10001
VOLUME_TYPES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"},
)
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_syncookies",
    },
)
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
PROFILES = ("RuntimeDefault", "Localhost")
APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
APPARMOR_PROFILE = re.compile(r"(runtime/default|localhost/.+)?")
HANDLERS = (
    ("livenessProbe",),
    ("readinessProbe",),
    ("startupProbe",),
    ("lifecycle", "postStart"),
    ("lifecycle", "preStop"),
)


def _security_contexts(resource: Resource) -> Iterator[Node]:
    yield pod(resource).at("securityContext")
    for container in containers(resource):
        yield container.at("securityContext")


@pod_rule(BASELINE, "Remove hostNetwork, hostPID and hostIPC.")
def no_host_namespaces(spec: Node) -> Iterator[Violation]:
    """Pods do not share the node's network, processes or memory."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        yield from only(spec.at(key), (False,), "shares a namespace with the node; remove it")


@workload_rule(BASELINE, "Remove windowsOptions.hostProcess.")
def no_host_process(resource: Resource) -> Iterator[Violation]:
    """Windows containers do not run on the node itself."""
    for context in _security_contexts(resource):
        yield from only(context.at("windowsOptions", "hostProcess"), (False,), "runs on the node itself; remove it")


@container_rule(BASELINE, "Remove securityContext.privileged.")
def no_privileged_container(container: Container) -> Iterator[Violation]:
    """No container is privileged."""
    message = "has every right on the node; remove it"
    yield from only(container.at("securityContext", "privileged"), (False,), message)


@container_rule(BASELINE, "Remove hostPort and reach the pod through a Service.")
def no_host_port(container: Container) -> Iterator[Violation]:
    """No container listens on a port of its node."""
    for port in container.at("ports").elements():
        yield from only(port.at("hostPort"), (0,), "occupies a port of the node; remove it and use a Service")


@container_rule(BASELINE, "Remove host from probes and lifecycle hooks.")
def no_probe_of_other_hosts(container: Container) -> Iterator[Violation]:
    """Probes and hooks talk to their own pod, never to another host through the kubelet."""
    for handler in HANDLERS:
        for protocol in ("httpGet", "tcpSocket"):
            message = "lets the kubelet call another host; remove it"
            yield from only(container.at(*handler, protocol, "host"), ("",), message)


@container_rule(BASELINE, "Remove securityContext.procMount.")
def default_proc_mount(container: Container) -> Iterator[Violation]:
    """The masked paths of /proc stay masked."""
    yield from only(container.at("securityContext", "procMount"), ("Default",), "unmasks /proc; remove it")


@pod_rule(BASELINE, "Remove the sysctl, or set it on the nodes.")
def safe_sysctls(spec: Node) -> Iterator[Violation]:
    """Pods set only the sysctls that Kubernetes isolates per pod."""
    for sysctl in spec.at("securityContext", "sysctls").elements():
        if sysctl.at("name").value not in SAFE_SYSCTLS:
            yield sysctl.path, "is not isolated between the pods of a node; remove it or set it on the nodes"


@workload_rule(BASELINE, "Remove seLinuxOptions, or use a container type without user and role.")
def confined_selinux(resource: Resource) -> Iterator[Violation]:
    """SELinux confines every container with one of the container types."""
    for context in _security_contexts(resource):
        options = context.at("seLinuxOptions")
        yield from only(options.at("type"), SELINUX_TYPES, "is not a type that confines containers; remove it")
        for key in ("user", "role"):
            yield from only(options.at(key), ("",), "replaces the node's choice; remove it")


@workload_rule(BASELINE, "Remove the AppArmor override, or set RuntimeDefault or Localhost.")
def confined_apparmor(resource: Resource) -> Iterator[Violation]:
    """AppArmor stays on where the node has it."""
    message = "turns AppArmor off; remove it or set RuntimeDefault"
    for context in _security_contexts(resource):
        yield from only(context.at("appArmorProfile", "type"), PROFILES, message)
    for key, annotation in metadata(resource).at("annotations").entries():
        if key.startswith(APPARMOR_ANNOTATION) and not APPARMOR_PROFILE.fullmatch(str(annotation.value or "")):
            yield annotation.path, message


@pod_rule(RESTRICTED, "Use a configMap, emptyDir, persistentVolumeClaim, projected, secret or csi volume.")
def restricted_volume_types(spec: Node) -> Iterator[Violation]:
    """Volumes come from the cluster's API, never from the node's file system."""
    for volume in spec.at("volumes").elements():
        kinds = {key for key, source in volume.entries() if source.raw is not None} - {"name"}
        if not kinds:
            yield volume.path, f"names no volume type; use one of {', '.join(sorted(VOLUME_TYPES))}"
        for kind in sorted(kinds - VOLUME_TYPES):
            yield volume.at(kind).path, f"is not an allowed volume type; use one of {', '.join(sorted(VOLUME_TYPES))}"


@container_rule(RESTRICTED, "Set securityContext.allowPrivilegeEscalation to false.")
def no_privilege_escalation(container: Container) -> Iterator[Violation]:
    """No process gains rights that its parent lacks."""
    field = container.at("securityContext", "allowPrivilegeEscalation")
    if field.value is not False:
        yield field.path, "is not forbidden; set it to false"


@container_rule(RESTRICTED, "Set securityContext.capabilities.drop to ALL and add at most NET_BIND_SERVICE.")
def no_capabilities(container: Container) -> Iterator[Violation]:
    """Containers drop all capabilities; only NET_BIND_SERVICE may come back."""
    capabilities = container.at("securityContext", "capabilities")
    if "ALL" not in (capabilities.at("drop").value or ()):
        yield capabilities.at("drop").path, "lacks ALL; drop every capability"
    for added in capabilities.at("add").elements():
        yield from only(added, ("NET_BIND_SERVICE",), "adds a capability other than NET_BIND_SERVICE; remove it")


@workload_rule(RESTRICTED, "Set securityContext.runAsNonRoot to true on the pod or on each container.")
def run_as_non_root(resource: Resource) -> Iterator[Violation]:
    """The kubelet refuses to start a container as root."""
    yield from only(pod(resource).at("securityContext", "runAsNonRoot"), (True,), "allows root; set it to true")
    for container in containers(resource):
        field = container.security("runAsNonRoot")
        if field.value is not True:
            own = container.at("securityContext", "runAsNonRoot")
            yield own.path, "does not forbid root; set it to true here or on the pod"


@workload_rule(RESTRICTED, "Set securityContext.runAsUser to a user other than 0.")
def no_root_user(resource: Resource) -> Iterator[Violation]:
    """No container names root as its user."""
    for context in _security_contexts(resource):
        field = context.at("runAsUser")
        if field.value == 0:
            yield field.path, "is root; name another user"


@workload_rule(RESTRICTED, "Set securityContext.seccompProfile.type to RuntimeDefault on the pod.")
def seccomp_profile(resource: Resource) -> Iterator[Violation]:
    """Seccomp filters the system calls of every container."""
    message = "does not filter system calls; set it to RuntimeDefault or Localhost"
    on_pod = pod(resource).at("securityContext", "seccompProfile", "type")
    yield from only(on_pod, PROFILES, message)
    for container in containers(resource):
        own = container.at("securityContext", "seccompProfile", "type")
        if (on_pod.value if own.value is None else own.value) not in PROFILES:
            yield own.path, message


@container_rule(IMMUTABLE, "Set securityContext.readOnlyRootFilesystem to true and mount an emptyDir to write to.")
def read_only_root_filesystem(container: Container) -> Iterator[Violation]:
    """Containers cannot change their own image."""
    field = container.at("securityContext", "readOnlyRootFilesystem")
    if field.value is not True:
        yield field.path, "leaves the root file system writable; set it to true and mount an emptyDir where it writes"


@container_rule(HIGH_IDS, f"Set securityContext.runAsUser to {LOWEST_ID} or above.")
def high_user_id(container: Container) -> Iterator[Violation]:
    """Containers run as a user that no node has."""
    yield from _low_id(container, "runAsUser")


@container_rule(HIGH_IDS, f"Set securityContext.runAsGroup to {LOWEST_ID} or above.")
def high_group_id(container: Container) -> Iterator[Violation]:
    """Containers run as a group that no node has."""
    yield from _low_id(container, "runAsGroup")


def _low_id(container: Container, key: str) -> Iterator[Violation]:
    identity = container.security(key)
    if identity.value is None or identity.value < LOWEST_ID:
        yield identity.path, f"may be an identity of the node; set it to {LOWEST_ID} or above"


@pod_rule(RESTRICTED, "Set enableServiceLinks to false.")
def no_service_links(spec: Node) -> Iterator[Violation]:
    """No container is told the addresses of every Service of its namespace."""
    field = spec.at("enableServiceLinks")
    if field.value is not False:
        yield field.path, "puts the addresses of all Services into the environment; set it to false"


@pod_rule(IMMUTABLE, "Set emptyDir.sizeLimit.")
def bounded_scratch(spec: Node) -> Iterator[Violation]:
    """What a pod may write beside its volumes has an end, so that it cannot fill the node's disk or memory."""
    for volume in spec.at("volumes").elements():
        scratch = volume.at("emptyDir")
        if scratch.value is not None and not scratch.at("sizeLimit").value:
            yield scratch.at("sizeLimit").path, "is not set, so it may fill the node; say how much"


RULES = (
    no_host_namespaces,
    no_host_process,
    no_privileged_container,
    no_host_port,
    no_probe_of_other_hosts,
    default_proc_mount,
    safe_sysctls,
    confined_selinux,
    confined_apparmor,
    restricted_volume_types,
    no_privilege_escalation,
    no_capabilities,
    run_as_non_root,
    no_root_user,
    seccomp_profile,
    read_only_root_filesystem,
    high_user_id,
    high_group_id,
    no_service_links,
    bounded_scratch,
)
