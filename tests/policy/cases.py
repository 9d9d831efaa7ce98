"""The changes to the small stack that break a rule each: where, to what, and which rule says so."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from policy.model import Resource
from tests.policy.small_stack import (
    ACCOUNT,
    ANYWHERE,
    BLOCKED,
    BUCKET,
    BY_TLS,
    EXPIRY,
    LOOKING_AFTER,
    NAME,
    SMALL,
    SUBJECT,
    TRUST,
    WRITING,
    document,
    egress,
    elsewhere,
    network_policy,
    selecting,
)

REMOVED = object()


@dataclass(frozen=True)
class Case:
    """One change: the place in one resource of the small stack (its type's end and name), a value, the broken rule.

    An empty path is the resource itself: removed, or added if the value is one. `options` are the resource's.
    """

    rule: str
    resource: str
    path: tuple[str, ...]
    value: Any
    options: bool = False

    def __str__(self) -> str:
        value = "removed" if self.value is REMOVED else str(self.value)[:24].strip()
        return f"{self.rule}: {self.resource}.{'.'.join(self.path[-3:])}={value}"

    @property
    def has_place(self) -> bool:
        """Whether there is a place that could be unknown or secret."""
        return bool(self.path) and not self.options

    @property
    def has_value(self) -> bool:
        """Whether the change sets a value rather than removing one."""
        return self.has_place and self.value is not REMOVED

    @property
    def compliant(self) -> Resource:
        """The resource before the change."""
        return next(each for each in SMALL if _is(each, self.resource))

    @property
    def violating(self) -> list[Resource]:
        """The small stack with the change made."""
        return self.changed(self.value)

    def changed(self, value: object) -> list[Resource]:
        """The small stack with another value at the same place; the changed resource comes last."""
        if isinstance(value, Resource):
            return [*SMALL, value]
        others = [each for each in SMALL if not _is(each, self.resource)]
        if not self.path:
            return others
        if self.options:
            return [*others, replace(deepcopy(self.compliant), **{self.path[0]: value})]
        return [*others, self._with(value)]

    def _with(self, value: object) -> Resource:
        resource = deepcopy(self.compliant)
        place: Any = resource.properties
        for key, following in zip(self.path[:-1], self.path[1:], strict=True):
            missing: Any = [] if following == "+" else {}
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, missing)
        key = self.path[-1]
        if key == "+":
            place.append(value)
        elif value is REMOVED:
            del place[int(key) if isinstance(place, list) else key]
        else:
            place[int(key) if isinstance(place, list) else key] = value
        return resource


def _is(resource: Resource, wanted: str) -> bool:
    return f":{resource.type.rpartition(':')[2]}::{resource.name}".endswith(f":{wanted}")


def change(rule: str, resource: str, path: str, value: object) -> Case:
    return Case(rule, resource, tuple(path.split("/")), value)


def removed(rule: str, resource: str) -> Case:
    return Case(rule, resource, (), REMOVED)


def added(rule: str, resource: Resource) -> Case:
    return Case(rule, str(resource.name), (), resource)


def option(rule: str, resource: str, name: str) -> Case:
    return Case(rule, resource, (name,), value=False, options=True)


def _pod(rule: str, path: str, value: object) -> Case:
    return change(rule, "Deployment::app", f"spec/template/spec/{path}", value)


def _app(rule: str, path: str, value: object) -> Case:
    return _pod(rule, f"containers/0/{path}", value)


def _init(rule: str, path: str, value: object) -> Case:
    return _pod(rule, f"initContainers/0/{path}", value)


def _config(key: str, text: object) -> Case:
    return Case("no-secret-in-config-map", "ConfigMap::config", ("data", key), text)


def _annotation(rule: str, resource: str, key: str, value: object) -> Case:
    return Case(rule, resource, ("metadata", "annotations", key), value)


def _granted(rule: str, **changes: object) -> Case:
    """The writer's policy, changed."""
    return change(rule, "Policy::writer", "policy", document({**WRITING, **changes}))


def _trusting(rule: str, **changes: object) -> Case:
    return change(rule, "Role::writer", "assumeRolePolicy", document({**TRUST, **changes}))


SECRET_ENV = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}}
PODS = [
    _pod("has-containers", "containers", REMOVED),
    _pod("has-containers", "containers", []),
    _pod("no-host-namespaces", "hostNetwork", True),
    _pod("no-host-namespaces", "hostPID", True),
    _pod("no-host-namespaces", "hostIPC", True),
    _pod("no-host-process", "securityContext/windowsOptions", {"hostProcess": True}),
    _app("no-privileged-container", "securityContext/privileged", True),
    _init("no-privileged-container", "securityContext/privileged", True),
    _app("no-host-port", "ports/0/hostPort", 8000),
    _app("no-probe-of-other-hosts", "readinessProbe/httpGet/host", "169.254.169.254"),
    _app("no-probe-of-other-hosts", "lifecycle/preStop/tcpSocket/host", "169.254.169.254"),
    _app("default-proc-mount", "securityContext/procMount", "Unmasked"),
    _pod("safe-sysctls", "securityContext/sysctls/+", {"name": "kernel.msgmax", "value": "1"}),
    _pod("confined-selinux", "securityContext/seLinuxOptions/type", "spc_t"),
    _app("confined-selinux", "securityContext/seLinuxOptions/user", "system_u"),
    _pod("confined-apparmor", "securityContext/appArmorProfile/type", "Unconfined"),
    Case(
        "confined-apparmor",
        "Deployment::app",
        ("spec", "template", "metadata", "annotations", "container.apparmor.security.beta.kubernetes.io/app"),
        "unconfined",
    ),
    _pod("restricted-volume-types", "volumes/+", {"name": "host", "hostPath": {"path": "/"}}),
    _pod("restricted-volume-types", "volumes/+", {"name": "share", "nfs": {"server": "nfs", "path": "/"}}),
    _pod("restricted-volume-types", "volumes/+", {"name": "nothing"}),
    _app("no-privilege-escalation", "securityContext/allowPrivilegeEscalation", True),
    _app("no-privilege-escalation", "securityContext/allowPrivilegeEscalation", REMOVED),
    _init("no-privilege-escalation", "securityContext", REMOVED),
    _app("no-capabilities", "securityContext/capabilities", REMOVED),
    _app("no-capabilities", "securityContext/capabilities/drop", ["NET_RAW"]),
    _app("no-capabilities", "securityContext/capabilities/add/+", "SYS_ADMIN"),
    _pod("run-as-non-root", "securityContext/runAsNonRoot", False),
    _pod("run-as-non-root", "securityContext/runAsNonRoot", REMOVED),
    _init("run-as-non-root", "securityContext/runAsNonRoot", False),
    _pod("no-root-user", "securityContext/runAsUser", 0),
    _app("no-root-user", "securityContext/runAsUser", 0),
    _pod("seccomp-profile", "securityContext/seccompProfile", REMOVED),
    _app("seccomp-profile", "securityContext/seccompProfile/type", "Unconfined"),
    _app("read-only-root-filesystem", "securityContext/readOnlyRootFilesystem", False),
    _init("read-only-root-filesystem", "securityContext/readOnlyRootFilesystem", REMOVED),
    _pod("high-user-id", "securityContext/runAsUser", 1000),
    _app("high-user-id", "securityContext/runAsUser", 10000),
    _pod("high-group-id", "securityContext/runAsGroup", REMOVED),
    _pod("no-service-links", "enableServiceLinks", True),
    _pod("no-service-links", "enableServiceLinks", REMOVED),
    _pod("bounded-scratch", "volumes/0/emptyDir", {}),
    _pod("bounded-scratch", "volumes/0/emptyDir/sizeLimit", REMOVED),
    *(
        _app("pinned-image", "image", image)
        for image in (
            "nginx",
            "registry.internal:5000/nginx",
            "nginx:latest",
            "nginx:stable-alpine",
            "nginx:1.27-mainline",
            "redis:7-alpine",
            "app:main",
            "app:feature-login",
            "app@sha256:0",
        )
    ),
    _app("pinned-image", "image", REMOVED),
    _init("pinned-image", "image", "busybox:latest"),
    _app("known-publisher", "image", "docker.io/somebody/app:1.4.2"),
    _app("known-publisher", "image", "nginx:1.27.1"),
    _init("known-publisher", "image", "registry.k8s.io.example.com/app:1.4.2"),
    _app("pulled-anew", "imagePullPolicy", "IfNotPresent"),
    _app("pulled-anew", "imagePullPolicy", REMOVED),
    _app("explicit-command", "command", REMOVED),
    _init("explicit-command", "command", []),
    _app("resource-requests", "resources", REMOVED),
    _app("resource-requests", "resources/requests/cpu", REMOVED),
    _app("resource-requests", "resources/requests/memory", "0"),
    _init("resource-requests", "resources/requests/ephemeral-storage", REMOVED),
    _app("resource-limits", "resources/limits/memory", REMOVED),
    _app("resource-limits", "resources/limits/ephemeral-storage", "plenty"),
    _app("readiness-probe", "readinessProbe", REMOVED),
    _app("readiness-probe", "readinessProbe", {"periodSeconds": 5}),
    _init("readiness-probe", "restartPolicy", "Always"),
    _app("liveness-probe", "livenessProbe", REMOVED),
    _app("liveness-outlasts-readiness", "livenessProbe/httpGet/path", "/ready"),
    _app("liveness-outlasts-readiness", "livenessProbe/httpGet", {"path": "/ready", "port": "http", "scheme": "HTTP"}),
    _app("liveness-asks-again", "livenessProbe/failureThreshold", 1),
    _pod("drain-within-grace", "terminationGracePeriodSeconds", 5),
    _app("drain-within-grace", "lifecycle/preStop/sleep/seconds", 60),
]
SECRETS = [
    _app("no-secret-in-environment", "env/+", {"name": "REDIS_PASSWORD", "value": "hunter2"}),
    _app("no-secret-in-environment", "env/+", {"name": "apiKey", "value": "hunter2"}),
    _app("no-secret-in-environment", "env/0/value", "redis://:hunter2@cache:6379"),
    _app("no-secret-in-environment", "env/0/value", "-----BEGIN RSA PRIVATE KEY-----"),
    _app(
        "no-secret-in-environment",
        "env/+",
        {"name": "PASSWORD", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}},
    ),
    _app("no-secret-in-arguments", "args/+", "--db-password=hunter2"),
    _app("no-secret-in-arguments", "args", ["--requirepass", "hunter2"]),
    _app("no-secret-in-arguments", "command", ["sh", "-c", "psql postgresql://app:hunter2@database/app"]),
    _config("tls.pem", "-----BEGIN PRIVATE KEY-----\nMIIE\n"),
    _config("token", "hunter2"),
    _config("redis.conf", "maxmemory 96mb\nrequirepass hunter2\n"),
    _config("app.yaml", "database:\n  password: hunter2\n"),
    _config("logstash.conf", 'output {\n  password => "hunter2"\n}'),
    _config("datasource", "url = https://grafana:hunter2@prometheus:9090"),
    Case(
        "no-secret-in-config-map",
        "ConfigMap::config",
        ("binaryData", "key.bin"),
        "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t",
    ),
    _app("secrets-as-files", "env/+", SECRET_ENV),
    _app("secrets-as-files", "envFrom/+", {"secretRef": {"name": "database"}}),
    _pod("narrow-secret-files", "volumes/1/secret/defaultMode", 0o444),
    _pod("narrow-secret-files", "volumes/1/secret/defaultMode", REMOVED),
    _app("read-only-sources", "volumeMounts/0/readOnly", False),
    _app("read-only-sources", "volumeMounts/0/readOnly", REMOVED),
    _pod(
        "narrow-secret-files",
        "volumes/+",
        {"name": "both", "projected": {"sources": [{"secret": {"name": "tls"}}], "defaultMode": 0o644}},
    ),
    _pod("deliberate-token", "automountServiceAccountToken", REMOVED),
    _pod("deliberate-token", "serviceAccountName", "default"),
    change("deliberate-token", "Deployment::watcher", "spec/template/spec/serviceAccountName", "default"),
]
NETWORK = [
    change("narrow-policy", "NetworkPolicy::app-from-edge", "spec/policyTypes", REMOVED),
    change("narrow-policy", "NetworkPolicy::app-from-edge", "spec/ingress/0/from", REMOVED),
    change("narrow-policy", "NetworkPolicy::app-from-edge", "spec/ingress/0/from", []),
    change("narrow-policy", "NetworkPolicy::app-from-edge", "spec/ingress/0/ports", REMOVED),
    change("narrow-policy", "NetworkPolicy::app-from-edge", "spec/ingress/0/from/0/podSelector", {}),
    change("narrow-policy", "NetworkPolicy::app-from-edge", "spec/ingress/0/from/+", {"namespaceSelector": {}}),
    change(
        "narrow-policy",
        "NetworkPolicy::app-from-edge",
        "spec/ingress/0/from/+",
        {"namespaceSelector": {}, "podSelector": selecting("edge")},
    ),
    change(
        "narrow-policy",
        "NetworkPolicy::app-from-edge",
        "spec/ingress/0/from/0/podSelector/matchExpressions",
        [{"key": NAME, "operator": "Exists"}],
    ),
    change("narrow-policy", "NetworkPolicy::edge-to-app", "spec/egress/0/ports/0/endPort", 9000),
    change("narrow-policy", "NetworkPolicy::edge-to-app", "spec/egress/0/ports/0/port", REMOVED),
    removed("default-deny", "NetworkPolicy::default-deny"),
    change("default-deny", "NetworkPolicy::default-deny", "spec/policyTypes", ["Ingress"]),
    change("default-deny", "NetworkPolicy::default-deny", "spec/podSelector", selecting("app")),
    change("default-deny", "NetworkPolicy::default-deny", "spec/egress", [{}]),
    change("covered-both-ways", "CronJob::backup", "metadata/namespace", "elsewhere"),
    change("covered-both-ways", "NetworkPolicy::default-deny", "spec/podSelector", selecting("app")),
    removed("edge-open-on-both-ends", "NetworkPolicy::app-from-edge"),
    removed("edge-open-on-both-ends", "NetworkPolicy::edge-to-app"),
    change("edge-open-on-both-ends", "NetworkPolicy::app-from-edge", "spec/ingress/0/from/0/podSelector", {}),
    change(
        "edge-open-on-both-ends",
        "NetworkPolicy::app-from-edge",
        "spec/ingress/0/from/+",
        {"podSelector": selecting("watcher")},
    ),
    added("nothing-open-uncalled", network_policy("to-all", egress("app", ANYWHERE, 443))),
    added("nothing-open-uncalled", network_policy("to-shell", egress("watcher", ANYWHERE, 443, 22))),
    added("nothing-open-uncalled", network_policy("to-nodes", egress("edge", ANYWHERE, 10250))),
    change("nothing-open-uncalled", "NetworkPolicy::app-to-internet", "spec/egress/0/to/0/ipBlock/except", REMOVED),
    change("nothing-open-uncalled", "NetworkPolicy::app-to-internet", "spec/egress/0/to/0/ipBlock/except/4", REMOVED),
    change("nothing-open-uncalled", "NetworkPolicy::app-to-internet", "spec/egress/0/ports/0/port", 22),
    change("nothing-open-uncalled", "NetworkPolicy::app-from-edge", "spec/ingress/0/from/+", elsewhere("default")),
    change("nothing-open-uncalled", "NetworkPolicy::app-from-edge", "spec/ingress/0/from/+", ANYWHERE),
    change("nothing-open-uncalled", "NetworkPolicy::edge-to-app", "spec/egress/0/to/+", elsewhere("kube-system")),
    change("nothing-open-uncalled", "NetworkPolicy::edge-to-app", "spec/egress/0/to/0/podSelector", {}),
    change("nothing-open-uncalled", "NetworkPolicy::edge-to-app", "spec/egress/0/to/+", elsewhere("modelcard")),
    removed("nothing-open-uncalled", "Ingress::edge"),
    removed("nothing-open-uncalled", "APIService::watcher"),
    change("nothing-open-uncalled", "Deployment::watcher", "spec/template/spec/automountServiceAccountToken", False),
    change("selector-matches-pods", "NetworkPolicy::app-from-edge", "spec/podSelector", selecting("gone")),
    change("selector-matches-pods", "Service::app", "spec/selector", {NAME: "gone"}),
    change("selector-matches-pods", "Service::app", "spec/selector", REMOVED),
    change("selector-matches-pods", "PodDisruptionBudget::app", "spec/selector", selecting("gone")),
    change("selector-matches-pods", "PodDisruptionBudget::app", "spec/selector", {}),
    change("leads-to-own-ports", "Service::app", "spec/ports/0/targetPort", "metrics"),
    change("leads-to-own-ports", "NetworkPolicy::app-from-edge", "spec/ingress/0/ports/0/port", 5432),
    change("leads-to-own-ports", "NetworkPolicy::app-from-edge", "spec/podSelector", {}),
    change("leads-to-own-ports", "NetworkPolicy::edge-to-app", "spec/egress/0/ports/+", {"port": 22}),
    change("private-service", "Service::app", "spec/type", "NodePort"),
    change("private-service", "Service::app", "spec/type", "LoadBalancer"),
    change("private-service", "Service::app", "spec/externalIPs", ["10.0.0.1"]),
    change("private-service", "Service::app", "spec/ports/0/nodePort", 30000),
    change("ingress-by-tls", "Ingress::edge", "spec/tls", REMOVED),
    change("ingress-by-tls", "Ingress::edge", "spec/tls/0/hosts", ["other.example.com"]),
    change("ingress-by-tls", "Ingress::edge", "spec/rules/0/host", "*.example.com"),
    change("ingress-by-tls", "Ingress::edge", "spec/rules/0/host", REMOVED),
    change("ingress-by-tls", "Ingress::edge", "spec/defaultBackend", {"service": {"name": "edge"}}),
    _annotation("ingress-by-tls", "Ingress::edge", "nginx.ingress.kubernetes.io/server-snippet", "return 200;"),
    _annotation("ingress-by-tls", "Ingress::edge", "nginx.ingress.kubernetes.io/ssl-redirect", "false"),
]
ACCESS = [
    *(
        change("no-wildcard-role", "Role::watcher", f"rules/0/{key}", ["*"])
        for key in ("apiGroups", "resources", "verbs", "nonResourceURLs")
    ),
    change("no-wildcard-role", "ClusterRole::watcher-nodes", "aggregationRule", {"clusterRoleSelectors": [{}]}),
    change("no-secrets-listing", "Role::watcher", "rules/0/resources", ["pods", "secrets"]),
    change(
        "no-secrets-listing",
        "Role::watcher",
        "rules/+",
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
    ),
    *(
        change("no-escalating-role", "Role::watcher", "rules/0/verbs/+", verb)
        for verb in ("bind", "escalate", "impersonate")
    ),
    change("no-escalating-role", "Role::watcher", "rules/0/resources/+", "nodes/proxy"),
    change(
        "no-escalating-role",
        "Role::watcher",
        "rules/+",
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]},
    ),
    change("narrow-binding", "RoleBinding::watcher", "roleRef", {"kind": "ClusterRole", "name": "cluster-admin"}),
    change("narrow-binding", "RoleBinding::watcher", "subjects/+", {"kind": "Group", "name": "system:authenticated"}),
    change("narrow-binding", "RoleBinding::watcher", "subjects/0/name", "default"),
    change("narrow-binding", "RoleBinding::watcher", "subjects/+", {**SUBJECT, "namespace": "elsewhere"}),
    removed("narrow-binding", "Role::watcher"),
    change("account-without-token", "ServiceAccount::app", "automountServiceAccountToken", True),
    change("account-without-token", "ServiceAccount::app", "automountServiceAccountToken", REMOVED),
    _pod("token-that-is-used", "automountServiceAccountToken", True),
    change("token-that-is-used", "Deployment::watcher", "spec/template/spec/automountServiceAccountToken", False),
]
RELIABILITY = [
    removed("disruption-budget", "PodDisruptionBudget::app"),
    change("disruption-budget", "PodDisruptionBudget::edge", "spec/selector", selecting("app")),
    change(
        "budget-leaves-room", "PodDisruptionBudget::edge", "spec", {"minAvailable": 2, "selector": selecting("edge")}
    ),
    change("budget-leaves-room", "PodDisruptionBudget::edge", "spec/maxUnavailable", 0),
    change("budget-leaves-room", "PodDisruptionBudget::edge", "spec/maxUnavailable", "100%"),
    change("budget-leaves-room", "PodDisruptionBudget::app", "spec/minAvailable", "50%"),
    change("budget-leaves-room", "PodDisruptionBudget::app", "spec/maxUnavailable", REMOVED),
    change("autoscaler-decides-alone", "Deployment::app", "spec/replicas", 3),
    change("autoscaler-decides-alone", "HorizontalPodAutoscaler::app", "spec/minReplicas", 1),
    change("autoscaler-decides-alone", "HorizontalPodAutoscaler::app", "spec/minReplicas", REMOVED),
    change("autoscaler-decides-alone", "HorizontalPodAutoscaler::app", "spec/maxReplicas", 2),
    change("autoscaler-decides-alone", "HorizontalPodAutoscaler::app", "spec/scaleTargetRef/name", "gone"),
    change("several-replicas", "Deployment::edge", "spec/replicas", 1),
    change("several-replicas", "Deployment::edge", "spec/replicas", REMOVED),
    removed("several-replicas", "HorizontalPodAutoscaler::app"),
    _pod("spread-pods", "topologySpreadConstraints", REMOVED),
    _pod("spread-pods", "topologySpreadConstraints/1", REMOVED),
    _pod("spread-pods", "topologySpreadConstraints/0/labelSelector", selecting("edge")),
    _pod("apart-from-each-other", "affinity", REMOVED),
    _pod(
        "apart-from-each-other",
        "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm/labelSelector",
        selecting("edge"),
    ),
    change("rollout-keeps-serving", "Deployment::edge", "spec/strategy", {"type": "Recreate"}),
    change("rollout-keeps-serving", "Deployment::edge", "spec/strategy/rollingUpdate", REMOVED),
    change("rollout-keeps-serving", "Deployment::edge", "spec/strategy/rollingUpdate/maxUnavailable", 1),
    change("bounded-job", "CronJob::backup", "spec/jobTemplate/spec/activeDeadlineSeconds", REMOVED),
    change("bounded-job", "CronJob::backup", "spec/jobTemplate/spec/backoffLimit", 100),
    change("bounded-job", "CronJob::backup", "spec/jobTemplate/spec/template/spec/restartPolicy", "Always"),
    change("deliberate-schedule", "CronJob::backup", "spec/concurrencyPolicy", "Allow"),
    change("deliberate-schedule", "CronJob::backup", "spec/startingDeadlineSeconds", REMOVED),
    change("deliberate-schedule", "CronJob::backup", "spec/timeZone", REMOVED),
    change("deliberate-schedule", "CronJob::backup", "spec/suspend", True),
    _app("named-once", "env/+", {"name": "PORT", "value": "9000"}),
    _app("named-once", "ports/+", {"name": "http", "containerPort": 9000}),
    change("selects-its-own-pods", "Deployment::edge", "spec/selector", selecting("app")),
    change("selects-its-own-pods", "Deployment::edge", "spec/selector", {}),
]
DATA = [
    option("kept-data", "PersistentVolumeClaim::data", "protect"),
    option("kept-data", "PersistentVolumeClaim::data", "retain"),
    option("kept-data", "Bucket::bucket", "protect"),
    option("kept-data", "Key::key", "protect"),
    _annotation("kept-data", "StatefulSet::store", "modelcard/backup", "database"),
    change("kept-data", "StatefulSet::store", "spec/persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Delete"}),
    option("kept-namespace", "Namespace::modelcard", "protect"),
    option("kept-namespace", "Namespace::modelcard", "retain"),
    _annotation("backed-up-claim", "PersistentVolumeClaim::data", "modelcard/backup", REMOVED),
    _annotation("backed-up-claim", "PersistentVolumeClaim::data", "modelcard/backup", "something"),
    _annotation("backed-up-claim", "StatefulSet::store", "modelcard/backup", "none: no"),
    _annotation("backed-up-claim", "CronJob::backup", "modelcard/backs-up", "uploads"),
    removed("backed-up-claim", "CronJob::backup"),
]
NAMES = [
    change("recommended-labels", "Service::app", "metadata/labels", REMOVED),
    Case("recommended-labels", "Service::app", ("metadata", "labels", "app.kubernetes.io/managed-by"), REMOVED),
    change("recommended-labels", "CronJob::backup", "spec/jobTemplate/spec/template/metadata/labels", {NAME: "backup"}),
    change("predictable-name", "Service::app", "metadata/name", REMOVED),
    change("predictable-name", "Service::app", "metadata/name", "app_service"),
    change("predictable-name", "Service::app", "metadata/generateName", "app-"),
    change("own-namespace", "Service::app", "metadata/namespace", REMOVED),
    change("own-namespace", "Service::app", "metadata/namespace", "default"),
    change("own-namespace", "Service::app", "metadata/namespace", "kube-system"),
    *(
        Case(
            "admission-enforces",
            "Namespace::modelcard",
            ("metadata", "labels", f"pod-security.kubernetes.io/{mode}"),
            to,
        )
        for mode, to in (("enforce", "baseline"), ("enforce", "privileged"), ("audit", REMOVED), ("warn", REMOVED))
    ),
    change("required-tags", "Bucket::bucket", "tags", REMOVED),
    Case("required-tags", "Key::key", ("tags", "modelcard/part-of"), REMOVED),
    change("project-name", "Bucket::bucket", "bucket", REMOVED),
    change("project-name", "Role::writer", "name", "writer"),
    change("project-name", "Alias::alias", "name", "alias/backups"),
    _app("within-budget", "resources/requests/cpu", "20"),
    _app("within-budget", "resources/requests/memory", "100Gi"),
    change("within-budget", "PersistentVolumeClaim::data", "spec/resources/requests/storage", "9Ti"),
    change("within-budget", "HorizontalPodAutoscaler::app", "spec/maxReplicas", 400),
]
PLAIN_ALGORITHM = "rules/0/applyServerSideEncryptionByDefault/sseAlgorithm"
BUCKETS = [
    removed("bucket-closed-to-public", "BucketPublicAccessBlock::bucket-public-access"),
    *(
        change("bucket-closed-to-public", "BucketPublicAccessBlock::bucket-public-access", key, value)
        for key in BLOCKED
        for value in (False, REMOVED)
    ),
    removed("bucket-versioned", "BucketVersioning::bucket-versioning"),
    change("bucket-versioned", "BucketVersioning::bucket-versioning", "versioningConfiguration/status", "Suspended"),
    removed("bucket-encrypted", "BucketServerSideEncryptionConfiguration::bucket-encryption"),
    change(
        "bucket-encrypted",
        "BucketServerSideEncryptionConfiguration::bucket-encryption",
        PLAIN_ALGORITHM,
        "AES256",
    ),
    change(
        "bucket-encrypted",
        "BucketServerSideEncryptionConfiguration::bucket-encryption",
        "rules/0/applyServerSideEncryptionByDefault/kmsMasterKeyId",
        REMOVED,
    ),
    change(
        "bucket-encrypted",
        "BucketServerSideEncryptionConfiguration::bucket-encryption",
        "rules/0/bucketKeyEnabled",
        False,
    ),
    removed("bucket-owned-alone", "BucketOwnershipControls::bucket-ownership"),
    change("bucket-owned-alone", "BucketOwnershipControls::bucket-ownership", "rule/objectOwnership", "ObjectWriter"),
    removed("bucket-has-policy", "BucketPolicy::bucket-policy"),
    change("bucket-by-tls", "BucketPolicy::bucket-policy", "policy", document({**BY_TLS, "Effect": "Allow"})),
    change(
        "bucket-by-tls",
        "BucketPolicy::bucket-policy",
        "policy",
        document({**BY_TLS, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}),
    ),
    change(
        "bucket-by-tls",
        "BucketPolicy::bucket-policy",
        "policy",
        document({**BY_TLS, "Resource": f"arn:aws:s3:::{BUCKET}"}),
    ),
    removed("bucket-forgets", "BucketLifecycleConfiguration::bucket-lifecycle"),
    change("bucket-forgets", "BucketLifecycleConfiguration::bucket-lifecycle", "rules/0/status", "Disabled"),
    *(
        change(
            "bucket-forgets",
            "BucketLifecycleConfiguration::bucket-lifecycle",
            "rules",
            [{name: value for name, value in EXPIRY.items() if name != key}],
        )
        for key in ("abortIncompleteMultipartUpload", "noncurrentVersionExpiration")
    ),
    removed("bucket-locked", "BucketObjectLockConfiguration::bucket-lock"),
    change("bucket-locked", "BucketObjectLockConfiguration::bucket-lock", "rule/defaultRetention/mode", "NONE"),
    change("bucket-locked", "Bucket::bucket", "objectLockEnabled", False),
    removed("bucket-replicated", "BucketReplicationConfig::bucket-replication"),
    change("bucket-replicated", "BucketReplicationConfig::bucket-replication", "rules/0/status", "Disabled"),
    removed("bucket-logged", "BucketLogging::bucket-logging"),
    change("bucket-outlives-stack", "Bucket::bucket", "forceDestroy", True),
]
IDENTITIES = [
    change("readable-document", "Policy::writer", "policy", "everything"),
    change("readable-document", "Policy::writer", "policy", json.dumps({"Version": "2012-10-17"})),
    change("readable-document", "BucketPolicy::bucket-policy", "policy", "[]"),
    change("readable-document", "Key::key", "policy", REMOVED),
    _granted("no-wildcard-grant", Action="*"),
    _granted("no-wildcard-grant", Action=["s3:PutObject", "s3:*"]),
    _granted("no-wildcard-grant", Resource="*"),
    _granted("no-wildcard-grant", Resource="arn:aws:s3:::*"),
    _granted("no-wildcard-grant", NotAction="iam:*"),
    change(
        "no-wildcard-grant", "Role::writer", "inlinePolicies", [{"policy": document({**WRITING, "Action": "s3:*"})}]
    ),
    _granted("no-escalating-grant", Action="iam:PassRole"),
    _granted("no-escalating-grant", Action="iam:PutRolePolicy"),
    _granted("no-escalating-grant", Action="sts:AssumeRole", Resource="arn:aws:iam::123456789012:role/*"),
    change("known-principal", "Key::key", "policy", document({**LOOKING_AFTER, "Principal": "*"})),
    change("known-principal", "Key::key", "policy", document({**LOOKING_AFTER, "Principal": {"AWS": "*"}})),
    change(
        "known-principal",
        "BucketPolicy::bucket-policy",
        "policy",
        document(BY_TLS, {**BY_TLS, "Effect": "Allow", "Action": "s3:GetObject"}),
    ),
    change("known-principal", "Key::key", "policy", document({**LOOKING_AFTER, "NotPrincipal": {"AWS": ACCOUNT}})),
    _trusting("narrow-trust", Condition={}),
    _trusting("narrow-trust", Condition={"StringLike": {"oidc.example.com:sub": "system:serviceaccount:*:*"}}),
    _trusting(
        "narrow-trust",
        Condition={"StringEquals": {"oidc.example.com:sub": "system:serviceaccount:modelcard:backup"}},
    ),
    change(
        "no-attached-in-passing", "Role::writer", "managedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"]
    ),
    removed("own-policy", "Policy::writer"),
    added(
        "own-policy",
        Resource(
            "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
            "administrator",
            {"role": "modelcard-writer", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
        ),
    ),
    change("key-rotates", "Key::key", "enableKeyRotation", False),
    change("key-rotates", "Key::key", "enableKeyRotation", REMOVED),
    change("key-rotates", "Key::key", "rotationPeriodInDays", 2560),
    change("key-deleted-late", "Key::key", "deletionWindowInDays", 7),
    change("key-deleted-late", "Key::key", "isEnabled", False),
    added("no-lasting-credentials", Resource("aws:iam/user:User", "somebody", {"name": "modelcard-somebody"})),
    added("no-lasting-credentials", Resource("aws:iam/accessKey:AccessKey", "key", {"user": "somebody"})),
    added("known-kind", Resource("aws:ec2/instance:Instance", "machine", {"instanceType": "t3.micro"})),
    added("no-opaque-workload", Resource("kubernetes:helm.sh/v3:Release", "chart", {"chart": "nginx"})),
]
CASES = [
    *PODS,
    *SECRETS,
    *NETWORK,
    *ACCESS,
    *RELIABILITY,
    *DATA,
    *NAMES,
    *BUCKETS,
    *IDENTITIES,
]
# What is judged by types, options and dependencies only, which are always known.
ALWAYS_KNOWN = {
    "bucket-has-policy",
    "bucket-logged",
    "kept-namespace",
    "known-kind",
    "no-lasting-credentials",
    "no-opaque-workload",
    "own-policy",
}
