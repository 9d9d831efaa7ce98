"""Configuration files as data."""

from __future__ import annotations

import json

import yaml


def as_yaml(document: object) -> str:
    """The document as YAML, in its own order; texts of a type of their own, such as quantities, as plain texts."""
    plain = json.loads(json.dumps(document))
    return yaml.safe_dump(plain, sort_keys=False, width=1000)
