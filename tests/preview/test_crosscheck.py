"""Each check catches its mistake in the platform itself, and finds nothing in the platform as it is."""

from __future__ import annotations

import copy

import pytest

from infra.environments.preview.capacity import amount
from infra.environments.preview.crosscheck import crosscheck
from infra.environments.preview.manifests import duplicates
from tests.conftest import STACKS

APP, EDGE, CACHE = (
    f"apps/v1/Deployment modelcard/{name}" for name in ("modelcard-generator", "edge-nginx", "cache-redis")
)
DATABASE = "apps/v1/StatefulSet modelcard/database-postgres"
SERVICE, INGRESS = "v1/Service modelcard/edge-nginx", "networking.k8s.io/v1/Ingress modelcard/edge"
HPA = "autoscaling/v2/HorizontalPodAutoscaler modelcard/modelcard-generator-hpa"
BUDGET, QUOTA = "policy/v1/PodDisruptionBudget modelcard/edge-nginx", "v1/ResourceQuota modelcard/quota"
POLICY = "networking.k8s.io/v1/NetworkPolicy modelcard/"
LABEL = "app.kubernetes.io/name"


def pod(objects, key):
    return objects[key]["spec"]["template"]["spec"]


def container(objects, key):
    return pod(objects, key)["containers"][0]


def rename(mapping, path, value):
    """Sets what is at the end of a path of keys and positions."""
    *steps, last = path
    for step in steps:
        mapping = mapping[step]
    mapping[last] = value


