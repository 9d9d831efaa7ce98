"""Ways to break a platform that is in order: each is one careless edit of one resource, or one resource forgotten."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from policy.documents import ALL as DOCUMENTS
from policy.model import Resource
from policy.pods import SPECS

REMOVED = object()
MOST = 3  # places of one mutation that are tried, chosen by the seed: the hundredth container tells nothing new


@dataclass(frozen=True)
class Mutant:
    """A platform with one thing wrong: which mutation, in which resource, and what that is now (None: forgotten)."""

    mutation: str
    before: Resource
    after: Resource | None

    def __str__(self) -> str:
        return f"{self.mutation} | {self.before.type.rpartition(':')[2]} {self.before.name}"


@dataclass(frozen=True)
class Mutation:
    """An edit: of which kinds, where (`*` stands for each element), and to what."""

    kinds: str
    path: str
    value: Any

    def __str__(self) -> str:
        return f"{'remove' if self.value is REMOVED else 'set'} {self.path}" + (
            "" if self.value is REMOVED else f" to {str(self.value)[:30]}"
        )


CONTAINER = "$pod/containers/*"
INIT = "$pod/initContainers/*"
SECURITY = (
    *(
        (f"securityContext/{key}", REMOVED)
        for key in ("allowPrivilegeEscalation", "capabilities", "readOnlyRootFilesystem")
    ),
    ("securityContext/allowPrivilegeEscalation", True),
    ("securityContext/readOnlyRootFilesystem", False),
    ("securityContext/privileged", True),
    ("securityContext/runAsNonRoot", False),
    ("securityContext/runAsUser", 0),
    ("securityContext/runAsUser", 1000),
    ("securityContext/runAsGroup", 0),
    ("securityContext/capabilities/drop", []),
    ("securityContext/capabilities/add", ["SYS_ADMIN"]),
    ("securityContext/capabilities/add", ["NET_RAW"]),
    ("securityContext/seccompProfile", {"type": "Unconfined"}),
    ("securityContext/procMount", "Unmasked"),
    ("securityContext/seLinuxOptions", {"type": "spc_t"}),
    ("securityContext", REMOVED),
    ("resources", REMOVED),
    *(
        (f"resources/{side}/{name}", REMOVED)
        for side in ("requests", "limits")
        for name in ("memory", "ephemeral-storage")
    ),
    ("resources/requests/cpu", REMOVED),
    ("image", "nginx"),
    ("image", "docker.io/library/nginx:latest"),
    ("image", "docker.io/somebody/nginx:1.28.0"),
    ("imagePullPolicy", "IfNotPresent"),
    ("imagePullPolicy", REMOVED),
    ("command", REMOVED),
    ("ports/0/hostPort", 8080),
    ("env", [{"name": "API_KEY", "value": "hunter2hunter2"}]),
    ("env", [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}}]),
    ("envFrom", [{"secretRef": {"name": "database"}}]),
    ("args", ["--password=hunter2"]),
)
ALONE = "DaemonSet Deployment StatefulSet"
POD = (
    ("hostNetwork", True),
    ("hostPID", True),
    ("hostIPC", True),
    ("automountServiceAccountToken", REMOVED),
    ("serviceAccountName", "default"),
    ("enableServiceLinks", True),
    ("securityContext/runAsNonRoot", False),
    ("securityContext/seccompProfile", {"type": "Unconfined"}),
    ("securityContext/sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    ("volumes/+", {"name": "host", "hostPath": {"path": "/"}}),
    ("volumes/+", {"name": "docker", "hostPath": {"path": "/var/run/docker.sock"}}),
    ("volumes/+", {"name": "scratch", "emptyDir": {}}),
    ("volumes/*/secret/defaultMode", 0o644),
    ("volumes/*/emptyDir/sizeLimit", REMOVED),
)
RBAC = "ClusterRole Role"
OBJECTS = "ConfigMap CronJob Deployment NetworkPolicy PersistentVolumeClaim Secret Service ServiceAccount StatefulSet"
LABEL = "app.kubernetes.io~1name"
EDITS: tuple[Mutation, ...] = (
    *(Mutation("*", f"{CONTAINER}/{path}", value) for path, value in SECURITY),
    *(Mutation("*", f"{INIT}/{path}", value) for path, value in SECURITY if "security" in path or "resources" in path),
    *(Mutation("*", f"$pod/{path}", value) for path, value in POD),
    Mutation(ALONE, f"{CONTAINER}/livenessProbe", REMOVED),
    Mutation(ALONE, f"{CONTAINER}/readinessProbe", REMOVED),
    Mutation(ALONE, f"{CONTAINER}/livenessProbe/failureThreshold", 1),
    Mutation(ALONE, f"{CONTAINER}/readinessProbe/httpGet/host", "169.254.169.254"),
    Mutation(ALONE, "$pod/containers/0/volumeMounts/*/readOnly", False),
    Mutation("Deployment StatefulSet", "$pod/topologySpreadConstraints", REMOVED),
    Mutation("Deployment StatefulSet", "$pod/topologySpreadConstraints/0", REMOVED),
    Mutation("Deployment", "$pod/affinity", REMOVED),
    Mutation("Deployment", "spec/strategy", {"type": "Recreate"}),
    Mutation("Deployment", "spec/strategy/rollingUpdate/maxUnavailable", "50%"),
    Mutation("Deployment", "spec/replicas", 1),
    Mutation("Deployment StatefulSet", f"spec/selector/matchLabels/{LABEL}", "another"),
    Mutation("Deployment StatefulSet", f"spec/template/metadata/labels/{LABEL}", "another"),
    Mutation("Deployment StatefulSet", "spec/template/metadata/labels", REMOVED),
    Mutation("CronJob", "spec/concurrencyPolicy", "Allow"),
    Mutation("CronJob", "spec/startingDeadlineSeconds", REMOVED),
    Mutation("CronJob", "spec/jobTemplate/spec/activeDeadlineSeconds", REMOVED),
    Mutation("CronJob", "spec/jobTemplate/spec/backoffLimit", REMOVED),
    Mutation("CronJob", "$pod/restartPolicy", "Always"),
    Mutation("HorizontalPodAutoscaler", "spec/minReplicas", 1),
    Mutation("HorizontalPodAutoscaler", "spec/maxReplicas", 2),
    Mutation("HorizontalPodAutoscaler", "spec/maxReplicas", 5000),
    Mutation("HorizontalPodAutoscaler", "spec/scaleTargetRef/name", "gone"),
    Mutation("PodDisruptionBudget", "spec/maxUnavailable", 0),
    Mutation("PodDisruptionBudget", "spec/maxUnavailable", "100%"),
    Mutation("PodDisruptionBudget", "spec/maxUnavailable", REMOVED),
    Mutation("PodDisruptionBudget", f"spec/selector/matchLabels/{LABEL}", "gone"),
    Mutation("NetworkPolicy", "spec/policyTypes", REMOVED),
    Mutation("NetworkPolicy", "spec/ingress/*/from", REMOVED),
    Mutation("NetworkPolicy", "spec/ingress/*/from/+", {"namespaceSelector": {}}),
    Mutation("NetworkPolicy", "spec/ingress/*/from/+", {"ipBlock": {"cidr": "0.0.0.0/0"}}),
    Mutation("NetworkPolicy", "spec/ingress/*/from/*/podSelector", {}),
    Mutation("NetworkPolicy", "spec/ingress/*/ports", REMOVED),
    Mutation("NetworkPolicy", "spec/ingress/*/ports/0/port", 22),
    Mutation("NetworkPolicy", "spec/egress/*/to", REMOVED),
    Mutation("NetworkPolicy", "spec/egress/*/to/+", {"ipBlock": {"cidr": "0.0.0.0/0"}}),
    Mutation("NetworkPolicy", "spec/egress/*/to/*/podSelector", {}),
    Mutation("NetworkPolicy", "spec/egress/*/to/*/ipBlock/except", REMOVED),
    Mutation("NetworkPolicy", "spec/egress/*/ports", REMOVED),
    Mutation("NetworkPolicy", "spec/egress/*/ports/+", {"port": 22, "protocol": "TCP"}),
    Mutation("NetworkPolicy", f"spec/podSelector/matchLabels/{LABEL}", "gone"),
    Mutation("Service", "spec/type", "NodePort"),
    Mutation("Service", "spec/type", "LoadBalancer"),
    Mutation("Service", "spec/externalIPs", ["203.0.113.1"]),
    Mutation("Service", f"spec/selector/{LABEL}", "gone"),
    Mutation("Service", "spec/ports/0/targetPort", "nothing"),
    Mutation("Ingress", "spec/tls", REMOVED),
    Mutation("Ingress", "spec/rules/0/host", REMOVED),
    Mutation("Ingress", "spec/rules/0/host", "*.example.com"),
    Mutation(RBAC, "rules/*/verbs", ["*"]),
    Mutation(RBAC, "rules/*/resources", ["*"]),
    Mutation(RBAC, "rules/*/apiGroups", ["*"]),
    Mutation(RBAC, "rules/+", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}),
    Mutation(RBAC, "rules/+", {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}),
    Mutation(
        RBAC,
        "rules/+",
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["bind", "escalate"]},
    ),
    Mutation("ClusterRoleBinding RoleBinding", "roleRef", {"kind": "ClusterRole", "name": "cluster-admin"}),
    Mutation("ClusterRoleBinding RoleBinding", "subjects/0/name", "default"),
    Mutation("ClusterRoleBinding RoleBinding", "subjects/+", {"kind": "Group", "name": "system:authenticated"}),
    Mutation("ServiceAccount", "automountServiceAccountToken", True),
    Mutation("ServiceAccount", "automountServiceAccountToken", REMOVED),
    Mutation(OBJECTS, "metadata/namespace", "default"),
    Mutation(OBJECTS, "metadata/namespace", REMOVED),
    Mutation(OBJECTS, "metadata/name", REMOVED),
    Mutation(OBJECTS, "metadata/labels", REMOVED),
    Mutation("Namespace", "metadata/labels/pod-security.kubernetes.io~1enforce", "baseline"),
    Mutation("Namespace", "metadata/labels/pod-security.kubernetes.io~1enforce", REMOVED),
    Mutation("ConfigMap", "data/token", "hunter2hunter2"),
    Mutation("ConfigMap", "data/key.pem", "-----BEGIN PRIVATE KEY-----\nMIIE\n"),
    Mutation("PersistentVolumeClaim", "spec/resources/requests/storage", "9Ti"),
    Mutation("PersistentVolumeClaim StatefulSet", "metadata/annotations/modelcard~1backup", "none: no"),
    Mutation("PersistentVolumeClaim", "metadata/annotations/modelcard~1backup", REMOVED),
    Mutation("StatefulSet", "spec/persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Delete"}),
    *(
        Mutation("BucketPublicAccessBlock", key, value)
        for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        for value in (False, REMOVED)
    ),
    Mutation("BucketVersioning", "versioningConfiguration/status", "Suspended"),
    Mutation("BucketServerSideEncryptionConfiguration", "rules/*/bucketKeyEnabled", REMOVED),
    Mutation(
        "BucketServerSideEncryptionConfiguration",
        "rules/*/applyServerSideEncryptionByDefault",
        {"sseAlgorithm": "AES256"},
    ),
    Mutation("BucketOwnershipControls", "rule/objectOwnership", "ObjectWriter"),
    Mutation("BucketLifecycleConfiguration", "rules/0/status", "Disabled"),
    Mutation("BucketLifecycleConfiguration", "rules/0/abortIncompleteMultipartUpload", REMOVED),
    Mutation("BucketLifecycleConfiguration", "rules/0/noncurrentVersionExpiration", REMOVED),
    Mutation("BucketObjectLockConfiguration", "rule", REMOVED),
    Mutation("BucketReplicationConfig", "rules/0/status", "Disabled"),
    Mutation("Bucket", "objectLockEnabled", False),
    Mutation("Bucket", "forceDestroy", True),
    Mutation("Bucket Key Role", "tags", REMOVED),
    Mutation("Bucket", "bucket", REMOVED),
    Mutation("Key", "enableKeyRotation", False),
    Mutation("Key", "enableKeyRotation", REMOVED),
    Mutation("Key", "deletionWindowInDays", 7),
    Mutation("Key", "isEnabled", False),
    Mutation("aws:iam/role:Role", "managedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]),
)
# Whose absence nobody sees at once, and everybody one day.
FORGOTTEN = (
    "NetworkPolicy",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "kubernetes:rbac.authorization.k8s.io/v1:Role",
    "ClusterRole",
    "BucketPublicAccessBlock",
    "BucketVersioning",
    "BucketServerSideEncryptionConfiguration",
    "BucketOwnershipControls",
    "BucketPolicy",
    "BucketLifecycleConfiguration",
    "BucketObjectLockConfiguration",
    "BucketReplicationConfig",
    "BucketLogging",
)
# Edges whose other end is nobody's to judge: without them the pod asks in vain, which is safe, and tests see it.
SAFE_TO_FORGET = ("name-resolution", "-to-internet", "-to-api", "-to-nodes", "-from-api", "-from-keda", "edge-nginx")
STATEMENTS: Mapping[str, Mapping[str, Any]] = {
    "everything": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    "every action of S3": {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::modelcard-backups/*"},
    "any bucket": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
    "passing roles": {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::123456789012:role/x"},
    "writing policies": {"Effect": "Allow", "Action": "iam:PutRolePolicy", "Resource": "*"},
}
EVERYBODY: Mapping[str, Any] = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": ["s3:GetObject", "kms:Decrypt"],
    "Resource": "*",
}


def mutants(platform: Sequence[Resource], *, most: int = MOST, seed: int = 1) -> list[Mutant]:
    """All mutants of a platform, of each mutation at most so many, chosen by the seed."""
    chosen = random.Random(seed)  # noqa: S311 (a choice that can be repeated)
    found: list[Mutant] = []
    for group in _groups(platform):
        places = list(group)
        found += places if len(places) <= most else chosen.sample(places, most)
    return found


def _groups(platform: Sequence[Resource]) -> Iterator[Iterator[Mutant]]:
    for mutation in EDITS:
        yield _edited(platform, mutation)
    for kind in FORGOTTEN:
        yield _forgotten(platform, kind)
    for name, statement in STATEMENTS.items():
        yield _documented(
            platform,
            name,
            ("Policy", "RolePolicy"),
            lambda old, new=statement: {**old, "Statement": [*old["Statement"], new]},
        )
    yield _documented(
        platform, "everybody", ("BucketPolicy", "Key"), lambda old: {**old, "Statement": [*old["Statement"], EVERYBODY]}
    )
    yield _documented(
        platform, "no statement", ("BucketPolicy",), lambda old: {**old, "Statement": old["Statement"][1:]}
    )
    yield _documented(
        platform,
        "no condition",
        ("Role",),
        lambda old: {**old, "Statement": [_open(each) for each in old["Statement"]]},
    )
    for option in ("protect", "retain"):
        yield (
            Mutant(f"{option} is off", each, replace(each, **{option: False}))
            for each in platform
            if getattr(each, option) and each.type.endswith((":PersistentVolumeClaim", ":Namespace", ":Bucket", ":Key"))
        )


def _open(statement: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in statement.items() if key != "Condition"}


def _edited(platform: Sequence[Resource], mutation: Mutation) -> Iterator[Mutant]:
    wanted = mutation.kinds.split()
    for resource in platform:
        kind = resource.type.rpartition(":")[2]
        if not {kind, resource.type, "*"} & set(wanted):
            continue
        path = mutation.path
        if path.startswith("$pod"):
            if resource.type not in SPECS:
                continue
            path = "/".join(SPECS[resource.type]) + path.removeprefix("$pod")
        for place in _places(resource.properties, path.split("/"), mutation.value):
            after = deepcopy(dict(resource.properties))
            if _apply(after, place, mutation.value):
                yield Mutant(str(mutation), resource, replace(resource, properties=after))


def _places(value: Any, path: Sequence[str], to: object) -> Iterator[tuple[Any, ...]]:
    """The places that a path names, and that there are: its last step may be new where something is set."""
    if not path:
        yield ()
        return
    step, rest = path[0].replace("~1", "/"), path[1:]
    if step == "+":
        yield from [(step,)] if isinstance(value, list) else []
    elif isinstance(value, list):
        for position in range(len(value)) if step == "*" else {int(step)} & set(range(len(value))):
            yield from ((position, *below) for below in _places(value[position], rest, to))
    elif isinstance(value, dict):
        if rest and step in value:
            yield from ((step, *below) for below in _places(value[step], rest, to))
        elif not rest and (to is not REMOVED or step in value):
            yield (step,)


def _apply(properties: dict[str, Any], place: tuple[Any, ...], value: Any) -> bool:
    """Make the edit; tell whether it changed anything."""
    before = deepcopy(properties)
    target: Any = properties
    for step in place[:-1]:
        target = target[step]
    if place[-1] == "+":
        target += [value] if value not in target else []
    elif value is REMOVED:
        del target[place[-1]]
    else:
        target[place[-1]] = value
    return properties != before


def _forgotten(platform: Sequence[Resource], kind: str) -> Iterator[Mutant]:
    for resource in platform:
        if kind in {resource.type, resource.type.rpartition(":")[2]} and not resource.name.endswith(SAFE_TO_FORGET):
            yield Mutant(f"forget {kind.rpartition(':')[2]}", resource, None)


def _documented(
    platform: Sequence[Resource], name: str, kinds: Sequence[str], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> Iterator[Mutant]:
    for resource in platform:
        key = DOCUMENTS.get(resource.type)
        if key and resource.type.rpartition(":")[2] in kinds and isinstance(resource.properties.get(key), str):
            before = json.loads(resource.properties[key])
            if (after := change(before)) != before:
                changed = {**resource.properties, key: json.dumps(after)}
                title = f"allow {name}" if name[:2] != "no" else name
                yield Mutant(title, resource, replace(resource, properties=changed))
