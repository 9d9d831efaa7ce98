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

    def __init__(self, path: str, owner: str = "") -> None:
        """Remember where the value was to be read, and of which resource."""
        super().__init__(f"{path} is not known before deployment")
        self.path = path
        self.owner = owner


@dataclass(frozen=True)
class Node:
    """A place in a resource: it knows its path, and refuses to hand out what is not known yet."""

    path: str
    raw: Any = field(repr=False)
    owner: str = ""  # the resource that it is a place of

    @property
    def value(self) -> Any:
        """The value; None where nothing is set. Raises `UnknownValueError` if any part of it is unknown."""
        unknown = _first_unknown(self)
        if unknown is not None:
            raise UnknownValueError(unknown.path, unknown.owner)
        return self.raw

    def at(self, *keys: str) -> Node:
        """The place below, whether or not anything is set there."""
        node = self
        for key in keys:
            fields = node._container(Mapping) or {}
            node = Node(f"{node.path}.{key}" if node.path else key, fields.get(key), self.owner)
        return node

    def elements(self) -> Iterator[Node]:
        """Each element of a list, labelled by its name where it has one."""
        for position, element in enumerate(self._container(list) or ()):
            name = element.get("name") if isinstance(element, Mapping) else None
            yield Node(f"{self.path}[{name if isinstance(name, str) else position}]", element, self.owner)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Each key of a map with the place it names."""
        for key, value in (self._container(Mapping) or {}).items():
            yield key, Node(f"{self.path}[{key}]", value, self.owner)

    def _container(self, kind: type) -> Any:
        if self.raw is UNKNOWN:
            raise UnknownValueError(self.path, self.owner)
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
    """A resource as its provider sees it: `type` is a Pulumi token, `name` the logical name.

    `depends` names, for each property, the URNs of the resources that it was made from: they are known even where the
    value is not. `retain` is None where it cannot be told: the engine does not tell policies.
    """

    type: str
    name: str
    properties: Mapping[str, Any] = field(repr=False)
    urn: str = ""
    protect: bool = False
    retain: bool | None = None
    depends: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """The type and the logical name, as exceptions and findings spell them."""
        return f"{self.type}::{self.name}"

    @property
    def root(self) -> Node:
        """The top of its properties."""
        return Node("", self.properties, str(self))

    def at(self, *keys: str) -> Node:
        """A place in its properties."""
        return self.root.at(*keys)


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
    unknown: bool = False  # the value exists only after deployment

    def __str__(self) -> str:
        """One line for people."""
        place = f" {self.path}" if self.path else ""
        return f"{self.resource}{place}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What every rule says about itself: the control that demands it, the remedy, and the types that it is about.

    `kinds` is None where it is about every type. `deferred`: of a value that exists only when others have been made,
    the engine's preview cannot judge, and the deployment does, right before it makes the resource.
    """

    name: str
    summary: str
    control: Control
    remedy: str
    kinds: frozenset[str] | None
    deferred: bool = False

    def is_about(self, type_: str) -> bool:
        """Whether resources of this type are judged."""
        return self.kinds is None or type_ in self.kinds

    def judged(self, resource: Resource, check: Callable[[], Iterable[Violation]]) -> Iterator[Finding]:
        """What a check finds. What cannot be checked, for want of a value or by a defect of its own, is a finding."""
        try:
            for path, message in check():
                yield self._finding(resource, path, message)
        except UnknownValueError as unknown:
            elsewhere = f"{unknown.owner} " if unknown.owner not in {"", str(resource)} else ""
            yield self._finding(resource, f"{elsewhere}{unknown.path}", UNKNOWN)
        except Exception as error:  # noqa: BLE001 (a rule that fails must not let the resource pass)
            # Only the place of the error: its text may quote a value.
            message = f"internal error in rule {self.name} ({_origin(error)}); correct the rule"
            yield Finding(self.name, str(resource), "", message, internal=True)

    def _finding(self, resource: Resource, path: str, message: str | Unknown) -> Finding:
        if message is UNKNOWN:
            told = f"is not known before deployment, so {self.name} cannot be checked; make it a plain value"
            return Finding(self.name, str(resource), path, told, unknown=True)
        return Finding(self.name, str(resource), path, message)


Check = Callable[[Resource], Iterable[Violation]]


@dataclass(frozen=True, kw_only=True)
class Rule(Policy):
    """A pure check of one resource."""

    check: Check

    def findings(self, resource: Resource) -> Iterator[Finding]:
        """What the rule finds in the resource, if it is about it."""
        if self.is_about(resource.type):
            yield from self.judged(resource, lambda: self.check(resource))


def _origin(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"
