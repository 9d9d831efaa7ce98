"""Turns what Pulumi hands over into plain values: secrets unwrapped, unknowns as `UNKNOWN`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pulumi
from pulumi.output import Unknown as PulumiUnknown
from pulumi_policy import Secret, proxy

from policy.model import UNKNOWN

# How the engine writes an unknown on the wire, one text per type.
SENTINELS = frozenset(text for name, text in vars(proxy).items() if name.startswith("UNKNOWN_") and name.isupper())
# A secret on the wire is an envelope: this key with this signature, and the secret under "value".
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a published marker)


def plain(value: Any) -> Any:
    """Return `value` as dicts, lists and scalars, reading the proxies of pulumi-policy without tripping over them."""
    if isinstance(value, pulumi.Output | PulumiUnknown):
        return UNKNOWN
    if isinstance(value, str):
        # Anywhere in the text: a program that formats an unknown carries the sentinel along.
        return UNKNOWN if any(sentinel in value for sentinel in SENTINELS) else value
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        fields = _read(value, value)
        return fields.get("value") if fields.get(SIGNATURE) == SECRET else fields
    if isinstance(value, Sequence):
        return list(_read(value, range(len(value))).values())
    return value


def _read(container: Any, keys: Iterable[Any]) -> dict[Any, Any]:
    return {key: _known(container.__getitem__, key) for key in keys}


def _known(get: Callable[[Any], Any], key: Any) -> Any:
    try:
        return plain(get(key))
    except proxy.UnknownValueError:
        return UNKNOWN
