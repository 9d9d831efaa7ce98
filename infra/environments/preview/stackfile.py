"""Reads a stack file without the engine. Encrypted values are never decrypted: placeholders stand for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.errors import UserError
from infra.settings import MASK, PROJECT, Settings
from infra.settings_reading import SettingsError, parse, placeholder_secrets

CHECKOUT = Path(__file__).resolve().parents[3]
# Source: Pulumi documentation, "Stack settings file reference".
KEYS = frozenset({"config", "environment", "secretsprovider", "encryptedkey", "encryptionsalt"})
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(root: Path, stack: str) -> Settings:
    """The settings of a stack. Raises `UserError` with all that is wrong with its file."""
    path = find(root, stack)
    document = _load(path)
    problems = [
        f"{path.name}: {key} is not a key of a stack file: correct the name or remove it"
        for key in document
        if key not in KEYS
    ]
    config = document.get("config") or {}
    if not isinstance(config, Mapping):
        raise SettingsError([*problems, f"{path.name}: config is not a mapping of keys to values"])
    own = dict(_own(config))
    if _plain_text(own.get("secrets")):
        problems.append(f"{path.name}: secrets are in plain text: remove them and run `mcenv secrets init {stack}`")
    try:
        settings = parse({**_masked(own), "secrets": placeholder_secrets()}, file=path.name)
    except SettingsError as error:
        raise SettingsError(problems + error.problems) from None
    if problems:
        raise SettingsError(problems)
    return settings


def find(root: Path, stack: str) -> Path:
    """The stack's file: in this folder, or in the checkout that the folder is part of."""
    folders = (root, CHECKOUT) if root.resolve().is_relative_to(CHECKOUT) else (root,)
    name = f"Pulumi.{stack}.yaml"
    for folder in folders:
        if (path := folder / name).is_file():
            return path
    known = ", ".join(known_stacks(*folders)) or "none, there is no Pulumi.STACK.yaml here"
    raise UserError(f"{name}: there is no such stack: choose one of {known}")


def known_stacks(*folders: Path) -> list[str]:
    """The stacks that have a file in any of these folders."""
    return sorted({path.name.split(".")[1] for folder in folders for path in folder.glob("Pulumi.*.yaml")})


def _load(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - the safe loader, in C where it is built
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise UserError(f"{path.name}:{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name}:1: not YAML: {str(error).splitlines()[0]}") from None
    if document is not None and not isinstance(document, Mapping):
        raise UserError(f"{path.name}:1: not a stack file: it holds no mapping of keys to values")
    return document or {}


def _own(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The project's keys, without its prefix; those of providers such as `aws:region` are not ours to judge."""
    for key, value in config.items():
        namespace, colon, name = str(key).partition(":")
        if not colon:
            yield namespace, value
        elif namespace == PROJECT:
            yield name, value


def _masked(value: Any) -> Any:
    match value:
        case {"secure": _, **rest} if not rest:
            return MASK
        case Mapping():
            return {key: _masked(item) for key, item in value.items()}
        case list():
            return [_masked(item) for item in value]
        case _:
            return value


def _plain_text(secrets: Any) -> bool:
    """Whether any text in there is not encrypted."""
    match _masked(secrets):
        case str() as text:
            return text != MASK
        case Mapping() as section:
            return any(_plain_text(item) for item in section.values())
        case _:
            return False