# What is broken (object, path, value) and the line that must appear.
BROKEN = {
    "selector": (
        APP,
        ("spec", "selector", "matchLabels", LABEL),
        "x",
        "spec.selector does not match the labels of its own",
    ),
    "selects others": (
        EDGE,
        ("spec", "selector", "matchLabels"),
        {"app.kubernetes.io/part-of": "modelcard"},
        "spec.selector matches the pods of",
    ),
    "pod labels": (
        DATABASE,
        ("spec", "template", "metadata", "labels", LABEL),
        "x",
        f"{DATABASE}: spec.selector does not",
    ),
    "spread": (
        APP,
        ("spec", "template", "spec", "topologySpreadConstraints", 0, "labelSelector", "matchLabels", LABEL),
        "x",
        "topologySpreadConstraints[0].labelSelector does not match",
    ),
    "affinity": (
        APP,
        (
            *("spec", "template", "spec", "affinity", "podAntiAffinity"),
            *("preferredDuringSchedulingIgnoredDuringExecution", 0, "podAffinityTerm", "labelSelector"),
        ),
        {"matchLabels": {"a": "b"}},
        "podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].labelSelector matches no pods",
    ),
    "budget": (BUDGET, ("spec", "selector", "matchLabels", LABEL), "x", f"{BUDGET}: spec.selector matches no pods"),
    "budget of all": (BUDGET, ("spec", "selector"), {}, f"{BUDGET}: spec.selector matches pods of several controllers"),
    "service selector": (SERVICE, ("spec", "selector", LABEL), "x", f"{SERVICE}: spec.selector matches no pods"),
    "service port": (SERVICE, ("spec", "ports", 0, "targetPort"), "web", f"goes to web, which is not a port of {EDGE}"),
    "set's service": (DATABASE, ("spec", "serviceName"), "x", "spec.serviceName: there is no Service x"),
    "set's other service": (
        DATABASE,
        ("spec", "serviceName"),
        "edge-nginx",
        "Service edge-nginx does not select its pods",
    ),
    "ingress service": (
        INGRESS,
        ("spec", "rules", 0, "http", "paths", 0, "backend", "service", "name"),
        "x",
        f"{INGRESS}: there is no Service x",
    ),
    "ingress port": (
        INGRESS,
        ("spec", "rules", 0, "http", "paths", 0, "backend", "service", "port"),
        {"number": 81},
        "Service edge-nginx has no port 81",
    ),
    "certificate": (
        INGRESS,
        ("spec", "tls", 0, "secretName"),
        "x",
        "there is no Secret x, and edge.tls_secret does not",
    ),
    "certificate's type": (
        INGRESS,
        ("spec", "tls", 0, "secretName"),
        "app-secrets",
        "is not of type kubernetes.io/tls",
    ),
    "scaler's target": (
        HPA,
        ("spec", "scaleTargetRef", "name"),
        "x",
        f"{HPA}: spec.scaleTargetRef: there is no Deployment x",
    ),
    "scaler's range": (HPA, ("spec", "minReplicas"), 21, "spec.minReplicas is 21 but spec.maxReplicas is 20"),
    "replicas": (APP, ("spec", "replicas"), 3, "declares spec.replicas"),
    "quota": (QUOTA, ("spec", "hard", "requests.cpu"), "1", "spec.hard[requests.cpu] is 1 but the stack may need"),
    "storage quota": (QUOTA, ("spec", "hard", "requests.storage"), "1Gi", "spec.hard[requests.storage] is 1Gi but"),
    "pods quota": (QUOTA, ("spec", "hard", "pods"), "1", "spec.hard[pods] is 1 but the stack may need"),
    "limits quota": (QUOTA, ("spec", "hard", "limits.memory"), "1Gi", "spec.hard[limits.memory] is 1Gi but"),
    "policy's pods": (
        f"{POLICY}edge-nginx",
        ("spec", "podSelector", "matchLabels", LABEL),
        "x",
        "edge-nginx: spec.podSelector matches no pods",
    ),
    "policy's port": (
        f"{POLICY}edge-nginx",
        ("spec", "ingress", 0, "ports", 0, "port"),
        81,
        "81 is not a port of edge-nginx",
    ),
    "policy's peer": (
        f"{POLICY}cache-redis",
        ("spec", "ingress", 0, "from", 0, "podSelector", "matchLabels", LABEL),
        "x",
        "cache-redis: ingress[0].from[0] matches no pods",
    ),
    "client's end": (
        f"{POLICY}modelcard-generator-to-cache-redis",
        ("spec", "egress"),
        [],
        "open on this end only: modelcard-generator may not call it",
    ),
    "target's end": (
        f"{POLICY}cache-redis",
        ("spec", "ingress"),
        [],
        "egress of cache-redis:6379 is open on this end only: cache-redis lets nobody in",
    ),
    "account": (APP, ("spec", "template", "spec", "serviceAccountName"), "x", "there is no ServiceAccount x"),
    "mount": (APP, ("spec", "template", "spec", "volumes"), [], "app: volumeMounts: there is no volume authority"),
    "namespace": (CACHE, ("metadata", "namespace"), "x", f"{CACHE}: metadata.namespace: the stack has no namespace x"),
}


@pytest.mark.parametrize("stack", STACKS)
def test_the_platform_fits_together(stacks, stack):
    assert crosscheck(stacks[stack].manifests) == []


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_a_field_that_does_not_fit_is_found(objects, case):
    key, path, value, expected = case
    rename(objects[key], path, value)
    found = crosscheck(objects)
    assert any(expected in line for line in found), found


def volume(objects, key, name):
    return next(each for each in pod(objects, key)["volumes"] if each["name"] == name)


