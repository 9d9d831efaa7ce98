"""What is written of an incident: each is part of a transaction of who calls it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelcard_ops.incidents.communication import Audience, IncidentCommunication, Kind, Note
from modelcard_ops.incidents.severity import REMINDER, RESPONSE, Severity, State
from modelcard_ops.incidents.store import Row, Store

Clock = Callable[[], float]
SELF = "responder"


class RefusedError(Exception):
    """What cannot be done with an incident as it is, and what to do instead."""


class UnknownIncidentError(RefusedError):
    """There is no such incident."""


def identity(number: int) -> str:
    """How people call it."""
    return f"INC-{number:04d}"


def number_of(name: str) -> int:
    """The number in what people call it. Raises `UnknownIncidentError`."""
    digits = name.upper().removeprefix("INC-")
    if not digits.isdecimal() or len(digits) > 12:
        raise UnknownIncidentError(f"{name} is no incident: they are called INC-0001; see `mcops incident list`")
    return int(digits)


def span(seconds: int) -> str:
    """A length of time for people."""
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The incidents of a store, and who is told of them."""

    store: Store
    audience: Audience
    clock: Clock

    def open(  # noqa: PLR0913 - what an incident begins with
        self,
        *,
        title: str,
        severity: Severity,
        source: str,
        by: str,
        summary: str,
        impact: str,
        more: Mapping[str, str],
    ) -> int:
        """Opens one: its clock runs, an assessment is ordered, and people are told."""
        now = self.clock()
        due = now + RESPONSE[severity]
        number = self.store.write(
            "INSERT INTO incidents (title, severity, state, source, opened_by, opened_at, due_at, summary, impact)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            title[:300], severity, State.INVESTIGATING, source, by, now, due, summary, impact,
        )  # fmt: skip
        self.store.count("opened", severity)
        self.event(number, "opened", by, title, {"due_at": due})
        self.start(number, "respond", due)
        self.start(number, "assess", now)
        ack = f"`mcops incident ack {identity(number)}` within {span(RESPONSE[severity])}"
        self.tell(self.row(number), "opened", summary, more={"Title": title, **more, "Acknowledge": ack})
        return number

    def acknowledge(self, incident: Row, by: str, *, quiet: bool = False) -> None:
        """Stops the clock of the response and starts the one of updates."""
        number, now = incident["number"], self.clock()
        self.store.write(
            "UPDATE incidents SET acknowledged_at = ?, acknowledged_by = ? WHERE number = ?", now, by, number
        )
        self.stop(number, "respond")
        self.start(number, "update", now + REMINDER[Severity(incident["severity"])])
        text = f"{by} has come after {span(max(0, int(now - incident['opened_at'])))}"
        self.event(number, "acknowledged", by, text, {"in_time": now <= incident["due_at"]})
        if not quiet:
            self.tell(self.row(number), "acknowledged", text)

    def reclassify(self, incident: Row, severity: Severity, by: str, why: str) -> None:
        """Gives it another severity, and the time to respond that goes with it."""
        number, now = incident["number"], self.clock()
        raised = severity < Severity(incident["severity"])
        # A worse one leaves less time from now on; a lesser one as much as if it had always been that.
        due = (
            min(incident["due_at"], now + RESPONSE[severity]) if raised else incident["opened_at"] + RESPONSE[severity]
        )
        self.store.write("UPDATE incidents SET severity = ?, due_at = ? WHERE number = ?", severity, due, number)
        if incident["acknowledged_at"] is None and incident["breached_at"] is None:
            self.start(number, "respond", due)
        text = f"{incident['severity']} is now {severity}: {why}"
        self.event(number, "severity", by, text, {"from": incident["severity"], "to": severity})
        if by == SELF:
            self.tell(self.row(number), "alerts", text)

    def resolve(self, incident: Row, by: str, summary: str, *, public: bool = True) -> None:
        """Ends it, with all of its clocks."""
        number = incident["number"]
        self.store.write(
            "UPDATE incidents SET state = ?, resolved_at = ? WHERE number = ?", State.RESOLVED, self.clock(), number
        )
        self.store.write("UPDATE groups SET open = 0 WHERE incident = ?", number)
        self.store.write("DELETE FROM timers WHERE incident = ? AND kind != 'assess'", number)
        self.event(number, "resolved", by, summary, {})
        self.tell(self.row(number), "resolved", summary, public=public)

    def set_state(self, number: int, state: State) -> None:
        """Says where it is."""
        self.store.write("UPDATE incidents SET state = ? WHERE number = ?", state, number)

    def event(self, number: int, kind: str, actor: str, summary: str, data: Mapping[str, Any]) -> None:
        """Writes a line of its timeline."""
        incident = self.row(number)
        self.store.write(
            "INSERT INTO events (incident, at, kind, actor, state, severity, summary, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            number, self.clock(), kind, actor, incident["state"], incident["severity"], summary, json.dumps(data),
        )  # fmt: skip

    def told_last(self, number: int, kind: str) -> bool:
        """Whether the last event but for assessments and reminders is of this kind."""
        row = self.store.first(
            "SELECT kind FROM events WHERE incident = ? AND kind NOT IN ('assessment', 'reminder')"
            " ORDER BY id DESC LIMIT 1",
            number,
        )
        return row is not None and row["kind"] == kind

    def tell(  # noqa: PLR0913 - what an update may say
        self,
        incident: Row,
        kind: Kind,
        summary: str,
        *,
        more: Mapping[str, str] | None = None,
        next_update: datetime | None = None,
        resolution_eta: datetime | None = None,
        public: bool = True,
    ) -> None:
        """Puts what is said of it into the outbox."""
        now = self.clock()

        def post(sink: str, target: str, note: Note) -> None:
            self.store.write(
                "INSERT INTO outbox (incident, sink, target, message, created_at, not_before)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                incident["number"], sink, target, json.dumps(note.as_data()), now, now,
            )  # fmt: skip

        IncidentCommunication(
            incident_id=identity(incident["number"]),
            severity=Severity(incident["severity"]),
            audience=self.audience,
            post=post,
            public=public,
        ).post_update(
            State(incident["state"]),
            summary,
            incident["impact"],
            kind=kind,
            timestamp=datetime.fromtimestamp(now, UTC),
            next_update=next_update,
            resolution_eta=resolution_eta,
            more=more,
        )

    def start(self, number: int, kind: str, due: float) -> None:
        """Starts a clock, or sets it anew."""
        self.store.write("INSERT OR REPLACE INTO timers VALUES (?, ?, ?)", number, kind, due)

    def stop(self, number: int, kind: str) -> bool:
        """Stops a clock; whether it was running."""
        running = self.timer(number, kind) is not None
        self.store.write("DELETE FROM timers WHERE incident = ? AND kind = ?", number, kind)
        return running

    def timer(self, number: int, kind: str) -> float | None:
        """When a clock is due."""
        row = self.store.first("SELECT due_at FROM timers WHERE incident = ? AND kind = ?", number, kind)
        return float(row["due_at"]) if row else None

    def row(self, number: int) -> Row:
        """The incident. Raises `UnknownIncidentError`."""
        row = self.store.first("SELECT * FROM incidents WHERE number = ?", number)
        if row is None:
            raise UnknownIncidentError(f"there is no {identity(number)}: see `mcops incident list`")
        return row

    def open_row(self, number: int) -> Row:
        """The incident, as long as it is open."""
        row = self.row(number)
        if row["state"] == State.RESOLVED:
            raise RefusedError(f"{identity(number)} is resolved: if it is back, declare another")
        return row
