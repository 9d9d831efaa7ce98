"""The key under which a call's result is kept.

Two calls share a key only if no function could tell their arguments apart; the order of a dictionary's or a set's
members is the one exception. `1`, `"1"`, `True` and `1.0` are four different arguments.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Any
from uuid import UUID

from pydantic import BaseModel

PLAIN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def canonical(value: object) -> str:
    """A text for `value` that no other value has.

    Every part is either fixed, ends with `;` that cannot occur in it, or says its length first. Raises TypeError for a
    type that it does not know: subclasses of the built-in types among them, which may behave in ways of their own.
    """
    form = FORMS.get(type(value))
    if form is not None:
        return form(value)
    if isinstance(value, Enum):
        # A member is its name; a combination of flags may have none.
        return f"e{_class(value)}{_text(value.name or '')}{canonical(value.value) if isinstance(value, Flag) else ''}"
    if isinstance(value, BaseModel):
        # Its `__dict__` holds cached properties too.
        fields = {name: item for name, item in value.__dict__.items() if name in type(value).model_fields}
        state = (fields, value.__pydantic_extra__, value.__pydantic_private__, value.__pydantic_fields_set__)
        return f"m{_class(value)}{''.join(map(canonical, state))}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"c{_class(value)}{_dict({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})}"
    raise TypeError(f"a {type(value).__qualname__} cannot be part of a cache key")


def _text(value: str) -> str:
    return f"s{len(value)}:{value}"


def _class(value: object) -> str:
    return _text(f"{type(value).__module__}.{type(value).__qualname__}")


def _dict(value: Mapping[Any, Any]) -> str:
    # Sorted by the forms of the keys: keys of several types have no order of their own.
    return f"d{''.join(sorted([canonical(key) + canonical(item) for key, item in value.items()]))};"


def _moment(value: datetime | time) -> str:
    # The time zone too: an hour later is another moment in Berlin than at a fixed offset.
    return f"t{value.isoformat()};{value.fold}{_text(repr(value.tzinfo))}"


FORMS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "N",
    bool: lambda value: "T" if value else "F",
    int: lambda value: f"i{value:x};",  # decimal digits stop at 4300 (sys.set_int_max_str_digits)
    float: lambda value: f"f{value!r};",
    str: _text,
    bytes: lambda value: f"b{value.hex()};",
    tuple: lambda value: f"({''.join(map(canonical, value))})",
    list: lambda value: f"[{''.join(map(canonical, value))}]",
    set: lambda value: f"S{''.join(sorted(map(canonical, value)))};",
    frozenset: lambda value: f"Z{''.join(sorted(map(canonical, value)))};",
    dict: _dict,
    UUID: lambda value: f"u{value.hex}",
    Decimal: lambda value: f"D{value};",
    datetime: lambda value: f"w{_moment(value)}",
    time: lambda value: f"h{_moment(value)}",
    date: lambda value: f"y{value.isoformat()}",
    timedelta: lambda value: f"l{value.days};{value.seconds};{value.microseconds};",
}


class Keys:
    """The keys of one function's calls: `PREFIX:MODULE.QUALNAME:SHA256`.

    However a call is spelled, by position, by name or with defaults left out, its key is the same. Another `version`,
    or other parameters, give other keys. Raises TypeError for what has no name, and for what takes `self`: it would
    have to be the bound method.
    """

    def __init__(self, function: Callable[..., object], prefix: str, version: int) -> None:
        if not hasattr(function, "__qualname__"):
            raise TypeError(f"{function!r} has no name that its cache keys could have")
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.prefix = f"{prefix}:{self.name}"
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        self._names = tuple(parameters)
        if self._names[:1] in {("self",), ("cls",)}:
            raise TypeError(f"{self.name} takes {self._names[0]}: cache the bound method, once there is an object")
        self._plain = all(each.kind in PLAIN for each in parameters.values())
        self._positional = sum(each.kind is PLAIN[0] for each in parameters.values())
        self._defaults = {name: each.default for name, each in parameters.items() if each.default is not each.empty}
        self._salt = canonical((version, self._names))

    def of(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> str:
        """The key of one call. Raises TypeError for an argument that has no canonical form, and for a wrong call."""
        values = self._values(args, kwargs)
        try:
            text = self._salt + "".join(map(canonical, values))
        except (TypeError, RecursionError):
            raise self._complaint(values) from None
        # A lone surrogate is a character like any other.
        return f"{self.prefix}:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"

    def _values(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> tuple[object, ...]:
        # By hand, because Signature.bind takes ten times as long and every hit passes here.
        if self._plain and len(args) <= self._positional:
            missing = self._names[len(args) :]
            if not missing and not kwargs:
                return args
            given = {**self._defaults, **kwargs}
            if kwargs.keys() <= set(missing) and all(name in given for name in missing):
                return args + tuple([given[name] for name in missing])
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple(bound.arguments.values())

    def _complaint(self, values: tuple[object, ...]) -> TypeError:
        for name, value in zip(self._names, values, strict=True):
            try:
                canonical(value)
            except TypeError as error:
                return TypeError(f"{self.name}: argument {name}: {error}")
            except RecursionError:
                return TypeError(f"{self.name}: argument {name}: it contains itself, or is nested too deeply")
        return TypeError(f"{self.name}: its arguments are nested too deeply")