POD_CHANGES = {
    "config map": (lambda o: volume(o, APP, "authority")["configMap"].update(name="x"), "there is no ConfigMap x"),
    "config map's key": (
        lambda o: volume(o, APP, "authority")["configMap"].update(items=[{"key": "x", "path": "x"}]),
        "volumes[authority]: ConfigMap app-config has no key x",
    ),
    "secret": (lambda o: volume(o, APP, "secrets")["secret"].update(secretName="x"), "there is no Secret x"),
    "secret's key": (
        lambda o: volume(o, APP, "secrets")["secret"].update(items=[{"key": "x", "path": "x"}]),
        "volumes[secrets]: Secret app-secrets has no key x",
    ),
    "projected": (
        lambda o: pod(o, APP)["volumes"].append({"name": "p", "projected": {"sources": [{"secret": {"name": "x"}}]}}),
        "volumes[p]: there is no Secret x",
    ),
    "claim": (
        lambda o: volume(o, APP, "uploads")["persistentVolumeClaim"].update(claimName="x"),
        "volumes[uploads]: there is no PersistentVolumeClaim x",
    ),
    "variable": (
        lambda o: container(o, APP)["env"].append(
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "app-secrets", "key": "x"}}}
        ),
        "app: env[A]: Secret app-secrets has no key x",
    ),
    "variables": (
        lambda o: container(o, APP).update(envFrom=[{"configMapRef": {"name": "x"}}]),
        "app: envFrom[0]: there is no ConfigMap x",
    ),
    "mounted twice": (
        lambda o: container(o, APP)["volumeMounts"].append({"name": "tmp", "mountPath": "/tmp"}),
        "app: volumeMounts: /tmp is mounted twice",
    ),
    "probe": (
        lambda o: container(o, APP)["livenessProbe"]["httpGet"].update(port="web"),
        "app: livenessProbe: the container has no port web",
    ),
    "renamed port": (
        lambda o: container(o, APP)["ports"][0].update(name="web"),
        f"goes to http, which is not a port of {APP}",
    ),
    "no account": (lambda o: o.pop("v1/ServiceAccount modelcard/edge-nginx"), "there is no ServiceAccount edge-nginx"),
}


@pytest.mark.parametrize("case", POD_CHANGES.values(), ids=POD_CHANGES)
def test_what_a_pod_names_must_exist(objects, case):
    change, expected = case
    change(objects)
    found = crosscheck(objects)
    assert any(expected in line for line in found), found


def test_an_optional_reference_may_be_missing(objects):
    volume(objects, APP, "secrets")["secret"].update(secretName="x", optional=True)
    assert not [line for line in crosscheck(objects) if "volumes[secrets]" in line]


def test_a_certificate_may_be_somebody_elses(objects):
    objects[INGRESS]["spec"]["tls"][0]["secretName"] = "x"
    assert not [line for line in crosscheck(objects, external_secrets=frozenset({"x"})) if "spec.tls" in line]


def test_a_namespace_of_somebody_else_needs_no_pods_of_ours(objects):
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    objects[f"{POLICY}edge-nginx"]["spec"]["ingress"][0]["from"] = [peer]
    assert not [line for line in crosscheck(objects) if "edge-nginx: ingress" in line]


def test_a_namespace_of_the_stack_needs_them(objects):
    selector = {"matchLabels": {"kubernetes.io/metadata.name": "modelcard"}}
    peer = {"namespaceSelector": selector, "podSelector": {"matchLabels": {"a": "b"}}}
    objects[f"{POLICY}edge-nginx"]["spec"]["ingress"][0]["from"] = [peer]
    assert any("edge-nginx: ingress[0].from[0] matches no pods" in line for line in crosscheck(objects))


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": LABEL, "operator": "In", "values": ["edge-nginx"]}, True),
        ({"key": LABEL, "operator": "NotIn", "values": ["edge-nginx"]}, False),
        ({"key": LABEL, "operator": "Exists"}, True),
        ({"key": LABEL, "operator": "DoesNotExist"}, False),
    ],
)
def test_selectors_may_be_expressions(objects, expression, fits):
    objects[EDGE]["spec"]["selector"]["matchExpressions"] = [expression]
    problems = [line for line in crosscheck(objects) if "does not match the labels of its own" in line]
    assert (problems == []) == fits


def test_two_objects_of_one_name_are_found(stacks):
    pairs = list(stacks["prod"].manifests.items())
    assert duplicates([*pairs, copy.deepcopy(pairs[0])]) == [
        f"{pairs[0][0]}: declared more than once: give each object a name of its own"
    ]


@pytest.mark.parametrize(("text", "value"), [("500m", "0.5"), ("2", "2"), ("1Ki", "1024"), ("1k", "1000"), (0, "0")])
def test_quantities(text, value):
    assert str(amount(text).normalize()) == str(type(amount(text))(value).normalize())
