"""The component tree of a recording, as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from infra.environments.recording import Registration


def tree(registrations: Iterable[Registration]) -> str:
    """One line per resource below its parent; components first, then by kind and name."""
    children: dict[str, list[Registration]] = defaultdict(list)
    for each in registrations:
        children[each.parent].append(each)
    return "\n".join(line for root in children[""] for line in (root.name, *_below(children, root.urn, "")))


def _below(children: dict[str, list[Registration]], parent: str, indent: str) -> Iterator[str]:
    ordered = sorted(children[parent], key=lambda each: (each.custom, _kind(each), each.name))
    for position, each in enumerate(ordered):
        last = position == len(ordered) - 1
        kept = "  (protected)" if each.protect else ""
        yield f"{indent}{'└── ' if last else '├── '}{_kind(each)} {each.name}{kept}"
        yield from _below(children, each.urn, indent + ("    " if last else "│   "))


def _kind(each: Registration) -> str:
    if each.type.startswith("pulumi:providers:"):
        return "Provider"
    return each.type.rpartition(":")[2]
