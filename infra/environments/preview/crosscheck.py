"""What no schema sees: whether the objects of a stack fit each other.

Each check is a function from all objects to lines that say which object is wrong, where and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infra.environments.preview.capacity import autoscalers, quotas
from infra.environments.preview.connections import open_ends, policies
from infra.environments.preview.manifests import Manifest, Manifests
from infra.environments.preview.objects import Objects, Pods, matches, name_of, namespace_of
from infra.environments.preview.references import references

Check = Callable[[Objects], Iterator[str]]

CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "IngressClass",
        "Namespace",
        "PersistentVolume",
        "PriorityClass",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
)
# What lets a server of ours ask the API server who is calling; the role is Kubernetes' own.
_ELSEWHERE = {("RoleBinding", "kube-system")}
_ANTI_OR_NOT = ("podAffinity", "podAntiAffinity")


def crosscheck(manifests: Manifests, *, external_secrets: frozenset[str] = frozenset()) -> list[str]:
    """All that does not fit. `external_secrets` are Secrets that somebody else keeps in the stack's namespaces."""
    objects = Objects(manifests, external_secrets)
    return [line for check in CHECKS for line in check(objects)]


def namespaces(objects: Objects) -> Iterator[str]:
    """Every object is in a namespace of the stack, or of a kind that is in none."""
    for key, each in objects.of(*{each["kind"] for each in objects.manifests.values() if "kind" in each}):
        namespace = namespace_of(each)
        if each["kind"] in CLUSTER_SCOPED or (each["kind"], namespace) in _ELSEWHERE:
            continue
        if not namespace:
            yield f"{key}: metadata.namespace is missing"
        elif objects.get("Namespace", "", namespace) is None:
            yield f"{key}: metadata.namespace: the stack has no namespace {namespace}"


def controllers(objects: Objects) -> Iterator[str]:
    """A controller selects the pods that it makes, and no other controller's."""
    for pods in objects.pods:
        if pods.kind not in {"Deployment", "StatefulSet", "DaemonSet"}:
            continue
        selector = pods.controller["spec"].get("selector", {})
        if not matches(selector, pods.labels):
            yield f"{pods.key}: spec.selector does not match the labels of its own pod template"
        for other in objects.selected(pods.namespace, selector):
            if other.key != pods.key:
                yield f"{pods.key}: spec.selector matches the pods of {other.key} as well"


def placement(objects: Objects) -> Iterator[str]:
    """Topology spread counts the pods' own kind, and affinity speaks about pods that exist."""
    for pods in objects.pods:
        for position, constraint in enumerate(pods.spec.get("topologySpreadConstraints", [])):
            if not matches(constraint.get("labelSelector", {}), pods.labels):
                yield f"{pods.key}: topologySpreadConstraints[{position}].labelSelector does not match its own pods"
        for where, term in _affinity_terms(pods):
            if not objects.selected(pods.namespace, term.get("labelSelector", {})):
                yield f"{pods.key}: {where}.labelSelector matches no pods of the stack"


def _affinity_terms(pods: Pods) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for kind in _ANTI_OR_NOT:
        rules = pods.spec.get("affinity", {}).get(kind, {})
        for strength, terms in rules.items():
            for position, term in enumerate(terms):
                yield f"affinity.{kind}.{strength}[{position}]", term.get("podAffinityTerm", term)


def budgets(objects: Objects) -> Iterator[str]:
    """A PodDisruptionBudget selects the pods of one controller."""
    for key, budget in objects.of("PodDisruptionBudget"):
        found = objects.selected(namespace_of(budget), budget["spec"].get("selector", {}))
        if not found:
            yield f"{key}: spec.selector matches no pods of the stack"
        elif len(found) > 1:
            yield f"{key}: spec.selector matches pods of several controllers: {', '.join(each.name for each in found)}"


def services(objects: Objects) -> Iterator[str]:
    """A Service selects pods, and all of them have the ports that it sends to."""
    for key, service in objects.of("Service"):
        labels = service["spec"].get("selector")
        if not labels:
            continue
        found = objects.selected(namespace_of(service), {"matchLabels": labels})
        if not found:
            yield f"{key}: spec.selector matches no pods of the stack"
        for port in service["spec"].get("ports", []):
            target = port.get("targetPort", port["port"])
            for pods in found:
                if not pods.numbers(target, port.get("protocol", "TCP")):
                    yield f"{key}: port {port['port']} goes to {target}, which is not a port of {pods.key}"


def stateful_sets(objects: Objects) -> Iterator[str]:
    """A StatefulSet's Service exists and selects its pods."""
    for pods in objects.pods:
        if pods.kind != "StatefulSet":
            continue
        name = pods.controller["spec"].get("serviceName", "")
        service = objects.get("Service", pods.namespace, name)
        if service is None:
            yield f"{pods.key}: spec.serviceName: there is no Service {name}"
        elif not matches({"matchLabels": service["spec"].get("selector", {})}, pods.labels):
            yield f"{pods.key}: spec.serviceName: Service {name} does not select its pods"


def ingresses(objects: Objects) -> Iterator[str]:
    """An Ingress leads to ports of Services, and its certificates exist."""
    for key, ingress in objects.of("Ingress"):
        spec = ingress["spec"]
        backends = [path["backend"] for rule in spec.get("rules", []) for path in rule.get("http", {}).get("paths", [])]
        if "defaultBackend" in spec:
            backends.append(spec["defaultBackend"])
        for backend in backends:
            yield from _backend(objects, key, ingress, backend.get("service", {}))
        for tls in spec.get("tls", []):
            name = tls.get("secretName")
            if name in objects.external_secrets or name is None:
                continue
            secret = objects.get("Secret", namespace_of(ingress), name)
            if secret is None:
                yield f"{key}: spec.tls: there is no Secret {name}, and edge.tls_secret does not name it"
            elif secret.get("type") != "kubernetes.io/tls":
                yield f"{key}: spec.tls: Secret {name} is not of type kubernetes.io/tls"


def _backend(objects: Objects, key: str, ingress: Manifest, backend: Mapping[str, Any]) -> Iterator[str]:
    name, port = backend.get("name", ""), backend.get("port", {})
    service = objects.get("Service", namespace_of(ingress), name)
    if service is None:
        yield f"{key}: there is no Service {name}"
        return
    known = {value for each in service["spec"].get("ports", []) for value in (each.get("name"), each["port"])}
    wanted = port.get("name", port.get("number"))
    if wanted not in known:
        yield f"{key}: Service {name_of(service)} has no port {wanted}"


CHECKS: tuple[Check, ...] = (
    namespaces,
    controllers,
    placement,
    budgets,
    services,
    stateful_sets,
    ingresses,
    autoscalers,
    quotas,
    policies,
    open_ends,
    references,
)
