"""Whether what a pod names exists: ConfigMaps, Secrets, claims, accounts, volumes and ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.environments.preview.objects import Objects, Pods

_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
# The kind that a field of an environment variable, of `envFrom` or of a volume refers to.
_VARIABLE = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
_SOURCE = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
_VOLUME = {"configMap": "ConfigMap", "secret": "Secret"}
_KEYS = {"ConfigMap": ("data", "binaryData"), "Secret": ("data", "stringData")}


def references(objects: Objects) -> Iterator[str]:
    """Everything that pods refer to is in the stack."""
    for pods in objects.pods:
        account = pods.spec.get("serviceAccountName", "default")
        if account != "default" and objects.get("ServiceAccount", pods.namespace, account) is None:
            yield f"{pods.key}: serviceAccountName: there is no ServiceAccount {account}"
        yield from _volumes(objects, pods)
        for container in pods.containers:
            where = f"{pods.key}: {container['name']}"
            yield from (f"{where}: {problem}" for problem in _environment(objects, pods, container))
            yield from (f"{where}: {problem}" for problem in _mounts(pods, container))
            yield from (f"{where}: {problem}" for problem in _probes(container))


def _volumes(objects: Objects, pods: Pods) -> Iterator[str]:
    for volume in pods.spec.get("volumes", []):
        where = f"{pods.key}: volumes[{volume['name']}]"
        for source in (volume, *volume.get("projected", {}).get("sources", [])):
            for field, kind in _VOLUME.items():
                if reference := source.get(field):
                    wanted = [item["key"] for item in reference.get("items", [])]
                    yield from (f"{where}: {problem}" for problem in _missing(objects, pods, kind, reference, wanted))
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim and objects.get("PersistentVolumeClaim", pods.namespace, claim) is None:
            yield f"{where}: there is no PersistentVolumeClaim {claim}"


def _environment(objects: Objects, pods: Pods, container: Mapping[str, Any]) -> Iterator[str]:
    for variable in container.get("env", []):
        for field, reference in variable.get("valueFrom", {}).items():
            if kind := _VARIABLE.get(field):
                problems = _missing(objects, pods, kind, reference, [reference["key"]])
                yield from (f"env[{variable['name']}]: {problem}" for problem in problems)
    for position, source in enumerate(container.get("envFrom", [])):
        for field, reference in source.items():
            if kind := _SOURCE.get(field):
                yield from (
                    f"envFrom[{position}]: {problem}" for problem in _missing(objects, pods, kind, reference, [])
                )


def _missing(objects: Objects, pods: Pods, kind: str, reference: Mapping[str, Any], wanted: list[str]) -> Iterator[str]:
    if reference.get("optional"):
        return
    name = reference.get("name", reference.get("secretName", ""))
    found = objects.get(kind, pods.namespace, name)
    if found is None:
        yield f"there is no {kind} {name}"
        return
    contents = [found[field] for field in _KEYS[kind] if field in found]
    if not all(isinstance(content, Mapping) for content in contents):
        return  # masked as a whole: its keys cannot be told
    known = {key for content in contents for key in content}
    yield from (f"{kind} {name} has no key {key}" for key in wanted if key not in known)


def _mounts(pods: Pods, container: Mapping[str, Any]) -> Iterator[str]:
    volumes = {volume["name"] for volume in pods.spec.get("volumes", [])}
    volumes |= {claim["metadata"]["name"] for claim in pods.controller.get("spec", {}).get("volumeClaimTemplates", [])}
    paths: set[str] = set()
    for mount in container.get("volumeMounts", []):
        if mount["name"] not in volumes:
            yield f"volumeMounts: there is no volume {mount['name']}"
        if mount["mountPath"] in paths:
            yield f"volumeMounts: {mount['mountPath']} is mounted twice"
        paths.add(mount["mountPath"])


def _probes(container: Mapping[str, Any]) -> Iterator[str]:
    named = {port.get("name") for port in container.get("ports", [])}
    asked = {probe: container[probe] for probe in _PROBES if probe in container}
    asked |= {f"lifecycle.{hook}": action for hook, action in container.get("lifecycle", {}).items()}
    for probe, action in asked.items():
        for how in ("httpGet", "tcpSocket"):
            port = action.get(how, {}).get("port")
            if isinstance(port, str) and port not in named:
                yield f"{probe}: the container has no port {port}"
