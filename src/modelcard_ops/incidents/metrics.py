"""What the responder tells of itself.

States are read from the database at each scrape: a clock that stands still is seen although nobody looks after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Metric, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from modelcard_ops.incidents.ledger import Ledger, identity
from modelcard_ops.incidents.severity import Severity, State

LISTED = 100  # incidents with a series of their own; who has more open looks at the list
TOTALS = {
    "opened": "Incidents opened",
    "breaches": "Incidents that nobody acknowledged in time",
    "escalations": "Times that people were told that nobody has come",
}
OUTCOMES = ("sent", "repeated", "failed", "rejected", "given_up")
RESULTS = ("taken", "unauthenticated", "oversized", "malformed", "replayed")

disable_created_metrics()
REGISTRY = CollectorRegistry()
sends = Counter("incidents_sends_total", "Attempts to send a message", ["sink", "outcome"], registry=REGISTRY)
webhooks = Counter("incidents_webhooks_total", "Messages from Alertmanager", ["result"], registry=REGISTRY)
heartbeats = Counter("incidents_heartbeats_total", "Signs of life that were taken outside", registry=REGISTRY)


def expect(sinks: Iterable[str]) -> None:
    """Exposes what has not happened yet as 0."""
    for result in RESULTS:
        webhooks.labels(result)
    for sink in sinks:
        for outcome in OUTCOMES:
            sends.labels(sink, outcome)


class Incidents(Collector):
    """The state of the database. `sinks` are those that there are."""

    def __init__(self, ledger: Ledger, sinks: Iterable[str], overdue: Callable[[], float]) -> None:
        self._ledger = ledger
        self._store = ledger.store
        self._sinks = tuple(sinks)
        self._overdue = overdue

    def collect(self) -> Iterable[Metric]:
        """Reads it."""
        yield GaugeMetricFamily(
            "incidents_timer_overdue_seconds", "How long the oldest clock has been due and unnoticed", self._overdue()
        )
        yield from self._totals()
        yield from self._open()
        yield from self._outbox()

    def _totals(self) -> Iterable[Metric]:
        counted = {
            (row["name"], row["label"]): row["value"]
            for row in self._store.all("SELECT name, label, value FROM totals")
        }
        for name, text in TOTALS.items():
            family = CounterMetricFamily(f"incidents_{name}", text, labels=["severity"])
            for severity in Severity:
                family.add_metric([severity], counted.get((name, severity), 0))
            yield family

    def _open(self) -> Iterable[Metric]:
        now = self._ledger.clock()
        rows = self._store.all("SELECT * FROM incidents WHERE state != ? ORDER BY severity, number", State.RESOLVED)
        number = GaugeMetricFamily("incidents_open", "Incidents that are open", labels=["severity", "state"])
        for severity in Severity:
            for state in State:
                if state is not State.RESOLVED:
                    count = sum((row["severity"], row["state"]) == (severity, state) for row in rows)
                    number.add_metric([severity, state], count)
        yield number
        waiting = GaugeMetricFamily(
            "incidents_unacknowledged_seconds",
            "Age of the oldest incident that nobody has acknowledged",
            labels=["severity"],
        )
        for severity in Severity:
            ages = [
                now - row["opened_at"] for row in rows if not row["acknowledged_at"] and row["severity"] == severity
            ]
            waiting.add_metric([severity], max([*ages, 0.0]))
        yield waiting
        listed = GaugeMetricFamily(
            "incidents_open_info", "1 for each incident that is open", labels=["incident", "severity", "state", "title"]
        )
        for row in rows[:LISTED]:
            listed.add_metric([identity(row["number"]), row["severity"], row["state"], row["title"][:120]], 1)
        yield listed

    def _outbox(self) -> Iterable[Metric]:
        now = self._ledger.clock()
        rows = {
            row["sink"]: row
            for row in self._store.all(
                "SELECT sink, count(*) AS waiting, min(created_at) AS oldest FROM outbox"
                " WHERE state IN ('pending', 'sending') GROUP BY sink"
            )
        }
        waiting = GaugeMetricFamily("incidents_outbox_messages", "Messages that wait", labels=["sink"])
        oldest = GaugeMetricFamily("incidents_outbox_oldest_seconds", "Age of the oldest of them", labels=["sink"])
        for sink in self._sinks:
            row = rows.get(sink)
            waiting.add_metric([sink], row["waiting"] if row else 0)
            oldest.add_metric([sink], now - row["oldest"] if row else 0)
        yield waiting
        yield oldest
