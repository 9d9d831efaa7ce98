"""How long a preview environment lives, and how a cluster remembers it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from infra.errors import UserError

EXPIRES = "modelcard/expires"  # an annotation of its first namespace
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
LONGEST = timedelta(days=14)  # of a branch that lives longer, somebody asks again


def parse(text: str) -> timedelta:
    """`90m`, `24h` or `3d`. Raises `UserError`."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if match is None:
        raise UserError(f"--ttl {text}: not a time: write a number and m, h or d, such as 24h")
    life = int(match[1]) * UNITS[match[2]]
    if life > LONGEST:
        raise UserError(f"--ttl {text}: an environment lives for {LONGEST.days} days at most: renew it by `env up`")
    return life


def written(moment: datetime) -> str:
    """A moment as it stands in the cluster."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def read(text: str | None) -> datetime | None:
    """The moment; None for what is none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def left(expires: datetime, now: datetime) -> str:
    """What is left of a life, for people."""
    minutes = int((expires - now).total_seconds() // 60)
    if minutes < 0:
        return "over"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = {"d": days, "h": hours, "m": minutes}
    return " ".join(f"{count}{unit}" for unit, count in parts.items() if count) or "0m"
