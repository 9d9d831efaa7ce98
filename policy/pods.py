"""Where the pods are: in every kind of workload, down to each container."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from policy.kinds import CRON_JOB, DEPLOYMENT, JOB, STATEFUL_SET
from policy.model import UNKNOWN, Check, Control, Node, Resource, Rule, UnknownValueError, Violation

_TEMPLATE = ("spec", "template", "spec")

SPECS: dict[str, tuple[str, ...]] = {
    "kubernetes:apps/v1:DaemonSet": _TEMPLATE,
    DEPLOYMENT: _TEMPLATE,
    "kubernetes:apps/v1:ReplicaSet": _TEMPLATE,
    STATEFUL_SET: _TEMPLATE,
    CRON_JOB: ("spec", "jobTemplate", *_TEMPLATE),
    JOB: _TEMPLATE,
    "kubernetes:core/v1:Pod": ("spec",),
    "kubernetes:core/v1:PodTemplate": ("template", "spec"),
    "kubernetes:core/v1:ReplicationController": _TEMPLATE,
}
KINDS = frozenset(SPECS)

Role = Literal["main", "init", "ephemeral"]
_LISTS: dict[str, Role] = {"containers": "main", "initContainers": "init", "ephemeralContainers": "ephemeral"}


@dataclass(frozen=True)
class Container:
    """A container of a pod, with what it inherits from the pod."""

    node: Node
    pod: Node
    role: Role
    kind: str  # the Pulumi token of the workload

    def at(self, *keys: str) -> Node:
        """The place below the container."""
        return self.node.at(*keys)

    def security(self, key: str) -> Node:
        """The setting of the container's security context or else of the pod's."""
        own = self.at("securityContext", key)
        return own if own.raw is not None else self.pod.at("securityContext", key)

    @property
    def runs_on(self) -> bool:
        """Whether it is meant to run until it is stopped: not a job, and init containers only as sidecars."""
        if self.kind.startswith("kubernetes:batch/") or self.role == "ephemeral":
            return False
        if self.role == "init":
            return bool(self.at("restartPolicy").value == "Always")
        return self.pod.at("restartPolicy").value in (None, "Always")


def metadata(resource: Resource) -> Node:
    """The metadata of the pods of a workload."""
    return resource.root.at(*SPECS[resource.type][:-1], "metadata")


def pod(resource: Resource) -> Node:
    """The pod specification of a workload."""
    return resource.root.at(*SPECS[resource.type])


def containers(resource: Resource) -> Iterator[Container]:
    """Every container of a workload."""
    spec = pod(resource)
    for key, role in _LISTS.items():
        for node in spec.at(key).elements():
            yield Container(node, spec, role, resource.type)


def pod_rule(control: Control, remedy: str) -> Callable[[Callable[[Node], Iterator[Violation]]], Rule]:
    """Make a rule of a check of the pod specification; its name and summary are the function's."""
    return lambda check: _rule(check, control, remedy, lambda resource: check(pod(resource)))


def container_rule(control: Control, remedy: str) -> Callable[[Callable[[Container], Iterator[Violation]]], Rule]:
    """Make a rule of a check of one container. An unknown value in one leaves the others checked."""

    def decorate(check: Callable[[Container], Iterator[Violation]]) -> Rule:
        def check_all(resource: Resource) -> Iterator[Violation]:
            for container in containers(resource):
                try:
                    yield from check(container)
                except UnknownValueError as unknown:
                    yield unknown.path, UNKNOWN

        return _rule(check, control, remedy, check_all)

    return decorate


def workload_rule(control: Control, remedy: str) -> Callable[[Check], Rule]:
    """Make a rule of a check of the whole workload."""
    return lambda check: _rule(check, control, remedy, check)


def resource_rule(control: Control, remedy: str, *kinds: str, deferred: bool = False) -> Callable[[Check], Rule]:
    """Make a rule of a check of resources of these types."""
    return lambda check: replace(_rule(check, control, remedy, check), kinds=frozenset(kinds), deferred=deferred)


def _rule(named: Callable[..., object], control: Control, remedy: str, check: Check) -> Rule:
    return Rule(
        name=named.__name__.replace("_", "-"),
        summary=(named.__doc__ or "").strip(),
        control=control,
        remedy=remedy,
        kinds=KINDS,
        check=check,
    )


def only(field: Node, allowed: tuple[object, ...], message: str) -> Iterator[Violation]:
    """Find a value that is set and not among the allowed ones."""
    if field.value is not None and field.value not in allowed:
        yield field.path, message
