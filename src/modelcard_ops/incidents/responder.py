"""What an incident goes through: opened, acknowledged or escalated, updated, resolved. Each step is one transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from modelcard_ops.incidents.communication import Audience
from modelcard_ops.incidents.ledger import SELF, Clock, Ledger, RefusedError, identity, span
from modelcard_ops.incidents.receiving import SETTLE, Received, Receiving, StillFiring
from modelcard_ops.incidents.severity import REMINDER, RESPONSE, Severity, State, highest
from modelcard_ops.incidents.store import Row, Store
from modelcard_ops.incidents.webhook import Message

LOG = logging.getLogger(__name__)
RETENTION = 400 * 86400  # seconds; a year's incidents, and some, for who looks back


class Responder:
    """The incidents of a store. `changed` is called after what may have made messages."""

    def __init__(
        self,
        store: Store,
        *,
        audience: Audience,
        clock: Clock = time.time,
        still_firing: StillFiring = lambda _: None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store
        self.clock = clock
        self.ledger = Ledger(store=store, audience=audience, clock=clock)
        self._receiving = Receiving(self.ledger, still_firing)
        self.changed = changed
        self._pruned = 0.0
        self.last_tick = clock()

    def receive(self, message: Message) -> Received:
        """Takes a group's message; the same again changes nothing. Raises `ReplayedError` for one that is over."""
        received = self._receiving.receive(message)
        self.changed()
        return received

    def declare(  # noqa: PLR0913 - what a person says of an incident
        self,
        *,
        title: str,
        severities: Sequence[Severity],
        by: str,
        summary: str = "",
        impact: str = "",
        alerts: Sequence[str] = (),
        acknowledge: bool = False,
    ) -> int:
        """Opens an incident. Of several severities the worst counts; of none, the one for who is unsure."""
        with self.store.transaction("declare"):
            for alert in alerts:
                row = self.store.first("SELECT incident FROM groups WHERE alert = ? AND open", alert)
                if row is not None:
                    name = identity(row["incident"])
                    raise RefusedError(
                        f"{name} is open for {alert} already: `mcops incident ack {name}`, or leave it out"
                    )
            number = self.ledger.open(
                title=title, severity=highest(severities), source="person", by=by, summary=summary or title,
                impact=impact, more={},
            )  # fmt: skip
            for alert in dict.fromkeys(alerts):
                self.store.write("INSERT INTO expected VALUES (?, ?)", number, alert)
            if acknowledge:
                self.ledger.acknowledge(self.ledger.row(number), by)
        self.changed()
        return number

    def acknowledge(self, number: int, by: str) -> None:
        """Somebody has come. The clock of the response stops, the one of updates begins. Twice is as good as once."""
        with self.store.transaction("acknowledge"):
            incident = self.ledger.open_row(number)
            if incident["acknowledged_by"] == by:
                return
            if incident["acknowledged_at"] is not None:
                raise RefusedError(f"{identity(number)} was acknowledged by {incident['acknowledged_by']} already")
            self.ledger.acknowledge(incident, by)
        self.changed()

    def update(  # noqa: PLR0913 - what a person says of how it stands
        self,
        number: int,
        *,
        by: str,
        summary: str,
        impact: str | None = None,
        state: State | None = None,
        severity: Severity | None = None,
        next_update: datetime | None = None,
        resolution_eta: datetime | None = None,
        public: bool = True,
    ) -> None:
        """Somebody says how it stands, which is an acknowledgement, too."""
        now = self.clock()
        if state is State.RESOLVED:
            raise RefusedError(f"an update does not resolve: `mcops incident resolve {identity(number)}`")
        if next_update is not None and next_update.timestamp() <= now:
            raise RefusedError("the next update is in the past: give a time to come, or none")
        with self.store.transaction("update"):
            incident = self.ledger.open_row(number)
            if incident["acknowledged_at"] is None:
                self.ledger.acknowledge(incident, by, quiet=True)
            if severity is not None and severity != incident["severity"]:
                self.ledger.reclassify(self.ledger.row(number), severity, by, summary)
            if state is not None and state != incident["state"]:
                self.ledger.set_state(number, state)
                self.ledger.stop(number, "settle")
            self.store.write(
                "UPDATE incidents SET summary = ?, impact = coalesce(?, impact) WHERE number = ?",
                summary, impact, number,
            )  # fmt: skip
            incident = self.ledger.row(number)
            data = {
                "impact": incident["impact"],
                "next_update": next_update.isoformat() if next_update else None,
                "resolution_eta": resolution_eta.isoformat() if resolution_eta else None,
            }
            self.ledger.event(number, "update", by, summary, data)
            due = next_update.timestamp() if next_update else now + REMINDER[Severity(incident["severity"])]
            self.ledger.start(number, "update", due)
            self.ledger.tell(
                incident, "update", summary, next_update=next_update, resolution_eta=resolution_eta, public=public
            )
        self.changed()

    def resolve(self, number: int, *, by: str, summary: str, anyway: bool = False, public: bool = True) -> None:
        """Somebody says that it is over."""
        with self.store.transaction("resolve"):
            incident = self.ledger.open_row(number)
            firing = self.store.all("SELECT alert FROM groups WHERE incident = ? AND firing > 0", number)
            if firing and not anyway:
                names = ", ".join(sorted({row["alert"] for row in firing}))
                raise RefusedError(
                    f"{identity(number)}: {names} still fires: mend it, or `--anyway` (if it goes on, the next"
                    " notification opens another incident)"
                )
            if incident["acknowledged_at"] is None:
                self.ledger.acknowledge(incident, by, quiet=True)
            self.ledger.resolve(self.ledger.row(number), by, summary, public=public)
        self.changed()

    # -- time

    def tick(self) -> int:
        """Does what is due, each in a transaction of its own; how much it was. What fails holds up nothing else."""
        now, done = self.clock(), 0
        for timer in self.store.all("SELECT * FROM timers WHERE due_at <= ? AND kind != 'assess' ORDER BY due_at", now):
            try:
                with self.store.transaction(f"timer {timer['kind']}"):
                    # Somebody may have acknowledged meanwhile.
                    if self.ledger.timer(timer["incident"], timer["kind"]) == timer["due_at"]:
                        self._due(self.ledger.row(timer["incident"]), timer["kind"], now)
                done += 1
            except Exception:
                # It stays due, which Prometheus sees.
                LOG.exception(
                    "a clock stumbled", extra={"incident": identity(timer["incident"]), "kind": timer["kind"]}
                )
        self._prune(now)
        self.last_tick = now
        if done:
            self.changed()
        return done

    def overdue(self) -> float:
        """Seconds that the oldest timer has been due and nothing was done: more than a tick is a fault."""
        row = self.store.first("SELECT min(due_at) AS due FROM timers WHERE kind != 'assess'")
        return max(0.0, self.clock() - row["due"]) if row and row["due"] is not None else 0.0

    def _due(self, incident: Row, kind: str, now: float) -> None:
        number, severity = incident["number"], Severity(incident["severity"])
        if kind == "respond":
            self._escalate(incident, now)
            self.ledger.start(number, "respond", now + RESPONSE[severity])
        elif kind == "update":
            text = f"The last word about {identity(number)} is {span(REMINDER[severity])} old or was promised for now"
            self.ledger.event(number, "reminder", SELF, text, {})
            self.ledger.tell(incident, "reminder", text)
            self.ledger.start(number, "update", now + REMINDER[severity])
        else:
            self.ledger.resolve(incident, SELF, f"No alert has come back for {span(SETTLE)}.")

    def _escalate(self, incident: Row, now: float) -> None:
        number, severity = incident["number"], Severity(incident["severity"])
        level = incident["escalations"] + 1
        if incident["breached_at"] is None:
            text = f"Nobody acknowledged within {span(RESPONSE[severity])}"
            self.store.write("UPDATE incidents SET breached_at = ? WHERE number = ?", now, number)
            self.store.count("breaches", severity)
            self.ledger.event(number, "breach", SELF, text, {"due_at": incident["due_at"], "noticed_at": now})
        self.store.write("UPDATE incidents SET escalations = ? WHERE number = ?", level, number)
        self.store.count("escalations", severity)
        waited = span(max(0, int(now - incident["opened_at"])))
        text = f"{incident['title']}: unacknowledged for {waited}; `mcops incident ack {identity(number)}`"
        self.ledger.event(number, "escalation", SELF, text, {"level": level})
        self.ledger.tell(incident, "escalated", text)

    def _prune(self, now: float) -> None:
        if now - self._pruned < 86400:
            return
        self._pruned = now
        old = "SELECT number FROM incidents WHERE resolved_at < ?"
        with self.store.transaction("prune"):
            for table in ("timers", "outbox", "events", "alerts", "expected", "groups"):
                self.store.write(f"DELETE FROM {table} WHERE incident IN ({old})", now - RETENTION)  # noqa: S608 - names of ours
            self.store.write("DELETE FROM incidents WHERE resolved_at < ?", now - RETENTION)

    # -- assessments

    def unassessed(self) -> list[int]:
        """Incidents that wait for an assessment."""
        rows = self.store.all("SELECT incident FROM timers WHERE kind = 'assess' AND due_at <= ?", self.clock())
        return [int(row["incident"]) for row in rows]

    def attach_assessment(self, numbers: Sequence[int], report: Mapping[str, Any]) -> None:
        """Adds what was found to incidents, and tells who works on them."""
        for number in numbers:
            with self.store.transaction("assessment"):
                if self.ledger.stop(number, "assess"):
                    text = str(report["summary"])
                    self.ledger.event(number, "assessment", SELF, text, report)
                    incident = self.ledger.row(number)
                    if incident["state"] != State.RESOLVED:
                        self.ledger.tell(incident, "assessment", text)
        self.changed()
