"""Whether each difference between two stacks has a reason, and nothing but settings makes one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.defaults import reasons
from infra.environments.preview.difference import difference
from infra.environments.preview.manifests import Manifests
from infra.settings import Settings

# What a stack is and what its own life has made of it, not what it was given.
OWN = frozenset({"environment", "secrets", "rotation"})


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A setting that differs, and why it may. `before` is the other stack's."""

    key: str
    before: Any
    after: Any
    why: str


def differing(other: Settings, stack: Settings) -> dict[str, tuple[Any, Any]]:
    """Dotted key of each setting that differs, to both of its values, the other stack's first."""
    old, new = dict(_flat(_given(other))), dict(_flat(_given(stack)))
    both = {key: (old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys())}
    return {key: (before, after) for key, (before, after) in both.items() if before != after}


def explained(other: Settings, stack: Settings, why: Mapping[str, str] | None = None) -> tuple[Explained, ...]:
    """The settings that differ for a reason."""
    why = reasons() if why is None else why
    return tuple(
        Explained(key=key, before=before, after=after, why=why[key])
        for key, (before, after) in differing(other, stack).items()
        if key in why
    )


def unexplained(
    names: tuple[str, str], other: Settings, stack: Settings, why: Mapping[str, str] | None = None
) -> list[str]:
    """The settings that differ without a reason; `names` are those of the two stacks."""
    why = reasons() if why is None else why
    return [
        f"Pulumi.{names[0]}.yaml: {key} differs from {names[1]} ({before}, {after}) "
        "without a reason in infra/defaults.py"
        for key, (before, after) in differing(other, stack).items()
        if key not in why
    ]


def left_over(
    names: tuple[str, str], other: Settings, stack: Settings, theirs: Manifests, render: Callable[[Settings], Manifests]
) -> list[str]:
    """What still differs when this stack is given the other's settings: the program asks which stack it is."""
    ours = render(other.model_copy(update={"environment": stack.environment}))
    return [
        f"{each.key}: {change} differs between {names[0]} and {names[1]} though all settings are alike"
        for each in difference(theirs, ours)
        for change in [", ".join(change.path for change in each.changes) or f"being {each.effect}"]
    ]


def _given(settings: Settings) -> Mapping[str, Any]:
    return settings.model_dump(mode="json", exclude=set(OWN))


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
