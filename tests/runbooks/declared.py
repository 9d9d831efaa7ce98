"""What prod declares, asked as a person at a terminal would: by kind, namespace, name, label, container and path."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.environments.recording import Recording
from infra.settings import NEWEST
from tests.conftest import NAME, Manifest, platform_of

# Everybody is told, so that what telling needs is there.
NOTIFICATIONS = {
    "heartbeat_url": "https://heartbeat.example/beat",
    "webhook_url": "https://incidents.example/alerts",
    "slack_token": "xoxb-0",
    "mail": {
        "host": "mail.example",
        "port": 587,
        "sender": "alerts@example.com",
        "recipients": ["oncall@example.com"],
        "username": "alerts",
        "password": "none",
    },
}
# What kubectl calls the kinds that pages may name: plural, singular, short.
KINDS = {
    "Pod": ("pods", "pod", "po"),
    "Deployment": ("deployments", "deployment", "deploy"),
    "StatefulSet": ("statefulsets", "statefulset", "sts"),
    "DaemonSet": ("daemonsets", "daemonset", "ds"),
    "ReplicaSet": ("replicasets", "replicaset", "rs"),
    "Job": ("jobs", "job"),
    "CronJob": ("cronjobs", "cronjob", "cj"),
    "Service": ("services", "service", "svc"),
    "EndpointSlice": ("endpointslices", "endpointslice"),
    "Ingress": ("ingresses", "ingress", "ing"),
    "NetworkPolicy": ("networkpolicies", "networkpolicy", "netpol"),
    "ConfigMap": ("configmaps", "configmap", "cm"),
    "Secret": ("secrets", "secret"),
    "PersistentVolumeClaim": ("persistentvolumeclaims", "persistentvolumeclaim", "pvc"),
    "PersistentVolume": ("persistentvolumes", "persistentvolume", "pv"),
    "StorageClass": ("storageclasses", "storageclass", "sc"),
    "HorizontalPodAutoscaler": ("horizontalpodautoscalers", "horizontalpodautoscaler", "hpa"),
    "PodDisruptionBudget": ("poddisruptionbudgets", "poddisruptionbudget", "pdb"),
    "ResourceQuota": ("resourcequotas", "resourcequota", "quota"),
    "ServiceAccount": ("serviceaccounts", "serviceaccount", "sa"),
    "Role": ("roles", "role"),
    "RoleBinding": ("rolebindings", "rolebinding"),
    "ClusterRole": ("clusterroles", "clusterrole"),
    "Event": ("events", "event", "ev"),
    "Node": ("nodes", "node", "no"),
    "Namespace": ("namespaces", "namespace", "ns"),
    "APIService": ("apiservices", "apiservice"),
}
CLUSTER_WIDE = {"Node", "Namespace", "PersistentVolume", "StorageClass", "ClusterRole", "APIService"}
# A cluster makes them itself: nobody declares them, and their names are not known.
MADE_BY_THE_CLUSTER = {"Event", "EndpointSlice", "ReplicaSet", "Node", "PersistentVolume", "StorageClass", "Job"}
NOT_OURS = ("kube-system", "default")


def kind_of(word: str) -> str | None:
    """`Deployment` of `deploy`, `deployment` or `deployments`."""
    return next((kind for kind, words in KINDS.items() if word.lower() in words), None)


class Declared:
    """A recording of a stack, with what only a cluster would add: the pods of its workloads."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.manifests = list(recording.manifests())
        self.namespaces = {each["metadata"]["name"] for each in self.manifests if each["kind"] == "Namespace"}

    def named(self, kind: str, namespace: str | None) -> dict[str, Manifest]:
        """The objects of a kind, by name; with the claims that StatefulSets will make."""
        return {
            each["metadata"]["name"]: each
            for each in [*self.manifests, *self._claims]
            if each["kind"] == kind and (kind in CLUSTER_WIDE or each["metadata"].get("namespace") == namespace)
        }

    @functools.cached_property
    def _claims(self) -> list[Manifest]:
        return [
            {
                "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": f"{claim['metadata']['name']}-{each['metadata']['name']}-{number}",
                    "namespace": each["metadata"]["namespace"],
                },
            }
            for each in self.manifests
            for claim in each.get("spec", {}).get("volumeClaimTemplates", [])
            for number in range(each["spec"].get("replicas", 1))
        ]

    def workloads(self, namespace: str | None = None) -> list[Manifest]:
        """What has pods, CronJobs among it."""
        found = [each for each in self.manifests if template(each)]
        return [each for each in found if namespace is None or each["metadata"]["namespace"] == namespace]

    def of_pod(self, namespace: str, pod: str) -> Manifest | None:
        """The workload of a pod whose name is known before it is there: a StatefulSet's."""
        for each in self.workloads(namespace):
            found = re.fullmatch(rf"{re.escape(each['metadata']['name'])}-(\d+)", pod)
            if each["kind"] == "StatefulSet" and found and int(found[1]) < each["spec"].get("replicas", 1):
                return each
        return None

    def selected(self, namespace: str, selector: str) -> list[Manifest]:
        """The workloads whose pods have these labels."""
        return [
            each
            for each in self.workloads(namespace)
            if all(template(each)["metadata"]["labels"].get(key) in values for key, values in _terms(selector))
        ]

    def values_of_none(self, namespace: str, selector: str) -> list[str]:
        """Parts of a selector that no pod meets."""
        return [
            f"{key}={value}"
            for key, values in _terms(selector)
            for value in values
            if not self.selected(namespace, f"{key}={value}")
        ]

    def files(self, workload: Manifest, mount: Mapping[str, Any]) -> Sequence[str] | None:
        """What a ConfigMap or Secret puts into a mount; None where files come from elsewhere."""
        spec = template(workload)["spec"]
        volume = next((each for each in spec.get("volumes", []) if each["name"] == mount["name"]), {})
        namespace = workload["metadata"]["namespace"]
        if "configMap" in volume:
            found = self.named("ConfigMap", namespace)[volume["configMap"]["name"]]
        elif "secret" in volume:
            found = self.named("Secret", namespace)[volume["secret"]["secretName"]]
        else:
            return None
        return [*(found.get("data") or {}), *(found.get("stringData") or {})]

    def has_path(self, workload: Manifest, container: Mapping[str, Any], path: str) -> bool:
        """Whether a container finds something there: a volume, and of one that is declared the very file."""
        for mount in container.get("volumeMounts", []):
            place = mount["mountPath"]
            if path == place:
                return True
            if path.startswith(f"{place}/") and "subPath" not in mount:
                files = self.files(workload, mount)
                return files is None or any(fnmatch.fnmatch(each, path[len(place) + 1 :]) for each in files)
        return False


