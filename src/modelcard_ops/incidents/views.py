"""Incidents as others see them: fit for JSON, the same for the page, the command line and the postmortem."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from modelcard_ops.incidents.ledger import Ledger, identity, span
from modelcard_ops.incidents.severity import RESPONSE, Severity, State
from modelcard_ops.incidents.store import Row
from modelcard_ops.incidents.webhook import links

LISTED = 200  # incidents, of those that are over


def moment(seconds: float | None) -> str | None:
    """A time for people and programs alike."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds is not None else None


def listing(ledger: Ledger, *, every: bool = False) -> list[dict[str, Any]]:
    """The incidents that are open, the worst and oldest first; with `every` the latest others as well."""
    rows = ledger.store.all("SELECT * FROM incidents WHERE state != ? ORDER BY severity, number", State.RESOLVED)
    if every:
        rows += ledger.store.all(
            "SELECT * FROM incidents WHERE state = ? ORDER BY number DESC LIMIT ?", State.RESOLVED, LISTED
        )
    return [summary(row, ledger.clock()) for row in rows]


def summary(row: Row, now: float) -> dict[str, Any]:
    """One incident, with its clocks."""
    severity = Severity(row["severity"])
    acknowledged, due = row["acknowledged_at"], row["due_at"]
    left = due - now if acknowledged is None else None
    return {
        "incident": identity(row["number"]),
        "title": row["title"],
        "severity": severity,
        "state": row["state"],
        "source": row["source"],
        "opened_by": row["opened_by"],
        "opened_at": moment(row["opened_at"]),
        "age": span(max(0, int((row["resolved_at"] or now) - row["opened_at"]))),
        "respond_within": span(RESPONSE[severity]),
        "respond_by": moment(due),
        "left": None if left is None or row["resolved_at"] else _left(left),
        "acknowledged_at": moment(acknowledged),
        "acknowledged_by": row["acknowledged_by"],
        "breached_at": moment(row["breached_at"]),
        "escalations": row["escalations"],
        "resolved_at": moment(row["resolved_at"]),
        "summary": row["summary"],
        "impact": row["impact"],
    }


def detail(ledger: Ledger, number: int) -> dict[str, Any]:
    """One incident with its timeline, alerts, clocks and messages."""
    row = ledger.row(number)
    store = ledger.store
    groups = store.all("SELECT * FROM groups WHERE incident = ? ORDER BY alert", number)
    return {
        **summary(row, ledger.clock()),
        "timeline": [_event(each) for each in store.all("SELECT * FROM events WHERE incident = ? ORDER BY id", number)],
        "alerts": [{"alert": each["alert"], "firing": each["firing"], "not_kept": each["more"]} for each in groups],
        "links": _links(ledger, number),
        "clocks": {
            each["kind"]: moment(each["due_at"])
            for each in store.all("SELECT * FROM timers WHERE incident = ? ORDER BY due_at", number)
        },
        "messages": [
            {
                "sink": each["sink"],
                "target": each["target"],
                "kind": json.loads(each["message"])["kind"],
                "state": each["state"],
                "attempts": each["attempts"],
                "created_at": moment(each["created_at"]),
                "done_at": moment(each["done_at"]),
                "error": each["error"],
            }
            for each in store.all("SELECT * FROM outbox WHERE incident = ? ORDER BY id", number)
        ],
    }


def _event(row: Row) -> dict[str, Any]:
    return {
        "at": moment(row["at"]),
        "kind": row["kind"],
        "by": row["actor"],
        "state": row["state"],
        "severity": row["severity"],
        "summary": row["summary"],
        "data": json.loads(row["data"]),
    }


def _links(ledger: Ledger, number: int) -> list[dict[str, str]]:
    """Each alert's graph, dashboard and runbook, once."""
    rows = ledger.store.all(
        "SELECT key, annotations, url, min(starts_at) FROM alerts WHERE incident = ? GROUP BY key", number
    )
    names = {
        row["key"]: row["alert"] for row in ledger.store.all("SELECT key, alert FROM groups WHERE incident = ?", number)
    }
    found = [{"alert": names.get(row["key"], ""), **links(json.loads(row["annotations"]), row["url"])} for row in rows]
    return sorted(found, key=lambda each: each["alert"])


def _left(seconds: float) -> str:
    return span(int(seconds)) if seconds >= 0 else f"{span(int(-seconds))} too late"


def timeline_text(incident: Mapping[str, Any]) -> str:
    """The timeline for people."""
    lines = [
        f"{incident['incident']} {incident['severity']} {incident['state']}: {incident['title']}",
        *(f"{each['at']}  {each['kind']:<12} {each['by']:<14} {each['summary']}" for each in incident["timeline"]),
    ]
    return "\n".join(lines)
