"""Which sets stay: the newest of each of so many days, weeks and months, counted over good sets only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelcard_ops.backup.catalog import BackupSet
from modelcard_ops.backup.errors import BackupError

# A set that does not count stays as long: its verification may be late, or somebody wants to know what was wrong.
GRACE = timedelta(days=2)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How many days, weeks and months have a set that stays."""

    daily: int
    weekly: int
    monthly: int


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What stays with the reason, and what goes."""

    keep: dict[str, str]
    delete: Sequence[str]


def decide(sets: Sequence[BackupSet], policy: Policy, now: datetime) -> Decision:
    """Of sets, oldest first. Raises `BackupError` for a policy that keeps nothing, or when no set counts."""
    if policy.daily + policy.weekly + policy.monthly == 0:
        raise BackupError("the retention keeps nothing: set MCOPS_BACKUP_KEEP_DAILY, _WEEKLY or _MONTHLY above 0")
    counting = [each for each in sets if each.counts]
    keep: dict[str, str] = {}
    if not counting:
        return Decision(keep={each.id: "no set is verified yet" for each in sets}, delete=())
    last = counting[-1]
    keep[last.id] = "the last verified"
    for name, count, period in _periods(policy):
        seen: set[str] = set()
        for each in reversed(counting):
            of = period(_when(each))
            if of not in seen and len(seen) < count:
                seen.add(of)
                keep.setdefault(each.id, f"{name} {of}")
    for each in sets:
        if each.id not in keep and not each.counts and (now - _when(each) < GRACE or _order(each) > _order(last)):
            keep[each.id] = f"{each.state}, too young to be given up"
    return Decision(keep=keep, delete=[each.id for each in sets if each.id not in keep])


def _periods(policy: Policy) -> list[tuple[str, int, Callable[[datetime], str]]]:
    return [
        ("day", policy.daily, lambda at: f"{at:%Y-%m-%d}"),
        ("week", policy.weekly, lambda at: f"{at:%G-W%V}"),
        ("month", policy.monthly, lambda at: f"{at:%Y-%m}"),
    ]


def _when(each: BackupSet) -> datetime:
    """By its name, which a damaged one still has: never by when somebody last touched the object."""
    return datetime.strptime(each.id.partition("-")[0] + "+0000", "%Y%m%dT%H%M%SZ%z")


def _order(each: BackupSet) -> int:
    return int(each.id.rpartition("-")[2])
