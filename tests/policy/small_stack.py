"""A small stack that keeps every rule: what each kind of object looks like when there is nothing to say about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from policy.model import Resource

NAMESPACE = "modelcard"
NAME = "app.kubernetes.io/name"
IMAGE = "docker.io/terragonlabs/app:1.4.2"
HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    "readOnlyRootFilesystem": True,
}
RESOURCES = {
    "requests": {"cpu": "250m", "memory": "256Mi", "ephemeral-storage": "100Mi"},
    "limits": {"memory": "512Mi", "ephemeral-storage": "1Gi"},
}
ACCOUNT, BUCKET, KEY = "123456789012", "modelcard-backups", "arn:aws:kms:eu-central-1:123456789012:key/1"


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:prod::test::{type_}::{name}"


def labels(name: str) -> dict[str, str]:
    return {
        NAME: name,
        "app.kubernetes.io/part-of": "modelcard",
        "app.kubernetes.io/component": name,
        "app.kubernetes.io/managed-by": "pulumi",
    }


def selecting(name: str) -> dict[str, Any]:
    return {"matchLabels": {NAME: name}}


def declared(
    type_: str,
    name: str,
    properties: Mapping[str, Any],
    *,
    keep: bool = False,
    depends: Mapping[str, str] | None = None,
) -> Resource:
    return Resource(
        type_,
        name,
        properties,
        urn=urn(type_, name),
        protect=keep,
        retain=keep,
        depends={key: frozenset({on}) for key, on in (depends or {}).items()},
    )


def kubernetes(
    kind: str,
    name: str,
    *,
    annotations: Mapping[str, str] | None = None,
    namespace: str | None = NAMESPACE,
    keep: bool = False,
    **properties: Any,
) -> Resource:
    metadata = {"name": name, "labels": labels(name), "annotations": dict(annotations or {})}
    if namespace:
        metadata["namespace"] = namespace
    return declared(f"kubernetes:{kind}", name, {"metadata": metadata, **properties}, keep=keep)


def pod(name: str, port: int, *, account: str | None = None, **changes: Any) -> dict[str, Any]:
    container = {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "Always",
        "command": ["serve"],
        "args": ["--password-file=/etc/modelcard/password", "--workers", "4"],
        "env": [
            {"name": "PORT", "value": str(port)},
            {"name": "DATABASE_URL", "value": "postgresql://app:$(PASSWORD)@database:5432/app"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "securityContext": HARDENED,
        "resources": RESOURCES,
        "volumeMounts": [{"name": "tls", "mountPath": "/run/secrets/tls", "readOnly": True}],
    }
    before = {
        "name": "migrate",
        "image": f"docker.io/terragonlabs/app@sha256:{'0' * 64}",
        "imagePullPolicy": "Always",
        "command": ["migrate"],
        "securityContext": HARDENED,
        "resources": RESOURCES,
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": account or name,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
            "sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
        },
        "topologySpreadConstraints": [
            {"topologyKey": key, "maxSkew": 1, "labelSelector": selecting(name)}
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ],
        "affinity": {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": selecting(name),
                        },
                    }
                ]
            }
        },
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            {"name": "tls", "secret": {"secretName": "tls", "defaultMode": 0o440}},
        ],
        "initContainers": [before],
        "containers": [container],
        **changes,
    }


def deployment(name: str, port: int, *, replicas: int | None, **changes: Any) -> Resource:
    spec = {
        "selector": selecting(name),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels(name), "annotations": {}}, "spec": pod(name, port, **changes)},
    }
    return kubernetes("apps/v1:Deployment", name, spec=spec if replicas is None else {**spec, "replicas": replicas})


def network_policy(name: str, spec: Mapping[str, Any]) -> Resource:
    return kubernetes("networking.k8s.io/v1:NetworkPolicy", name, spec=spec)


def ingress(target: str, port: int, *peers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "podSelector": selecting(target),
        "policyTypes": ["Ingress"],
        "ingress": [{"from": list(peers), "ports": [{"protocol": "TCP", "port": port}]}],
    }


def egress(client: str, peer: Mapping[str, Any], *ports: int) -> dict[str, Any]:
    return {
        "podSelector": selecting(client),
        "policyTypes": ["Egress"],
        "egress": [{"to": [peer], "ports": [{"protocol": "TCP", "port": port} for port in ports]}],
    }


def elsewhere(namespace: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


ANYWHERE = {"ipBlock": {"cidr": "0.0.0.0/0"}}
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"]
SUBJECT = {"kind": "ServiceAccount", "name": "watcher", "namespace": NAMESPACE}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}}
JOB = pod("backup", 9000, restartPolicy="Never")
JOB["containers"] = [
    {key: value for key, value in JOB["containers"][0].items() if not key.endswith("Probe") and key != "ports"}
]


def service(name: str, port: int) -> Resource:
    ports = [{"name": "http", "port": port, "targetPort": "http"}]
    return kubernetes("core/v1:Service", name, spec={"selector": {NAME: name}, "ports": ports})


def account(name: str) -> Resource:
    return kubernetes("core/v1:ServiceAccount", name, automountServiceAccountToken=False)


def budget(name: str) -> Resource:
    return kubernetes("policy/v1:PodDisruptionBudget", name, spec={"maxUnavailable": 1, "selector": selecting(name)})


CLUSTER = (
    kubernetes(
        "core/v1:Namespace",
        NAMESPACE,
        namespace=None,
        keep=True,
    ),
    network_policy("default-deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
    network_policy(
        "name-resolution",
        {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [
                {
                    "to": [{**elsewhere("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
                    "ports": [{"protocol": "UDP", "port": 53}],
                }
            ],
        },
    ),
    deployment("app", 8000, replicas=None),
    deployment("edge", 8080, replicas=2),
    deployment("watcher", 6443, replicas=2, automountServiceAccountToken=True),
    *(account(name) for name in ("app", "edge", "watcher", "backup")),
    *(budget(name) for name in ("app", "edge", "watcher")),
    service("app", 8000),
    service("edge", 8080),
    service("watcher", 6443),
    kubernetes(
        "autoscaling/v2:HorizontalPodAutoscaler",
        "app",
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "minReplicas": 2,
            "maxReplicas": 4,
        },
    ),
    kubernetes(
        "networking.k8s.io/v1:Ingress",
        "edge",
        spec={
            "tls": [{"hosts": ["modelcard.example.com"], "secretName": "tls"}],
            "rules": [
                {
                    "host": "modelcard.example.com",
                    "http": {"paths": [{"backend": {"service": {"name": "edge", "port": {"name": "http"}}}}]},
                }
            ],
        },
    ),
    network_policy("edge-from-outside", ingress("edge", 8080, elsewhere("ingress-nginx"))),
    network_policy("app-from-edge", ingress("app", 8000, {"podSelector": selecting("edge")})),
    network_policy("edge-to-app", egress("edge", {"podSelector": selecting("app")}, 8000)),
    network_policy("app-to-internet", egress("app", {"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE}}, 443)),
    network_policy("watcher-to-api", egress("watcher", ANYWHERE, 443, 6443)),
    network_policy("watcher-to-nodes", egress("watcher", ANYWHERE, 10250)),
    network_policy("watcher-from-api", ingress("watcher", 6443, ANYWHERE)),
    declared(
        "kubernetes:apiregistration.k8s.io/v1:APIService",
        "watcher",
        {"spec": {"service": {"name": "watcher", "namespace": NAMESPACE, "port": 6443}}},
    ),
    kubernetes(
        "rbac.authorization.k8s.io/v1:Role",
        "watcher",
        rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
    ),
    kubernetes(
        "rbac.authorization.k8s.io/v1:RoleBinding",
        "watcher",
        roleRef={"kind": "Role", "name": "watcher"},
        subjects=[SUBJECT],
    ),
    kubernetes(
        "rbac.authorization.k8s.io/v1:ClusterRole",
        "watcher-nodes",
        namespace=None,
        rules=[{"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]}],
    ),
    kubernetes(
        "rbac.authorization.k8s.io/v1:ClusterRoleBinding",
        "watcher-nodes",
        namespace=None,
        roleRef={"kind": "ClusterRole", "name": "watcher-nodes"},
        subjects=[SUBJECT],
    ),
    kubernetes(
        "core/v1:PersistentVolumeClaim", "data", annotations={"modelcard/backup": "database"}, keep=True, spec=CLAIM
    ),
    kubernetes(
        "apps/v1:StatefulSet",
        "store",
        annotations={"modelcard/backup": "none: it can be made again from the database"},
        spec={
            "replicas": 1,
            "selector": selecting("store"),
            "template": {"metadata": {"labels": labels("store")}, "spec": pod("store", 9000, account="app")},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": CLAIM}],
        },
    ),
    kubernetes(
        "batch/v1:CronJob",
        "backup",
        annotations={"modelcard/backs-up": "database, uploads"},
        spec={
            "schedule": "17 1 * * *",
            "timeZone": "UTC",
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 1800,
            "jobTemplate": {
                "spec": {
                    "activeDeadlineSeconds": 3600,
                    "backoffLimit": 2,
                    "template": {"metadata": {"labels": labels("backup")}, "spec": JOB},
                }
            },
        },
    ),
    kubernetes(
        "core/v1:ConfigMap",
        "config",
        data={"redis.conf": "maxmemory 96mb\n", "app.yaml": "password: ${PASSWORD}\npassword_file: /etc/password\n"},
    ),
)
ENFORCED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
CLUSTER[0].properties["metadata"]["labels"] |= ENFORCED  # type: ignore[index]


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def part(kind: str, name: str, **properties: Any) -> Resource:
    """What belongs to the bucket, named by its output, which is known only once there is one."""
    type_ = f"aws:s3/{kind[0].lower()}{kind[1:]}:{kind}"
    of = urn("aws:s3/bucket:Bucket", "logs" if name.startswith("logs") else "bucket")
    return declared(type_, name, {"bucket": f"{name}-id", **properties}, depends={"bucket": of})


TAGS = {"modelcard/part-of": "modelcard", "modelcard/managed-by": "pulumi"}
BY_TLS = {
    "Sid": "Tls",
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}
LOOKING_AFTER = {
    "Sid": "Administer",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
    "Action": "kms:Describe*",
    "Resource": "*",
}
WRITING = {"Sid": "Write", "Effect": "Allow", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/sets/*"}
TRUST = {
    "Sid": "Trust",
    "Effect": "Allow",
    "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example.com"},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {
        "StringEquals": {
            "oidc.example.com:sub": "system:serviceaccount:modelcard:backup",
            "oidc.example.com:aud": "sts.amazonaws.com",
        }
    },
}
BLOCKED = dict.fromkeys(("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True)
EXPIRY = {
    "status": "Enabled",
    "abortIncompleteMultipartUpload": {"daysAfterInitiation": 3},
    "noncurrentVersionExpiration": {"noncurrentDays": 30},
}
BUCKET_URN, KEY_URN = urn("aws:s3/bucket:Bucket", "bucket"), urn("aws:kms/key:Key", "key")


def guarded(name: str) -> tuple[Resource, ...]:
    """What every bucket has, of logs too."""
    return (
        part("BucketPublicAccessBlock", f"{name}-public-access", **BLOCKED),
        part("BucketVersioning", f"{name}-versioning", versioningConfiguration={"status": "Enabled"}),
        part("BucketOwnershipControls", f"{name}-ownership", rule={"objectOwnership": "BucketOwnerEnforced"}),
        part("BucketPolicy", f"{name}-policy", policy=document(BY_TLS)),
        part("BucketLifecycleConfiguration", f"{name}-lifecycle", rules=[EXPIRY]),
    )


CLOUD = (
    declared("aws:s3/bucket:Bucket", "bucket", {"bucket": BUCKET, "objectLockEnabled": True, "tags": TAGS}, keep=True),
    declared("aws:s3/bucket:Bucket", "logs", {"bucket": f"{BUCKET}-logs", "tags": TAGS}, keep=True),
    *guarded("bucket"),
    *guarded("logs"),
    declared(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "bucket-encryption",
        {
            "bucket": "bucket-id",
            "rules": [
                {
                    "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY},
                    "bucketKeyEnabled": True,
                }
            ],
        },
        depends={"bucket": BUCKET_URN},
    ),
    part(
        "BucketServerSideEncryptionConfiguration",
        "logs-encryption",
        rules=[{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}],
    ),
    part(
        "BucketObjectLockConfiguration",
        "bucket-lock",
        rule={"defaultRetention": {"mode": "COMPLIANCE", "days": 30}},
    ),
    part(
        "BucketReplicationConfig",
        "bucket-replication",
        rules=[{"status": "Enabled", "destination": {"bucket": "arn:aws:s3:::modelcard-elsewhere"}}],
    ),
    declared(
        "aws:s3/bucketLogging:BucketLogging",
        "bucket-logging",
        {"bucket": "bucket-id", "targetBucket": f"{BUCKET}-logs"},
        depends={"bucket": BUCKET_URN},
    ),
    declared(
        "aws:kms/key:Key",
        "key",
        {"enableKeyRotation": True, "deletionWindowInDays": 30, "policy": document(LOOKING_AFTER), "tags": TAGS},
        keep=True,
    ),
    declared("aws:kms/alias:Alias", "alias", {"name": f"alias/{BUCKET}"}),
    declared(
        "aws:iam/role:Role",
        "writer",
        {"name": "modelcard-writer", "assumeRolePolicy": document(TRUST), "tags": TAGS},
    ),
    declared(
        "aws:iam/policy:Policy", "writer", {"name": "modelcard-writer", "policy": document(WRITING), "tags": TAGS}
    ),
    declared(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "writer",
        {"role": "modelcard-writer", "policyArn": "later"},
        depends={"policyArn": urn("aws:iam/policy:Policy", "writer")},
    ),
)
SMALL = (*CLUSTER, *CLOUD)


def small() -> list[Resource]:
    """A copy of all of it, to change."""
    return [
        Resource(
            each.type,
            each.name,
            deepcopy(dict(each.properties)),
            urn=each.urn,
            protect=each.protect,
            retain=each.retain,
            depends=each.depends,
        )
        for each in SMALL
    ]
