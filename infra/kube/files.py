"""Configuration files as data."""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml


def as_yaml(document: object) -> str:
    """The document as YAML, in its own order; texts of a type of their own, such as quantities, as plain texts."""
    plain = json.loads(json.dumps(document))
    return yaml.safe_dump(plain, sort_keys=False, width=1000)


def as_ini(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Sections of `name=value`, in their own order."""
    return "\n".join(
        "".join([f"[{section}]\n", *(f"{name}={value}\n" for name, value in options.items())])
        for section, options in sections.items()
    )
