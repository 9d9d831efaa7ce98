"""The policy pack over a recording: the same rules that the engine enforces."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from infra.environments.recording import Registration
from policy import runner
from policy.model import Resource


def check(registrations: Iterable[Registration], *, today: date | None = None) -> runner.Report:
    """What the policies say about these resources."""
    resources = [Resource(each.type, each.name, each.unmasked) for each in registrations if each.custom]
    return runner.check(resources, today=today or datetime.now(tz=UTC).date())
