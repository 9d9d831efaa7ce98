"""The policy pack over a recording: the same rules that the engine enforces."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from infra.environments.recording import Registration
from policy import runner
from policy.levels import STRICTEST
from policy.model import Resource


def check(
    registrations: Iterable[Registration], *, environment: str = STRICTEST, today: date | None = None
) -> runner.Report:
    """What the policies say about these resources."""
    # Pulumi registers what depends on nothing in any order.
    known = sorted(resources(registrations), key=lambda each: each.urn)
    return runner.check(known, environment=environment, today=today or datetime.now(tz=UTC).date())


def resources(registrations: Iterable[Registration]) -> list[Resource]:
    """What was registered, as the policies see it."""
    return [
        Resource(
            each.type,
            each.name,
            each.unmasked,
            urn=each.urn,
            protect=each.protect,
            retain=each.retain_on_delete,
            depends=each.depends,
        )
        for each in registrations
        if each.custom
    ]
