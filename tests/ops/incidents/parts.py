"""What the tests of incidents share: a clock that is wound by hand, and messages as Alertmanager writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from modelcard_ops.incidents.communication import Audience

START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC).timestamp()
AUDIENCE = Audience(slack=True, recipients=("day@example.com", "night@example.com"), status_page="page1")
NEVER = "0001-01-01T00:00:00Z"


class WoundClock:
    """Seconds since the epoch, as far as it has been wound."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def wind(self, *, minutes: float = 0, hours: float = 0, seconds: float = 0) -> None:
        """Goes on."""
        self.now += seconds + 60 * minutes + 3600 * hours


def alert(name: str, at: float, *, ended: float | None = None, **labels: str) -> dict[str, Any]:
    """One alert of a message, that began at this time."""
    every = {"alertname": name, **labels}
    return {
        "status": "firing" if ended is None else "resolved",
        "labels": every,
        "annotations": {
            "summary": f"{name} is broken",
            "description": "It does not work",
            "runbook_url": f"https://runbooks.terragonlabs.com/{name.lower()}",
            "dashboard": "/d/service",
        },
        "startsAt": written(at),
        "endsAt": NEVER if ended is None else written(ended),
        "generatorURL": f"http://prometheus/graph?g0.expr={name}",
        "fingerprint": fingerprint(every),
    }


def fingerprint(labels: Mapping[str, str]) -> str:
    """Alike for alike labels, 16 hex digits."""
    return hashlib.sha256(json.dumps(dict(labels), sort_keys=True).encode()).hexdigest()[:16]


def written(seconds: float) -> str:
    """As Alertmanager writes a time."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def message(*alerts: Mapping[str, Any], truncated: int = 0) -> dict[str, Any]:
    """A webhook's body about a group."""
    name = alerts[0]["labels"]["alertname"]
    firing = any(each["status"] == "firing" for each in alerts)
    return {
        "version": "4",
        "groupKey": f'{{}}/{{priority="{alerts[0]["labels"].get("priority", "")}"}}:{{alertname="{name}"}}',
        "truncatedAlerts": truncated,
        "status": "firing" if firing else "resolved",
        "receiver": "p0",
        "groupLabels": {"alertname": name},
        "commonLabels": {"alertname": name},
        "commonAnnotations": alerts[0]["annotations"] if len(alerts) == 1 else {},
        "externalURL": "https://localhost:9093",
        "alerts": list(alerts),
    }


def body(*alerts: Mapping[str, Any], **more: Any) -> bytes:
    """As it is sent."""
    return json.dumps(message(*alerts, **more)).encode()
