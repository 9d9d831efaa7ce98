"""What a policy is made of: resources go in, rules read them, findings come out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final


class Unknown(Enum):
    """The type of `UNKNOWN`, which stands for a value that exists only after deployment."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN

# The path within the resource, and what is wrong there. UNKNOWN: it cannot be told before deployment.
Violation = tuple[str, str | Unknown]


class UnknownValueError(Exception):
    """A rule needs a value that is not known before deployment."""

    def __init__(self, path: str) -> None:
        """Remember where the value was to be read."""
        super().__init__(f"{path} is not known before deployment")
        self.path = path


@dataclass(frozen=True)
class Node:
    """A place in a resource: it knows its path, and refuses to hand out what is not known yet."""

    path: str
    raw: Any = field(repr=False)

    @property
    def value(self) -> Any:
        """The value; None where nothing is set. Raises `UnknownValueError` if any part of it is unknown."""
        unknown = _first_unknown(self)
        if unknown is not None:
            raise UnknownValueError(unknown.path)
        return self.raw

    def at(self, *keys: str) -> Node:
        """The place below, whether or not anything is set there."""
        node = self
        for key in keys:
            fields = node._container(Mapping) or {}
            node = Node(f"{node.path}.{key}" if node.path else key, fields.get(key))
        return node

    def elements(self) -> Iterator[Node]:
        """Each element of a list, labelled by its name where it has one."""
        for position, element in enumerate(self._container(list) or ()):
            name = element.get("name") if isinstance(element, Mapping) else None
            yield Node(f"{self.path}[{name if isinstance(name, str) else position}]", element)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Each key of a map with the place it names."""
        for key, value in (self._container(Mapping) or {}).items():
            yield key, Node(f"{self.path}[{key}]", value)

    def _container(self, kind: type) -> Any:
        if self.raw is UNKNOWN:
            raise UnknownValueError(self.path)
        if self.raw is not None and not isinstance(self.raw, kind):
            raise TypeError(f"{self.path} is a {type(self.raw).__name__}, not a {kind.__name__}")
        return self.raw


def _first_unknown(node: Node) -> Node | None:
    if node.raw is UNKNOWN:
        return node
    below: Iterable[Node] = ()
    if isinstance(node.raw, Mapping):
        below = (node.at(key) for key in node.raw)
    elif isinstance(node.raw, list):
        below = node.elements()
    return next((unknown for child in below if (unknown := _first_unknown(child))), None)


@dataclass(frozen=True)
class Resource:
    """A resource as its provider sees it: `type` is a Pulumi token, `name` the logical name."""

    type: str
    name: str
    properties: Mapping[str, Any] = field(repr=False)

    def __str__(self) -> str:
        """The type and the logical name, as exceptions and findings spell them."""
        return f"{self.type}::{self.name}"

    @property
    def root(self) -> Node:
        """The top of its properties."""
        return Node("", self.properties)


@dataclass(frozen=True)
class Control:
    """A demand made by somebody else that a rule enforces."""

    title: str
    reference: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one resource. It names places, never their values, which may be secret."""

    rule: str
    resource: str
    path: str
    message: str
    internal: bool = False  # the rule itself failed: no exception may cover that

    def __str__(self) -> str:
        """One line for people."""
        place = f" {self.path}" if self.path else ""
        return f"{self.resource}{place}: {self.message}"


Check = Callable[[Resource], Iterable[Violation]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A pure check of one resource, with the control that demands it and the remedy."""

    name: str
    summary: str
    control: Control
    remedy: str
    kinds: frozenset[str]
    check: Check

    def findings(self, resource: Resource) -> Iterator[Finding]:
        """What the rule finds. What it cannot check, for want of a value or by a defect of its own, is a finding."""
        if resource.type not in self.kinds:
            return
        try:
            for path, message in self.check(resource):
                yield self._finding(resource, path, message)
        except UnknownValueError as unknown:
            yield self._finding(resource, unknown.path, UNKNOWN)
        except Exception as error:  # noqa: BLE001 (a rule that fails must not let the resource pass)
            # Only the place of the error: its text may quote a value.
            message = f"internal error in rule {self.name} ({_origin(error)}); correct the rule"
            yield Finding(self.name, str(resource), "", message, internal=True)

    def _finding(self, resource: Resource, path: str, message: str | Unknown) -> Finding:
        if message is UNKNOWN:
            message = f"is not known before deployment, so {self.name} cannot be checked; make it a plain value"
        return Finding(self.name, str(resource), path, message)


def _origin(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"
