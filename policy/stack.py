"""A whole stack, for what no resource shows alone: who selects whom, what belongs to what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from policy.kinds import SCALED_OBJECT
from policy.model import Control, Finding, Node, Policy, Resource, Violation
from policy.pods import KINDS, metadata, pod

Made = TypeVar("Made")
STACK = "pulumi:pulumi:Stack"
# Kinds of autoscalers, and where they say the least and the most pods.
SCALERS = {
    "kubernetes:autoscaling/v2:HorizontalPodAutoscaler": ("minReplicas", "maxReplicas"),
    SCALED_OBJECT: ("minReplicaCount", "maxReplicaCount"),
}


@dataclass(frozen=True, eq=False)
class Pods:
    """The pods of one workload, all alike. Two are the same if they are of the same resource object."""

    resource: Resource

    @property
    def name(self) -> str:
        """The workload's name."""
        return str(self.resource.at("metadata", "name").value)

    @property
    def kind(self) -> str:
        """The workload's kind, such as Deployment."""
        return self.resource.type.rpartition(":")[2]

    @property
    def namespace(self) -> str:
        """Where they are."""
        return namespace_of(self.resource)

    @cached_property
    def labels(self) -> Mapping[str, str]:
        """By what they are selected."""
        return metadata(self.resource).at("labels").value or {}

    @cached_property
    def spec(self) -> Node:
        """What they are made of."""
        return pod(self.resource)

    @cached_property
    def ports(self) -> frozenset[tuple[str | None, int, str]]:
        """Name, number and protocol of what their containers listen on."""
        return frozenset(
            (port.at("name").value, int(port.at("containerPort").value), port.at("protocol").value or "TCP")
            for key in ("containers", "initContainers")
            for container in self.spec.at(key).elements()
            for port in container.at("ports").elements()
        )

    def numbers(self, port: object, protocol: str) -> set[int]:
        """The numbers of the ports of this name or number; all of the protocol where it names none."""
        return {number for name, number, spoken in self.ports if spoken == protocol and port in {None, name, number}}


@dataclass(frozen=True)
class Stack:
    """All resources of a stack. `environment` is the column of settings that it was made from."""

    environment: str
    resources: tuple[Resource, ...] = field(repr=False)
    _made: dict[Callable[[Stack], Any], Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, make: Callable[[Stack], Made]) -> Made:
        """What a function makes of the stack, worked out once for all that ask."""
        if make not in self._made:
            self._made[make] = make(self)
        made: Made = self._made[make]
        return made

    def of(self, *kinds: str) -> Iterator[Resource]:
        """The resources of these types."""
        return (resource for resource in self.resources if resource.type in kinds)

    def one(self, kind: str, name: object, namespace: str | None = None) -> Resource | None:
        """The Kubernetes object of this name, if the stack declares it."""
        return next(
            (
                each
                for each in self.of(kind)
                if each.at("metadata", "name").value == name and (namespace is None or namespace_of(each) == namespace)
            ),
            None,
        )

    def parts(self, resource: Resource, kind: str, property_: str) -> list[Resource]:
        """The resources of a type that name this one in a property: by what it was made from, or by value."""
        names = {resource.urn} - {""}
        value = resource.properties.get(property_)
        return [
            each
            for each in self.of(kind)
            if names & each.depends.get(property_, frozenset())
            or (isinstance(value, str) and each.properties.get(property_) == value)
        ]

    @cached_property
    def pods(self) -> tuple[Pods, ...]:
        """The pods of all workloads."""
        return tuple(Pods(resource) for resource in self.of(*KINDS))

    def selected(self, namespace: str, selector: Node) -> list[Pods]:
        """The pods of a namespace that a label selector matches; an empty one matches all."""
        return [each for each in self.pods if each.namespace == namespace and matches(selector, each.labels)]

    def scaler(self, pods: Pods) -> Resource | None:
        """The autoscaler that decides the number of these pods."""
        return next(
            (
                each
                for each in self.of(*SCALERS)
                if (found := self.scaled(each)) is not None and found.resource is pods.resource
            ),
            None,
        )

    def scaled(self, scaler: Resource) -> Pods | None:
        """The pods of which an autoscaler decides the number."""
        target = scaler.at("spec", "scaleTargetRef")
        wanted = (target.at("kind").value or "Deployment", target.at("name").value, namespace_of(scaler))
        return next((each for each in self.pods if (each.kind, each.name, each.namespace) == wanted), None)

    def count(self, pods: Pods) -> tuple[int, int]:
        """The least and the most pods of a workload."""
        scaler = self.scaler(pods)
        if scaler is not None:
            low, high = SCALERS[scaler.type]
            return int(scaler.at("spec", low).value or 1), int(scaler.at("spec", high).value)
        replicas = pods.resource.at("spec", "replicas").value
        count = 1 if replicas is None else int(replicas)
        return count, count


def namespace_of(resource: Resource) -> str:
    """The namespace of a Kubernetes object; empty where it has none."""
    return str(resource.at("metadata", "namespace").value or "")


def matches(selector: Node, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches these labels."""
    exact = selector.at("matchLabels").value or {}
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        _meets(expression.value, labels) for expression in selector.at("matchExpressions").elements()
    )


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


StackCheck = Callable[[Resource, Stack], Iterable[Violation]]


@dataclass(frozen=True, kw_only=True)
class StackRule(Policy):
    """A pure check of one resource among all of its stack."""

    check: StackCheck

    def findings(self, resource: Resource, stack: Stack) -> Iterator[Finding]:
        """What the rule finds in the resource, if it is about it."""
        if self.is_about(resource.type):
            yield from self.judged(resource, lambda: self.check(resource, stack))


def stack_rule(control: Control, remedy: str, *kinds: str) -> Callable[[StackCheck], StackRule]:
    """Make a rule of a check of one resource among all; its name and summary are the function's."""
    return lambda check: StackRule(
        name=check.__name__.replace("_", "-"),
        summary=(check.__doc__ or "").strip(),
        control=control,
        remedy=remedy,
        kinds=frozenset(kinds),
        check=check,
    )
