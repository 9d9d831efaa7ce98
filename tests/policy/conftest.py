"""A Deployment that keeps every rule, and the changes that break them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from policy.model import Resource

REMOVED = object()

HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    "readOnlyRootFilesystem": True,
}
RESOURCES = {
    "requests": {"cpu": "250m", "memory": "256Mi", "ephemeral-storage": "100Mi"},
    "limits": {"memory": "512Mi", "ephemeral-storage": "1Gi"},
}
POD = {
    "automountServiceAccountToken": False,
    "serviceAccountName": "app",
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
        "sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
    },
    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}, {"name": "tls", "secret": {"secretName": "tls"}}],
    "initContainers": [
        {
            "name": "migrate",
            "image": f"registry.internal:5000/modelcard/app@sha256:{'0' * 64}",
            "securityContext": HARDENED,
            "resources": RESOURCES,
        }
    ],
    "containers": [
        {
            "name": "app",
            "image": "registry.internal:5000/modelcard/app:1.4.2",
            "args": ["--password-file=/etc/modelcard/password", "--workers", "4"],
            "env": [
                {"name": "PORT", "value": "8000"},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}},
                {"name": "DATABASE_URL", "value": "postgresql://app:$(PASSWORD)@database:5432/app"},
            ],
            "ports": [{"name": "http", "containerPort": 8000}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
            "livenessProbe": {"httpGet": {"path": "/live", "port": "http"}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
            "securityContext": HARDENED,
            "resources": RESOURCES,
        }
    ],
}
DEPLOYMENT = Resource(
    "kubernetes:apps/v1:Deployment",
    "app",
    {"metadata": {"name": "app"}, "spec": {"template": {"metadata": {"annotations": {}}, "spec": POD}}},
)
CONFIG_MAP = Resource(
    "kubernetes:core/v1:ConfigMap",
    "config",
    {"data": {"redis.conf": "maxmemory 96mb\n", "app.yaml": "password: ${PASSWORD}\npassword_file: /etc/password\n"}},
)


@dataclass(frozen=True)
class Case:
    """One change to a compliant resource (a path through its properties and a value) and the rule that it breaks."""

    rule: str
    path: tuple[str, ...]
    value: Any
    compliant: Resource

    @property
    def violating(self) -> Resource:
        """The resource with the change made."""
        return self.changed(self.value)

    @property
    def has_value(self) -> bool:
        """Whether the change sets a value rather than removing one."""
        return self.value is not REMOVED

    def changed(self, value: object) -> Resource:
        """The resource with another value at the same place."""
        properties = deepcopy(dict(self.compliant.properties))
        place: Any = properties
        for key, following in zip(self.path[:-1], self.path[1:], strict=True):
            missing: Any = [] if following == "+" else {}
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, missing)
        key = self.path[-1]
        if key == "+":
            place.append(value)
        elif value is REMOVED:
            del place[key]
        else:
            place[int(key) if isinstance(place, list) else key] = value
        return Resource(self.compliant.type, self.compliant.name, properties)


def _pod(rule: str, path: str, value: object) -> Case:
    return Case(rule, ("spec", "template", "spec", *path.split("/")), value, DEPLOYMENT)


def _app(rule: str, path: str, value: object) -> Case:
    return _pod(rule, f"containers/0/{path}", value)


def _init(rule: str, path: str, value: object) -> Case:
    return _pod(rule, f"initContainers/0/{path}", value)


def _config(key: str, text: object) -> Case:
    return Case("no-secret-in-config-map", ("data", key), text, CONFIG_MAP)


CASES = [
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
        ("spec", "template", "metadata", "annotations", "container.apparmor.security.beta.kubernetes.io/app"),
        "unconfined",
        DEPLOYMENT,
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
    _app("no-secret-in-environment", "env/+", {"name": "REDIS_PASSWORD", "value": "hunter2"}),
    _app("no-secret-in-environment", "env/+", {"name": "apiKey", "value": "hunter2"}),
    _app("no-secret-in-environment", "env/0/value", "redis://:hunter2@cache:6379"),
    _app("no-secret-in-environment", "env/0/value", "-----BEGIN RSA PRIVATE KEY-----"),
    _app("no-secret-in-environment", "env/1/valueFrom", {"configMapKeyRef": {"name": "a", "key": "b"}}),
    _app("no-secret-in-arguments", "args/+", "--db-password=hunter2"),
    _app("no-secret-in-arguments", "args", ["--requirepass", "hunter2"]),
    _app("no-secret-in-arguments", "command", ["sh", "-c", "psql postgresql://app:hunter2@database/app"]),
    _config("tls.pem", "-----BEGIN PRIVATE KEY-----\nMIIE\n"),
    _config("token", "hunter2"),
    _config("redis.conf", "maxmemory 96mb\nrequirepass hunter2\n"),
    _config("app.yaml", "database:\n  password: hunter2\n"),
    _config("logstash.conf", 'output {\n  password => "hunter2"\n}'),
    _config("datasource", "url = https://grafana:hunter2@prometheus:9090"),
    Case("no-secret-in-config-map", ("binaryData", "key.bin"), "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t", CONFIG_MAP),
    _pod("deliberate-token", "automountServiceAccountToken", REMOVED),
    Case(
        "deliberate-token",
        ("spec", "template", "spec"),
        {**POD, "automountServiceAccountToken": True, "serviceAccountName": "default"},
        DEPLOYMENT,
    ),
]


def _label(case: Case) -> str:
    value = "removed" if case.value is REMOVED else str(case.value)[:24].strip()
    return f"{case.rule}: {'.'.join(case.path[-3:])}={value}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a `case` once for each of them."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=_label)


@pytest.fixture
def deployment() -> Resource:
    """A Deployment that keeps every rule."""
    return deepcopy(DEPLOYMENT)


@pytest.fixture
def config_map() -> Resource:
    """A ConfigMap that keeps every rule."""
    return deepcopy(CONFIG_MAP)


@pytest.fixture
def cases() -> list[Case]:
    """All cases, for what holds of the whole."""
    return CASES


@pytest.fixture
def case_of() -> Callable[[str, str], Case]:
    """Find the first case of a rule whose path leads through a key."""
    return lambda rule, key: next(case for case in CASES if case.rule == rule and key in case.path)
