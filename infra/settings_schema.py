"""The JSON Schema of a stack file, generated from the settings and committed, so that editors complete stack files.

`python -m infra.settings_schema` writes it; with `--check` it only says whether the committed one is up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.defaults import ENVIRONMENTS, TABLE
from infra.settings import PROJECT, Settings

FILE = Path(__file__).with_name("settings.schema.json")
COMMAND = "python -m infra.settings_schema"
# How Pulumi writes an encrypted value into a stack file.
ENCRYPTED = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}


def schema() -> dict[str, Any]:
    """Of `Pulumi.STACK.yaml`. Only `environment` is required: the table of defaults has the rest."""
    model = Settings.model_json_schema()
    settings = _expanded(model, model["$defs"], path="")["properties"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A stack of {PROJECT}",
        "type": "object",
        "properties": {
            "config": {
                "description": Settings.__doc__,
                "type": "object",
                "properties": {f"{PROJECT}:{name}": _at_the_top(each) for name, each in settings.items()},
                # What belongs to the providers, such as `aws:region`.
                "patternProperties": {f"^(?!{PROJECT}:)[^:]+:.+$": {}},
                "required": [f"{PROJECT}:environment"],
                "additionalProperties": False,
            },
            "secretsprovider": {"type": "string"},
            "encryptionsalt": {"type": "string"},
            "encryptedkey": {"type": "string"},
        },
        "required": ["config"],
        "additionalProperties": False,
    }


def _expanded(node: Mapping[str, Any], definitions: Mapping[str, Any], *, path: str) -> dict[str, Any]:
    """The node without references, since one section has other defaults in another place."""
    node = _resolved(node, definitions)
    kept = {key: value for key, value in node.items() if key not in {"$ref", "$defs", "required", "title", "default"}}
    if path == "secrets":
        return {"description": node["description"], **ENCRYPTED}
    if "anyOf" in kept:
        kept["anyOf"] = [_expanded(each, definitions, path="") for each in kept["anyOf"]]
    if "properties" in kept:
        kept["properties"] = {
            name: _expanded(each, definitions, path=f"{path}.{name}".lstrip("."))
            for name, each in kept["properties"].items()
        }
    if "items" in kept:
        entry = _resolved(kept["items"], definitions)
        # No table of defaults completes what is in a list.
        required = {"required": entry["required"]} if "required" in entry else {}
        kept["items"] = _expanded(entry, definitions, path="") | required
    if path in _DEFAULTS:
        kept["description"] = " ".join(filter(None, (_sentence(kept.get("description", "")), _DEFAULTS[path])))
    return kept


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a node that refers to a definition consists of; what it says itself comes first."""
    return {**definitions[node["$ref"].rsplit("/", 1)[-1]], **node} if "$ref" in node else node


def _at_the_top(setting: Mapping[str, Any]) -> Mapping[str, Any]:
    """`pulumi config set` writes what is not structured as text."""
    match setting.get("type"):
        case "integer":
            pattern: Mapping[str, Any] = {"type": "string", "pattern": "^[0-9]+$"}
        case "boolean":
            pattern = {"type": "string", "enum": ["true", "false"]}
        case _:
            return setting
    rule = {key: value for key, value in setting.items() if key != "description"}
    return {"description": setting["description"], "anyOf": [rule, pattern]}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _default(values: Mapping[str, Any], why: str) -> str:
    shown = {environment: "none" if value is None else json.dumps(value) for environment, value in values.items()}
    if len(set(shown.values())) == 1:
        return f"Default: {next(iter(shown.values()))}."
    return f"Default: {', '.join(f'{value} in {environment}' for environment, value in shown.items())}: {why}."


_DEFAULTS = {row.key: _default({each: getattr(row, each) for each in ENVIRONMENTS}, row.why) for row in TABLE}


def text() -> str:
    """The content of the committed file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Writes the file, or says whether it is stale."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed file is stale")
    if not parser.parse_args(arguments).check:
        FILE.write_text(text())
    elif not FILE.exists() or FILE.read_text() != text():
        print(f"infra/{FILE.name} is stale: run `{COMMAND}`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
