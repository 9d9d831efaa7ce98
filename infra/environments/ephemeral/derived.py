"""What a preview environment is: another stack with a name, an address and secrets of its own, and small."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.environments.workspace import GENERATED, LOCAL, Workspace, bare_project, workspace, write_whole
from infra.errors import UserError
from infra.kube.identity import Space, namespace_names
from infra.settings import PROJECT, Environment, Settings
from infra.settings_reading import merge

PREFIX = "env-"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_LABEL = 63
# What the stack that it derives from keeps to itself: secrets, whom it calls, and where only its own things are.
OWN = ("secrets", "rotation", "recovery", "notifications", "approvals")
# It is looked at by a few people for a day. Numbers of pods stay as in dev: what is tried should run as it will.
SMALL: Mapping[str, Any] = {
    "protect_data": False,
    "app": {
        "replicas": {"min": 2, "max": 3},
        "resources": {"cpu_request": "50m"},
        # A cluster has one adapter and perhaps KEDA; an environment must need and disturb neither.
        "autoscaling": {"metrics_from": "none"},
        "uploads": {"size": "1Gi"},
    },
    "edge": {"tls_secret": None},
    "database": {
        "resources": {"cpu_request": "50m", "memory_request": "256Mi", "memory_limit": "256Mi"},
        "storage": {"size": "1Gi"},
    },
    "cache": {"resources": {"cpu_request": "25m", "memory_request": "128Mi", "memory_limit": "128Mi"}},
    "monitoring": {
        "prometheus": {
            "replicas": 1,
            "resources": {"cpu_request": "50m", "memory_request": "512Mi", "memory_limit": "512Mi"},
            "storage": {"size": "2Gi"},
        },
        "alertmanager": {"replicas": 1},
        "grafana": {"resources": {"cpu_request": "50m", "memory_request": "256Mi", "memory_limit": "256Mi"}},
    },
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The stack beside which environments live: they share its cluster, its backend and its way to keep secrets."""

    space: Workspace
    settings: Settings

    def namespaces(self, name: str) -> Mapping[Space, str]:
        """The namespaces of the environment of this name."""
        return namespace_names(self.settings.model_copy(update={"namespace": self.namespace(name)}))

    def namespace(self, name: str) -> str:
        """Its first namespace, which is made first and removed last."""
        return f"{self.settings.namespace}-{PREFIX}{name}"

    def environment(self, name: str) -> Workspace:
        """Its workspace, in a folder that may be removed at any time."""
        folder = self.space.root / ".local" / "environments" / self.space.stack / name
        if self.space.stack == LOCAL:
            folder = self.space.project.parent / "environments" / name
        return Workspace(
            stack=f"{PREFIX}{name}", root=self.space.root, project=folder, environment=self.space.environment
        )


def origin(stack: str, root: Path | None = None) -> Origin:
    """The stack of this name as an origin."""
    return origin_of(workspace(stack, root) if root else workspace(stack))


def origin_of(space: Workspace) -> Origin:
    """This stack as an origin. Raises `UserError` for one that must not be one."""
    from infra.environments.deployment import settings_of

    settings = settings_of(space)
    if settings.environment is Environment.PROD:
        raise UserError(f"--from {space.stack}: nothing that is tried lives beside prod: choose another stack")
    return Origin(space=space, settings=settings)


def check_name(name: str, origin: Origin) -> None:
    """Raises `UserError` for a name that cannot be had."""
    if not NAME.fullmatch(name):
        raise UserError(f"{name}: not a name: lower-case letters, digits and single dashes, a letter first")
    names = origin.namespaces(name)
    too_long = max(map(len, names.values())) - LONGEST_LABEL
    if too_long > 0:
        raise UserError(f"{name}: {too_long} characters too long: the cluster's names end at {LONGEST_LABEL}")
    # The namespaces of `a` would be those of `a-agents`.
    suffixes = {each.removeprefix(names["application"]) for each in names.values()} - {""}
    if taken := next((suffix for suffix in suffixes if name.endswith(suffix)), None):
        raise UserError(f"{name}: a name cannot end in {taken}: another environment's namespace does")


def write(origin: Origin, name: str, kept: Mapping[str, Any]) -> Workspace:
    """Writes the environment's project files. `kept` is what its stack file held of its own when it last ran."""
    space = origin.environment(name)
    space.project.mkdir(parents=True, exist_ok=True)
    bare_project(space.root, space.project)
    document = {"config": _config(origin, name), **_provider(origin)}
    own = {key: value for key, value in (kept.get("config") or {}).items() if key in GENERATED}
    document["config"] |= own
    document |= {key: value for key, value in kept.items() if key in {"encryptionsalt", "encryptedkey"}}
    write_whole(space.stack_file, yaml.safe_dump(document))
    return space


def _provider(origin: Origin) -> dict[str, Any]:
    provider = origin.space.document().get("secretsprovider")
    return {"secretsprovider": provider} if provider else {}


def _config(origin: Origin, name: str) -> dict[str, Any]:
    config = {key: value for key, value in origin.space.config().items() if not _encrypted(value)}
    theirs = {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items() if key.startswith(f"{PROJECT}:")}
    others = {key: value for key, value in config.items() if not key.startswith(f"{PROJECT}:")}
    ours = {
        "namespace": origin.namespace(name),
        "preview_environment": True,
        "edge": {"host": f"{name}.{origin.settings.edge.host}"},
        "monitoring": {"environment": f"{PREFIX}{name}"},
    }
    merged = merge(merge({key: value for key, value in theirs.items() if key not in OWN}, SMALL), ours)
    return others | {f"{PROJECT}:{key}": value for key, value in merged.items()}


def _encrypted(value: Any) -> bool:
    """Whether only the other stack's key opens it, or a part of it."""
    if isinstance(value, Mapping):
        return set(value) == {"secure"} or any(map(_encrypted, value.values()))
    return isinstance(value, list) and any(map(_encrypted, value))
