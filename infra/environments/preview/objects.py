"""The objects of a stack as a cluster would see them: which pods there are, and whom a selector selects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra.environments.preview.manifests import Manifest, Manifests

_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Pod": (),
}


@dataclass(frozen=True, kw_only=True)
class Pods:
    """The pods of one controller, all alike."""

    key: str
    kind: str
    name: str
    namespace: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    controller: Manifest

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """Main and init containers."""
        return [*self.spec.get("containers", []), *self.spec.get("initContainers", [])]

    @property
    def ports(self) -> list[Mapping[str, Any]]:
        """The declared ports of all containers."""
        return [port for container in self.containers for port in container.get("ports", [])]

    def numbers(self, port: int | str, protocol: str = "TCP") -> set[int]:
        """The declared ports of this name or number."""
        return {
            each["containerPort"]
            for each in self.ports
            if each.get("protocol", "TCP") == protocol and port in {each.get("name"), each["containerPort"]}
        }


@dataclass(frozen=True)
class Objects:
    """The manifests, indexed. `external_secrets` are Secrets that others keep in the namespace."""

    manifests: Manifests
    external_secrets: frozenset[str] = frozenset()

    def of(self, *kinds: str) -> Iterator[tuple[str, Manifest]]:
        """Objects of these kinds, with their keys."""
        return ((name, each) for name, each in self.manifests.items() if each.get("kind") in kinds)

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """The object of this name, if the stack declares it."""
        return self._named.get((kind, namespace, name))

    @cached_property
    def _named(self) -> dict[tuple[str, str, str], Manifest]:
        return {(each["kind"], namespace_of(each), name_of(each)): each for _, each in self.of(*self._kinds)}

    @cached_property
    def _kinds(self) -> set[str]:
        return {each["kind"] for each in self.manifests.values() if "kind" in each}

    @cached_property
    def pods(self) -> list[Pods]:
        """The pods of all controllers."""
        return [
            Pods(
                key=key,
                kind=each["kind"],
                name=name_of(each),
                namespace=namespace_of(each),
                labels=template.get("metadata", {}).get("labels", {}),
                spec=template.get("spec", {}),
                controller=each,
            )
            for key, each in self.of(*_TEMPLATES)
            for template in [_below(each, _TEMPLATES[each["kind"]])]
        ]

    def selected(self, namespace: str, selector: Mapping[str, Any]) -> list[Pods]:
        """The pods of a namespace that a label selector matches; an empty one matches all."""
        return [each for each in self.pods if each.namespace == namespace and matches(selector, each.labels)]

    def namespaces(self, selector: Mapping[str, Any]) -> list[str]:
        """The stack's namespaces that a label selector matches."""
        return [
            name_of(each)
            for _, each in self.of("Namespace")
            if matches(selector, {"kubernetes.io/metadata.name": name_of(each), **each["metadata"].get("labels", {})})
        ]


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches these labels."""
    exact = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        _meets(expression, labels) for expression in selector.get("matchExpressions", [])
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


def name_of(manifest: Manifest) -> str:
    """The object's name."""
    return str(manifest.get("metadata", {}).get("name", "?"))


def namespace_of(manifest: Manifest) -> str:
    """The object's namespace; empty if it has none."""
    return str(manifest.get("metadata", {}).get("namespace", ""))


def _below(manifest: Manifest, path: tuple[str, ...]) -> Mapping[str, Any]:
    for step in path:
        manifest = manifest.get(step, {})
    return manifest
