"""What becomes of Alertmanager's messages: the first of a group opens an incident, the others go on with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelcard_ops.incidents.ledger import SELF, Ledger, span
from modelcard_ops.incidents.severity import Severity, State, highest
from modelcard_ops.incidents.store import Row
from modelcard_ops.incidents.webhook import Alert, Message

# Whether any of these alerts fires now, by Alertmanager's own word; None if it gives none.
StillFiring = Callable[[Sequence[str]], bool | None]
SETTLE = 600  # seconds that all alerts must have been over before an incident that they opened is closed
KEPT = 500  # alerts of a group that are kept one by one; what is beyond is counted
SHOWN = 5  # of new alerts in a message


class ReplayedError(Exception):
    """A message that has been here before, and was true then."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """What came of a message; `incident` is None where it was about nothing that is open."""

    incident: int | None
    opened: bool
    new_alerts: int


class Receiving:
    """Takes messages into a ledger."""

    def __init__(self, ledger: Ledger, still_firing: StillFiring) -> None:
        self._ledger = ledger
        self._store = ledger.store
        self._still_firing = still_firing

    def receive(self, message: Message) -> Received:
        """Takes a group's message; the same again changes nothing. Raises `ReplayedError` for one that is over."""
        stale = self._stale(message)
        fresh = [each for each in message.alerts if each.fingerprint not in stale]
        if not fresh:
            raise ReplayedError(f"all {len(stale)} alerts of {message.name} have ended since")
        with self._store.transaction("webhook"):
            return self._take(message, fresh)

    def _stale(self, message: Message) -> set[str]:
        """Fingerprints of alerts whose end has been told already."""
        ended: dict[str, Row] = {}
        for row in self._store.all(
            "SELECT fingerprint, firing, ended_at FROM alerts WHERE key = ? AND ended_at IS NOT NULL ORDER BY incident",
            message.key,
        ):
            ended[row["fingerprint"]] = row
        over, doubtful = set[str](), []
        for alert in message.alerts:
            before = ended.get(alert.fingerprint)
            if before is None:
                continue
            if alert.firing and alert.since < before["ended_at"]:
                doubtful.append(alert.fingerprint)
            elif not alert.firing and before["firing"] and alert.until <= before["ended_at"]:
                over.add(alert.fingerprint)
        # It may have come back after Alertmanager had not heard of it for a while: who knows is Alertmanager.
        if doubtful and self._still_firing(doubtful) is False:
            over.update(doubtful)
        return over

    def _take(self, message: Message, fresh: Sequence[Alert]) -> Received:
        firing = sum(each.firing for each in fresh) + message.truncated
        group = self._store.first("SELECT * FROM groups WHERE key = ? AND open", message.key)
        opened = False
        if group is None:
            if not firing:
                self._end_alerts(message.key, fresh)
                return Received(incident=None, opened=False, new_alerts=0)
            number = self._expecting(message.name)
            if number is None:
                number, opened = self._open_by_alert(message), True
            self._store.write(
                "INSERT OR REPLACE INTO groups VALUES (?, ?, ?, ?, ?, 1)", number, message.key, message.name, firing, 0
            )
        else:
            number = int(group["incident"])
        new = self._keep(number, message, fresh, firing)
        if not opened:
            self._go_on(self._ledger.row(number), message, new, firing)
        return Received(incident=number, opened=opened, new_alerts=len(new))

    def _expecting(self, alert: str) -> int | None:
        """The incident that a person has opened for alerts of this name."""
        row = self._store.first(
            "SELECT incident FROM expected JOIN incidents ON number = incident WHERE alert = ? AND state != ?"
            " ORDER BY number LIMIT 1",
            alert,
            State.RESOLVED,
        )
        return int(row["incident"]) if row else None

    def _open_by_alert(self, message: Message) -> int:
        return self._ledger.open(
            title=message.title,
            severity=message.severity,
            source="alert",
            by="Alertmanager",
            summary=message.description or message.title,
            impact="",
            more=_links(message.firing or message.alerts),
        )

    def _keep(self, number: int, message: Message, fresh: Sequence[Alert], firing: int) -> list[Alert]:
        """Writes the alerts down; those that fire and did not before."""
        rows = self._store.all(
            "SELECT fingerprint, firing FROM alerts WHERE incident = ? AND key = ?", number, message.key
        )
        known = {row["fingerprint"]: bool(row["firing"]) for row in rows}
        new = [each for each in fresh if each.firing and not known.get(each.fingerprint, False)]
        room = KEPT - len(known)
        more = 0
        for alert in fresh:
            if alert.fingerprint not in known:
                if room <= 0:
                    more += 1
                    continue
                room -= 1
            self._keep_alert(number, message.key, alert)
        if more:  # nobody knows which of these were there before
            kept = {row["fingerprint"] for row in self._store.all(
                "SELECT fingerprint FROM alerts WHERE incident = ? AND key = ?", number, message.key
            )}  # fmt: skip
            new = [each for each in new if each.fingerprint in kept]
        self._store.write(
            "UPDATE groups SET firing = ?, more = ? WHERE incident = ? AND key = ?",
            firing, more + message.truncated, number, message.key,
        )  # fmt: skip
        return new

    def _keep_alert(self, number: int, key: str, alert: Alert) -> None:
        self._store.write(
            "INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (incident, key, fingerprint) DO UPDATE SET firing = excluded.firing,"
            " starts_at = excluded.starts_at, labels = excluded.labels,"
            " ended_at = coalesce(excluded.ended_at, ended_at), annotations = excluded.annotations, url = excluded.url",
            number,
            key,
            alert.fingerprint,
            alert.firing,
            alert.since,
            None if alert.firing else alert.until,
            json.dumps(alert.labels),
            json.dumps(alert.annotations),
            alert.url,
        )

    def _end_alerts(self, key: str, alerts: Sequence[Alert]) -> None:
        """Writes down when alerts of an incident ended that is closed already."""
        for alert in alerts:
            self._store.write(
                "UPDATE alerts SET firing = 0, ended_at = ? WHERE key = ? AND fingerprint = ? AND starts_at <= ?",
                alert.until, key, alert.fingerprint, alert.until,
            )  # fmt: skip

    def _go_on(self, incident: Row, message: Message, new: Sequence[Alert], firing: int) -> None:
        """What a message changes of an incident that is open."""
        number = incident["number"]
        severity = highest((Severity(incident["severity"]), message.severity))
        if firing and severity != incident["severity"]:
            self._ledger.reclassify(incident, severity, SELF, f"{message.name} has priority {severity}")
            incident = self._ledger.row(number)
        if new:
            if incident["state"] == State.MONITORING and self._ledger.stop(number, "settle"):
                self._ledger.set_state(number, State.INVESTIGATING)
                incident = self._ledger.row(number)
            text = f"{message.name}: {len(new)} more {'alert fires' if len(new) == 1 else 'alerts fire'}"
            shown = {"Alerts": "\n".join(_described(each) for each in new[:SHOWN])}
            self._ledger.event(number, "alerts", SELF, text, {"alerts": [dict(each.labels) for each in new[:KEPT]]})
            self._ledger.tell(incident, "alerts", text, more={**shown, **_links(new)})
        elif not firing:
            self._alerts_over(incident, message)

    def _alerts_over(self, incident: Row, message: Message) -> None:
        number = incident["number"]
        left = self._store.first("SELECT sum(firing) AS firing FROM groups WHERE incident = ?", number)
        if (left and left["firing"]) or self._ledger.timer(number, "settle") is not None:
            return
        if incident["source"] == "person":
            if not self._ledger.told_last(number, "alerts over"):
                text = f"{message.name} fires no more; the incident stays open until somebody resolves it"
                self._ledger.event(number, "alerts over", SELF, text, {})
                self._ledger.tell(incident, "alerts", text)
            return
        text = f"No alert fires any more. Resolves by itself in {span(SETTLE)} unless one comes back."
        self._ledger.set_state(number, State.MONITORING)
        self._ledger.event(number, "alerts over", SELF, text, {})
        self._ledger.start(number, "settle", self._ledger.clock() + SETTLE)
        self._ledger.tell(self._ledger.row(number), "alerts", text)


def _links(alerts: Sequence[Alert]) -> dict[str, str]:
    annotations = alerts[0].annotations
    found = {"Runbook": annotations.get("runbook_url", ""), "Dashboard": annotations.get("dashboard", "")}
    return {name: text for name, text in found.items() if text}


def _described(alert: Alert) -> str:
    told = {key: value for key, value in alert.labels.items() if key not in {"alertname", "severity", "priority"}}
    labels = ", ".join(f"{key}={value}" for key, value in sorted(told.items()))
    return f"{alert.annotations.get('summary', '')} ({labels})".strip()
