"""Validates manifests against Kubernetes' own schemas, which the package kubernetes-validate carries.

Its functions parse a megabyte of definitions for every object; here they are parsed once.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource

from infra.environments.preview.manifests import Manifest, Manifests

KUBERNETES_VERSION = "1.33"
# Kinds that an operator brings along: what belongs into them is checked by the cluster alone.
CUSTOM = {("keda.sh/v1alpha1", "ScaledObject"), ("keda.sh/v1alpha1", "TriggerAuthentication")}
LONGEST = 160  # characters of a message, which may quote a whole object


def problems(manifests: Manifests) -> list[str]:
    """Unknown and missing fields and wrong types, as `key: path what is wrong`."""
    return [line for name, manifest in manifests.items() if "kind" in manifest for line in _problems(name, manifest)]


def _problems(name: str, manifest: Manifest) -> list[str]:
    if (manifest["apiVersion"], manifest["kind"]) in CUSTOM:
        return []
    validator = _validator(manifest["apiVersion"], manifest["kind"])
    if validator is None:
        return [f"{name}: Kubernetes {KUBERNETES_VERSION} has no {manifest['kind']} in {manifest['apiVersion']}"]
    errors = sorted(validator.iter_errors(manifest), key=lambda error: [str(step) for step in error.absolute_path])
    return [f"{name}: {_place(error.absolute_path)}{_short(error.message)}" for error in errors]


def folder() -> Path:
    """Where the schemas are."""
    package = find_spec("kubernetes_validate")  # found, not imported: that takes longer than the whole validation
    if package is None or package.origin is None:
        raise ModuleNotFoundError("kubernetes_validate")
    return Path(package.origin).parent / "kubernetes-json-schema" / f"v{KUBERNETES_VERSION}.0-local-strict"


@cache
def _registry() -> Any:
    definitions = json.loads((folder() / "_definitions.json").read_text(encoding="utf-8"))
    resource: Resource[Any] = Resource.from_contents(definitions)
    return resource @ Registry()


@cache
def _validator(api_version: str, kind: str) -> Any:
    group, slash, version = api_version.rpartition("/")
    path = folder() / f"{kind.lower()}-{group.partition('.')[0]}{'-' if slash else ''}{version}.json"
    if not path.is_file():
        return None
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")), registry=_registry())


def _place(path: Any) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{text.removeprefix('.')}: " if text else ""


def _short(message: str) -> str:
    return message if len(message) <= LONGEST else f"{message[: LONGEST // 2]} … {message[-LONGEST // 2 :]}"
