"""The one edge where configuration is read: a stack's file in, typed settings out, every error at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pulumi
from pydantic import ValidationError

from infra.defaults import defaults
from infra.errors import UserError
from infra.quantities import Cpu, Label, Memory
from infra.settings import (
    MASK,
    PROJECT,
    RESERVED_CONNECTIONS,
    UNSEEN_RECIPIENT,
    Environment,
    Secrets,
    Section,
    Settings,
    connections_per_worker,
)

# Settings at the top whose value is text, even if it looks like a number.
TEXTS = {name for name, field in Settings.model_fields.items() if field.annotation in {Environment, Label}}
# Settings of one section, of which the first must not exceed the second.
ORDERED = (("min", "max"), ("cpu_request", "cpu_limit"), ("memory_request", "memory_limit"))
# What one kind of storage needs, and what is another's.
STORAGE_NEEDS = {"aws": ("identity_provider",), "s3-compatible": ("endpoint", "access_key", "secret_key")}
STORAGE_IGNORES = {
    "aws": ("endpoint", "endpoint_authority", "access_key", "secret_key"),
    "s3-compatible": ("replica_region",),
}


class SettingsError(UserError):
    """All that is wrong with a stack's settings, one line each: file, key path, what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def parse(config: Mapping[str, Any], *, file: str) -> Settings:
    """Settings from a stack's configuration: keys without the project's prefix, values as in the file.

    Raises `SettingsError` with all problems, each as `file: key.path what is wrong`.
    """
    config = {key: value if key in TEXTS else _decoded(value) for key, value in config.items()}
    problems: list[str] = []
    name = config.get("environment")
    known = name in list(Environment)
    # Where it is not known, any column will do to find what is wrong with the other settings.
    environment = Environment(str(name)) if known else Environment.DEV
    merged = {**merge(defaults(environment), config), "environment": environment}
    if known:
        problems += _contradictions(merged)
    else:
        found = repr(name) if name else "missing"
        problems.append(f"{PROJECT}:environment is {found}: set it to one of {', '.join(Environment)}")
    if config.get("secrets") is None:
        problems.append(f"secrets are missing: run `mcenv secrets init {_stack_of(file)}`")
        merged["secrets"] = placeholder_secrets()
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        problems = [*_mistakes(error, _stack_of(file)), *problems]
    if problems:
        raise SettingsError([f"{file}: {problem}" for problem in problems])
    return settings


def from_engine() -> Settings:
    """The settings of the stack that Pulumi is running; secrets arrive decrypted."""
    stack = pulumi.get_stack()
    raw = {**pulumi.runtime.config.get_config_env(), **pulumi.runtime.config.CONFIG.get()}
    prefix = f"{PROJECT}:"
    config = {key.removeprefix(prefix): value for key, value in raw.items() if key.startswith(prefix)}
    return parse(config, file=f"Pulumi.{stack}.yaml")


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `over` where it has any, section by section."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def placeholder_secrets() -> dict[str, Any]:
    """Stands for a stack's secrets where they must not be seen: previews and tests."""
    masked = {name: _placeholder(field.annotation) for name, field in Secrets.model_fields.items()}
    return masked | {"backup_recipient": UNSEEN_RECIPIENT}


def _placeholder(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return dict.fromkeys(annotation.model_fields, MASK)
    return MASK


def _decoded(value: Any) -> Any:
    """`pulumi config set` writes numbers as text, and structured values reach the program as JSON text."""
    if isinstance(value, str) and re.match(r"[{[]|[0-9]+$|true$|false$", value):
        with suppress(json.JSONDecodeError):
            return json.loads(value)
    return value


def _mistakes(error: ValidationError, stack: str) -> Iterator[str]:
    """What is wrong with single settings. Inputs are looked at, but never shown here: they may be secret."""
    for problem in error.errors(include_url=False):
        path = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            yield f"{path} is not a setting: correct the name or remove it"
        elif path.startswith("secrets"):
            yield f"{path} is missing or damaged: run `mcenv secrets rotate {stack}`"
        elif problem["input"] is None:
            yield f"{path} is empty: set it or remove it"
        elif problem["type"] == "model_type":
            yield f"{path} is a section: write its settings below it"
        elif problem["type"] == "value_error":
            yield f"{path}: {problem['ctx']['error']}"
        else:
            yield f"{path} {problem['msg'].removeprefix('Input ')}"


def _contradictions(merged: Mapping[str, Any]) -> Iterator[str]:
    """What no setting shows alone. It reads raw values, so that a mistake in one does not hide it in others."""
    yield from _disordered(merged, "")
    match merged:
        case {
            "app": {"workers": int() as workers, "replicas": {"max": int() as replicas}},
            "database": {"max_connections": int() as connections},
        } if min(workers, replicas, connections) > 0 and connections_per_worker(connections, replicas, workers) < 1:
            needed = RESERVED_CONNECTIONS + (replicas + 1) * workers
            yield (
                f"database.max_connections is {connections} but app.replicas.max of {replicas} with app.workers of "
                f"{workers} needs {needed}"
            )
    yield from _storage(merged.get("backup"))
    if merged.get("preview_environment") and merged.get("recovery"):
        yield "recovery is set, but a preview environment is in no backup: remove it"
    match merged:
        case {"environment": Environment.PROD, "app": {"uploads": {"access_mode": "ReadWriteOnce"}}}:
            yield "app.uploads.access_mode is ReadWriteOnce, but pods on several nodes need ReadWriteMany"


def _storage(backup: object) -> Iterator[str]:
    match backup:
        case {"storage": "aws" | "s3-compatible" as storage, **others}:
            yield from (
                f"backup.{name} is missing: backup.storage {storage} needs it"
                for name in STORAGE_NEEDS[storage]
                if others.get(name) is None
            )
            yield from (
                f"backup.{name} is set, but backup.storage {storage} has no use for it: remove it"
                for name in STORAGE_IGNORES[storage]
                if others.get(name) is not None
            )
            if others.get("replica_region") is not None and others["replica_region"] == others.get("region"):
                yield f"backup.replica_region is {others['region']}, where backups are already: choose another"


def _disordered(section: Mapping[str, Any], path: str) -> Iterator[str]:
    for low, high in ORDERED:
        first, second = _amount(section.get(low)), _amount(section.get(high))
        if first is not None and second is not None and first > second:
            yield f"{path}{low} is {section[low]} but {path}{high} is {section[high]}"
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _disordered(value, f"{path}{key}.")


def _amount(value: Any) -> int | None:
    """A number, or a quantity in its smallest unit; None for what is neither."""
    match value:
        case int():
            return value
        case str() if re.fullmatch(Memory.pattern, value):
            return Memory(value).bytes
        case str() if re.fullmatch(Cpu.pattern, value):
            return Cpu(value).millicores
        case _:
            return None


def _stack_of(file: str) -> str:
    return Path(file).name.removeprefix("Pulumi.").removesuffix(".yaml")
