"""How much a rule counts in which environment. Whatever is not said here is mandatory everywhere.

A stack of an environment that nobody knows is judged as prod is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

STRICTEST = "prod"


class Level(StrEnum):
    """What a finding does: ends the run, is told, or is not looked for."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"
    DISABLED = "disabled"


@dataclass(frozen=True, kw_only=True)
class Relaxed:
    """Rules that count less in some environments, and why they may."""

    rules: frozenset[str]
    levels: Mapping[str, Level]
    why: str


RELAXED: tuple[Relaxed, ...] = (
    Relaxed(
        rules=frozenset({"bucket-outlives-stack", "kept-data", "kept-namespace", "key-deleted-late"}),
        levels={"local": Level.DISABLED, "dev": Level.DISABLED},
        why="nothing there that cannot be made again, and such a stack must be removable",
    ),
    Relaxed(
        rules=frozenset({"bucket-replicated"}),
        levels={"local": Level.DISABLED, "dev": Level.DISABLED},
        why="only prod must outlive the loss of a region",
    ),
    Relaxed(
        rules=frozenset({"several-replicas"}),
        levels={"local": Level.ADVISORY, "dev": Level.ADVISORY},
        why="a handful of people can wait for a pod",
    ),
    Relaxed(
        rules=frozenset({"known-publisher"}),
        levels={"local": Level.ADVISORY, "dev": Level.ADVISORY},
        why="an image of one's own may be tried there",
    ),
    Relaxed(
        rules=frozenset({"within-budget"}),
        levels={"local": Level.ADVISORY},
        why="simulated pods cost nothing",
    ),
)


def level_of(rule: str, environment: str) -> Level:
    """How much a rule counts in an environment."""
    return next(
        (each.levels[environment] for each in RELAXED if rule in each.rules and environment in each.levels),
        Level.MANDATORY,
    )
