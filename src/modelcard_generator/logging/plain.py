"""Makes JSON of anything at all: what `orjson` refuses is written another way, what is too long is cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

DEPTH = 16
BYTES = (bytes, bytearray, memoryview)
LISTS = (list, tuple, set, frozenset)


def text(value: object) -> str:
    """`str(value)`, or what can be said about a value that has none. Lone surrogates are written out: `\\udc80`."""
    try:
        string = bytes(value).decode("utf-8", "backslashreplace") if isinstance(value, BYTES) else str(value)
        return string.encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 - whatever it is, the record is written
        return f"<unprintable {type(value).__name__}>"


def unknown(value: object) -> object:
    """What `orjson` asks about a type that it does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    return float(value) if isinstance(value, float) else text(value)  # numpy has floats of its own


def plain(value: Any, inside: tuple[int, ...] = ()) -> Any:
    """The value as JSON has it; what is deeper than `DEPTH`, or within itself, is text. `inside`: its parents."""
    try:
        if isinstance(value, (Mapping, *LISTS)):
            if len(inside) == DEPTH or id(value) in inside:
                return text(value)
            inside = (*inside, id(value))
            if isinstance(value, Mapping):
                return {text(name): plain(each, inside) for name, each in list(value.items())}
            return [plain(each, inside) for each in list(value)]
        if not isinstance(value, str):
            return orjson.loads(orjson.dumps(value, default=unknown))
    except Exception:  # noqa: BLE001, S110 - a type of somebody's own, or a number too large; it is text then
        pass
    return text(value)


def fit(value: Any, size: int) -> Any:
    """A JSON value in at most `size` bytes of JSON: a string is cut, anything else that is longer becomes one first."""
    written = orjson.dumps(value)
    if len(written) <= size:
        return value
    string = value if isinstance(value, str) else written.decode()
    begins = string[: size - 2]
    return begins if len(orjson.dumps(begins)) <= size else string[: size // 6 - 2]  # `\u0000` is the longest character
