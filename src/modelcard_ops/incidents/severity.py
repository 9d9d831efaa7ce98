"""How bad an incident is, how soon somebody must have come, and whom that concerns: the operations guide's table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

MINUTE, HOUR = 60, 3600


class Severity(StrEnum):
    """P0 is a complete outage, P3 a cosmetic fault."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class State(StrEnum):
    """Where an incident is; only the last is final."""

    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    MONITORING = "monitoring"
    RESOLVED = "resolved"


# Seconds until somebody must have acknowledged.
RESPONSE: Mapping[Severity, int] = {
    Severity.P0: 15 * MINUTE,
    Severity.P1: HOUR,
    Severity.P2: 4 * HOUR,
    Severity.P3: 24 * HOUR,
}
# Seconds until who works on it is reminded to say how it stands. 20 minutes: PagerDuty, "During an Incident"; where
# less is at stake, as often as somebody must have come.
REMINDER: Mapping[Severity, int] = {**RESPONSE, Severity.P0: 20 * MINUTE}
# Who is unsure takes it for the worse; nothing known at all is what Alertmanager's routes take it for.
UNSURE = Severity.P1
OF_LABEL: Mapping[str, Severity] = {"critical": Severity.P0, "warning": Severity.P1, "info": Severity.P3}
CHANNELS = ("#incidents",)
EVERYBODY = (*CHANNELS, "#engineering", "#leadership")
URGENT = (Severity.P0, Severity.P1)


def highest(severities: Iterable[Severity]) -> Severity:
    """The worst of several that are possible; `UNSURE` of none."""
    return min(severities, default=UNSURE)


def of_alert(labels: Mapping[str, str]) -> Severity:
    """What an alert's labels say: its priority, or the worst that its severity allows."""
    priority = labels.get("priority", "")
    return Severity(priority) if priority in set(Severity) else OF_LABEL.get(labels.get("severity", ""), UNSURE)


def channels(severity: Severity) -> tuple[str, ...]:
    """Slack's channels that are told: of what is urgent, everybody."""
    return EVERYBODY if severity in URGENT else CHANNELS
