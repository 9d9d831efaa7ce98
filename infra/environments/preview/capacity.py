"""Whether there is room: autoscalers and quotas against what the pods ask for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import ceil
from typing import Any

from infra.environments.preview.objects import Objects, Pods, namespace_of

# Source: Kubernetes documentation, "Quantity".
_SUFFIXES = {"": Decimal(1), "m": Decimal("0.001")}
_SUFFIXES |= {suffix: Decimal(1000 ** (power + 1)) for power, suffix in enumerate("kMGTP")}
_SUFFIXES |= {f"{suffix}i": Decimal(1024 ** (power + 1)) for power, suffix in enumerate("KMGTP")}
_ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory", "ephemeral-storage": "requests.ephemeral-storage"}
_RESOURCES = ("cpu", "memory", "ephemeral-storage")
Usage = Mapping[str, Decimal]
# Kinds of autoscalers, and where they say the least and the most pods.
SCALERS = {
    "HorizontalPodAutoscaler": ("minReplicas", "maxReplicas"),
    "ScaledObject": ("minReplicaCount", "maxReplicaCount"),
}


def autoscalers(objects: Objects) -> Iterator[str]:
    """An autoscaler's target exists and leaves the number of its pods to it."""
    for key, scaler in objects.of(*SCALERS):
        spec = scaler["spec"]
        low, high = SCALERS[scaler["kind"]]
        target = spec["scaleTargetRef"]
        found = objects.get(target["kind"], namespace_of(scaler), target["name"])
        if found is None or found["apiVersion"] != target.get("apiVersion"):
            yield f"{key}: spec.scaleTargetRef: there is no {target['kind']} {target['name']}"
        elif "replicas" in found["spec"]:
            yield f"{key}: {target['kind']} {target['name']} declares spec.replicas, which would undo its scaling"
        if spec.get(low, 1) > spec[high]:
            yield f"{key}: spec.{low} is {spec[low]} but spec.{high} is {spec[high]}"


def quotas(objects: Objects) -> Iterator[str]:
    """A quota has room for every workload at its maximum, in the middle of a rollout."""
    for key, quota in objects.of("ResourceQuota"):
        needed = _needed(objects, namespace_of(quota))
        for name, limit in quota["spec"].get("hard", {}).items():
            need = needed.get(_ALIASES.get(name, name), Decimal(0))
            if need > amount(limit):
                yield f"{key}: spec.hard[{name}] is {limit} but the stack may need {_plain(need)}"


def amount(quantity: str | float) -> Decimal:
    """A Kubernetes quantity as a number."""
    found = re.fullmatch(r"([0-9.]+)(m|k|[KMGTP]i|[MGTP])?", str(quantity))
    if found is None:
        raise ValueError(f"{quantity!r} is not a quantity")
    return Decimal(found[1]) * _SUFFIXES[found[2] or ""]


def _needed(objects: Objects, namespace: str) -> Usage:
    total: defaultdict[str, Decimal] = defaultdict(Decimal)
    for pods in objects.pods:
        if pods.namespace == namespace and pods.kind != "DaemonSet":  # their number is that of the nodes
            count = most(objects, pods)
            total["pods"] += count
            for name, value in usage(pods).items():
                total[name] += value * count
            for claim in pods.controller.get("spec", {}).get("volumeClaimTemplates", []):
                total["requests.storage"] += storage(claim) * pods.controller["spec"].get("replicas", 1)
    for _, claim in objects.of("PersistentVolumeClaim"):
        if namespace_of(claim) == namespace:
            total["requests.storage"] += storage(claim)
    return total


def most(objects: Objects, pods: Pods) -> int:
    """The most pods of a controller at a time: at the autoscaler's maximum, and a rollout's surge."""
    spec = pods.controller.get("spec", {})
    count = int(spec.get("replicas", 1))
    for _, scaler in objects.of(*SCALERS):
        target = scaler["spec"]["scaleTargetRef"]
        same = namespace_of(scaler) == pods.namespace and (target["kind"], target["name"]) == (pods.kind, pods.name)
        if same:
            count = max(count, scaler["spec"][SCALERS[scaler["kind"]][1]])
    if pods.kind != "Deployment" or spec.get("strategy", {}).get("type") == "Recreate":
        return count
    surge = spec.get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", "25%")
    return count + (ceil(count * int(surge[:-1]) / 100) if isinstance(surge, str) else surge)


def usage(pods: Pods) -> Usage:
    """What one pod counts for: its containers together, or the largest init container if that is more."""
    usage: dict[str, Decimal] = {}
    for side in ("requests", "limits"):
        for resource in _RESOURCES:
            main = sum((_of(each, side, resource) for each in pods.spec.get("containers", [])), Decimal(0))
            before = pods.spec.get("initContainers", [])
            main += sum((_of(each, side, resource) for each in before if _sidecar(each)), Decimal(0))
            first = max((_of(each, side, resource) for each in before if not _sidecar(each)), default=Decimal(0))
            usage[f"{side}.{resource}"] = max(main, first)
    return usage


def _sidecar(container: Mapping[str, Any]) -> bool:
    return bool(container.get("restartPolicy") == "Always")


def _of(container: Mapping[str, Any], side: str, resource: str) -> Decimal:
    return amount(container.get("resources", {}).get(side, {}).get(resource, 0))


def storage(claim: Mapping[str, Any]) -> Decimal:
    """How large a claim is."""
    return amount(claim["spec"]["resources"]["requests"]["storage"])


def _plain(value: Decimal) -> str:
    if value >= 2**20 and value % 2**20 == 0:
        return f"{value // 2**20}Mi"
    return f"{value.normalize():f}"
