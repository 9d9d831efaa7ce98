"""The one edge where configuration is read: a stack's file in, typed settings out, every error at once.

A stack file says which `environment` it is and overrides what `infra/defaults.py` says for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Self

import pulumi
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from infra.defaults import defaults
from infra.errors import UserError
from infra.quantities import BucketName, Cpu, Host, Image, Label, Memory, Percent, Seconds

PROJECT = "modelcard-platform"
MASK = "[secret]"


class SettingsError(UserError):
    """All that is wrong with a stack's settings, one line each: file, key path, what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Environment(StrEnum):
    """A column of the table of defaults."""

    LOCAL = "local"
    DEV = "dev"
    PROD = "prod"


class Section(BaseModel):
    """Part of a stack file: frozen, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Replicas(Section):
    """How many pods the autoscaler may keep."""

    min: int
    max: int

    @model_validator(mode="after")
    def ordered(self) -> Self:
        if self.min < 1:
            raise PydanticCustomError("replicas", "min is {min}, it must be at least 1", {"min": self.min})
        if self.min > self.max:
            raise PydanticCustomError("replicas", "min is {min} but max is {max}", {"min": self.min, "max": self.max})
        return self


class Resources(Section):
    """Of one container. `cpu_limit` is absent where throttling would only add latency."""

    cpu_request: Cpu
    cpu_limit: Cpu | None = None
    memory_request: Memory
    memory_limit: Memory
    ephemeral_storage: Memory

    @model_validator(mode="after")
    def requests_within_limits(self) -> Self:
        if self.memory_request.bytes > self.memory_limit.bytes:
            raise PydanticCustomError(
                "resources",
                "memory_request is {request} but memory_limit is {limit}",
                {"request": str(self.memory_request), "limit": str(self.memory_limit)},
            )
        if self.cpu_limit is not None and self.cpu_request.millicores > self.cpu_limit.millicores:
            raise PydanticCustomError(
                "resources",
                "cpu_request is {request} but cpu_limit is {limit}",
                {"request": str(self.cpu_request), "limit": str(self.cpu_limit)},
            )
        return self


class Storage(Section):
    """A claim. `storage_class` is absent where the cluster's default serves."""

    size: Memory
    storage_class: Label | None = None


class Autoscaling(Section):
    """What the HorizontalPodAutoscaler aims at, on average over the pods."""

    cpu: Percent
    memory: Percent
    requests_per_second: int


class Uploads(Storage):
    """The files that users upload, shared by all application pods."""

    access_mode: Literal["ReadWriteMany", "ReadWriteOnce"]


class App(Section):
    """The Model Card Generator itself."""

    image: Image
    replicas: Replicas
    resources: Resources
    autoscaling: Autoscaling
    uploads: Uploads
    termination_grace: Seconds


class Edge(Section):
    """nginx and the Ingress in front of the application."""

    image: Image
    host: Host
    replicas: int
    resources: Resources
    ingress_class: Label
    ingress_namespace: Label
    tls_secret: Label | None = None
    upload_limit: Memory


class Database(Section):
    """PostgreSQL."""

    image: Image
    resources: Resources
    storage: Storage
    max_connections: int


class Cache(Section):
    """Redis."""

    image: Image
    resources: Resources


class Backup(Section):
    """Where backups go."""

    bucket: BucketName


class Certificate(Section):
    """A certificate and its private key, PEM."""

    certificate: SecretStr
    key: SecretStr


class Secrets(Section):
    """Written by `mcenv secrets init|rotate`. `generation` is public: its change rolls the pods."""

    generation: int
    database_admin_password: SecretStr
    database_password: SecretStr
    cache_password: SecretStr
    authority: Certificate
    database_certificate: Certificate
    cache_certificate: Certificate
    edge_certificate: Certificate


class Settings(Section):
    """Everything that may differ between two stacks."""

    environment: Environment
    namespace: Label
    protect_data: bool
    app: App
    edge: Edge
    database: Database
    cache: Cache
    backup: Backup
    secrets: Secrets

    @model_validator(mode="after")
    def uploads_are_shared(self) -> Self:
        if self.app.uploads.access_mode == "ReadWriteOnce" and self.environment is Environment.PROD:
            raise PydanticCustomError(
                "uploads", "app.uploads.access_mode is ReadWriteOnce, but pods on several nodes need ReadWriteMany"
            )
        return self


def parse(config: Mapping[str, Any], *, file: str) -> Settings:
    """Settings from a stack's configuration: keys without the project's prefix, values as in the file.

    Raises `SettingsError` with all problems, each as `file: key.path what is wrong`.
    """
    name = config.get("environment")
    try:
        environment = Environment(str(name))
    except ValueError:
        choices = ", ".join(Environment)
        found = "missing" if name is None else f"{name!r}"
        raise SettingsError([f"{file}: {PROJECT}:environment is {found}: set it to one of {choices}"]) from None
    merged = _merge(defaults(environment), config)
    problems = []
    if "secrets" not in config:
        problems.append(f"{file}: secrets are missing: run `mcenv secrets init {_stack_of(file)}`")
        merged["secrets"] = placeholder_secrets()
    try:
        # Environment is an enum, which strict mode takes from JSON only.
        settings = Settings.model_validate({**merged, "environment": environment})
    except ValidationError as error:
        problems = [f"{file}: {line}" for line in _lines(error)] + problems
        raise SettingsError(problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def from_engine() -> Settings:
    """The settings of the stack that Pulumi is running; secrets arrive decrypted."""
    stack = pulumi.get_stack()
    raw = {**pulumi.runtime.config.get_config_env(), **pulumi.runtime.config.CONFIG.get()}
    prefix = f"{PROJECT}:"
    config = {key.removeprefix(prefix): _decoded(value) for key, value in raw.items() if key.startswith(prefix)}
    return parse(config, file=f"Pulumi.{stack}.yaml")


def placeholder_secrets() -> dict[str, Any]:
    """Stands for a stack's secrets where they must not be seen: previews and tests."""
    names = Secrets.model_fields
    pair = {"certificate": MASK, "key": MASK}
    return {
        name: 0 if name == "generation" else pair if field.annotation is Certificate else MASK
        for name, field in names.items()
    }


def _decoded(value: Any) -> Any:
    """Structured values reach the program as JSON text, scalars as their plain text."""
    if isinstance(value, str) and value[:1] in "{[":
        return json.loads(value)
    return {"true": True, "false": False}.get(value, value)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _lines(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(map(str, problem["loc"]))
        match problem["type"]:
            case "extra_forbidden":
                yield f"{path} is not a setting: correct the name or remove it"
            case "missing":
                yield f"{path} is missing: set it"
            case _:
                text = problem["msg"].removeprefix("Value error, ")
                yield f"{path}: {text}" if path else text


def _stack_of(file: str) -> str:
    return Path(file).name.removeprefix("Pulumi.").removesuffix(".yaml")
