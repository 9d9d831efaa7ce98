"""What a function returns, as JSON and back, by its return annotation. A pydantic secret comes back as asterisks."""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic_core import PydanticSerializationError

# Without these a NaN comes back as None, and bytes must be UTF-8.
JSON = ConfigDict(ser_json_inf_nan="constants", ser_json_bytes="base64", val_json_bytes="base64")


class Values:
    """Of one function. Raises TypeError if its return annotation cannot be understood."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"
        try:
            self._adapter = _adapter(_returned_type(function))
        except (NameError, PydanticUserError) as error:
            raise TypeError(f"{self._name}: what it returns cannot be cached: {error}") from None

    def pack(self, value: object) -> bytes:
        """As JSON. Raises TypeError if `value` is not what the annotation promises, or would not come back."""
        try:
            packed = self._adapter.dump_json(value, warnings="error", round_trip=True)
            self.unpack(packed)
        except (PydanticSerializationError, ValueError) as error:
            raise TypeError(f"{self._name} returned what cannot be cached: {error}") from None
        return packed

    def unpack(self, packed: bytes) -> Any:
        """A value that shares nothing with any other. Raises ValueError for what was not packed here."""
        return self._adapter.validate_json(packed, by_name=True, by_alias=False)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=JSON)
    except PydanticUserError:
        # Models and dataclasses have settings of their own and refuse others.
        return TypeAdapter(annotation)


def _returned_type(function: Callable[..., object]) -> Any:
    annotation = inspect.get_annotations(function).get("return", Any)
    # Only this one: the parameters' may be names for the type checker.
    target = inspect.unwrap(getattr(function, "__func__", function))
    hints = typing.get_type_hints(
        SimpleNamespace(__annotations__={"return": annotation}),
        globalns=getattr(target, "__globals__", {}),
        localns=_enclosing_names(target) if inspect.isfunction(target) else {},
        include_extras=True,
    )
    return hints["return"]


def _enclosing_names(function: FunctionType) -> dict[str, Any]:
    names = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # assigned only later
            names[name] = cell.cell_contents
    return names