def template(manifest: Manifest) -> Manifest:
    """The pod template of a workload; empty if it is none."""
    spec = manifest.get("spec", {})
    found: Manifest = spec.get("jobTemplate", {}).get("spec", {}).get("template") or spec.get("template") or {}
    return found if "spec" in found else {}


def containers(workload: Manifest) -> dict[str, Mapping[str, Any]]:
    """By name, the one that kubectl takes without being told first."""
    spec = template(workload)["spec"]
    return {each["name"]: each for each in (*spec["containers"], *spec.get("initContainers", []))}


def label_name(workload: Manifest) -> str:
    """The value of the label by which people select its pods."""
    return str(template(workload)["metadata"]["labels"][NAME])


def _terms(selector: str) -> Iterator[tuple[str, list[str]]]:
    """`a=b,c in (d, e)`."""
    for term in re.split(r",(?![^()]*\))", selector):
        if found := re.fullmatch(r"\s*([\w./-]+)\s+in\s+\(([^)]*)\)\s*", term):
            yield found[1], [each.strip() for each in found[2].split(",")]
        else:
            key, _, value = term.partition("=")
            yield key.strip(), [value.lstrip("=").strip()]


@functools.cache
def declared() -> Declared:
    """What prod declares when everybody is told, and while what was lost comes back."""
    return Declared(platform_of("prod", notifications=NOTIFICATIONS, recovery=NEWEST))
