"""Takes messages out of the outbox, a courier for each sink: what one cannot deliver holds nobody else's.

A message is marked as being sent before it is, and as sent after it was. Where the second is missing, it is sent again
and says so: one message, or a marked duplicate, and never none.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator

from modelcard_ops.incidents.communication import Note
from modelcard_ops.incidents.ledger import Ledger
from modelcard_ops.incidents.metrics import sends
from modelcard_ops.incidents.sinks import NotSentError, RejectedError, Sink, UnavailableError, UnclearError
from modelcard_ops.incidents.store import Row

LOG = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds, doubled with each failure of a sink in a row
REJECTED_PAUSE = 300.0  # at most: somebody has to mend a token or invite the bot first
GIVE_UP = 86400.0  # a message of yesterday helps nobody
LOOKED_AT = 5000  # messages that wait; there is one for each change of each incident
IDLE = 1.0  # seconds


class Courier:
    """The messages of one sink, in order within an incident and target."""

    def __init__(self, sink: Sink, ledger: Ledger) -> None:
        self.sink = sink
        self.wake = threading.Event()
        self._ledger = ledger
        self._store = ledger.store
        self._paused_until = 0.0
        self._failures = 0
        self._next: dict[str, float] = {}  # of each target, when it may be sent something again

    def run(self, ending: threading.Event) -> None:
        """Delivers until the end; a fault of ours is logged and does not end it."""
        while not ending.is_set():
            try:
                idle = not self.step()
            except Exception:
                LOG.exception("the courier stumbled", extra={"sink": self.sink.name})
                idle = True
            if idle:
                self.wake.wait(IDLE)
                self.wake.clear()

    def step(self) -> bool:
        """Tries one message that is due; whether there was one."""
        now = self._ledger.clock()
        if now < self._paused_until:
            return False
        row = next(self._due(now), None)
        if row is None:
            return False
        self._deliver(row, now)
        return True

    def _due(self, now: float) -> Iterator[Row]:
        rows = self._store.all(
            "SELECT id, incident, target, state, attempts, maybe_sent, not_before, created_at FROM outbox"
            " WHERE sink = ? AND state IN ('pending', 'sending') ORDER BY id LIMIT ?",
            self.sink.name,
            LOOKED_AT,
        )
        earlier = set()
        for row in rows:
            of = (row["incident"], row["target"])
            if of not in earlier and row["not_before"] <= now and self._next.get(row["target"], 0.0) <= now:
                yield row
            earlier.add(of)

    def _deliver(self, row: Row, now: float) -> None:
        number, name = row["id"], self.sink.name
        # Still `sending`: a process before this one did not live to see how it ended.
        repeated = bool(row["maybe_sent"]) or row["state"] == "sending"
        with self._store.transaction(f"outbox {name}: begin"):
            self._store.write(
                "UPDATE outbox SET state = 'sending', attempts = attempts + 1, maybe_sent = ? WHERE id = ?",
                repeated,
                number,
            )
        stored = self._store.first("SELECT message FROM outbox WHERE id = ?", number)
        note = Note.of_data(json.loads(stored["message"])) if stored else None
        if note is None:
            return
        reference = self._ledger.row(row["incident"])["status_page_id"]
        self._next[row["target"]] = now + self.sink.interval
        try:
            self._store.hook(f"outbox {name}: before the send")
            reference = self.sink.send(row["target"], note, message=number, repeated=repeated, reference=reference)
            self._store.hook(f"outbox {name}: after the send")
        except NotSentError as error:
            self._failed(row, error, repeated=repeated)
        except UnclearError as error:
            self._failed(row, error, repeated=True)
        else:
            self._sent(row, reference, repeated=repeated)

    def _sent(self, row: Row, reference: str | None, *, repeated: bool) -> None:
        self._failures, self._paused_until = 0, 0.0
        with self._store.transaction(f"outbox {self.sink.name}: end"):
            self._store.write(
                "UPDATE outbox SET state = 'sent', done_at = ?, error = '' WHERE id = ?",
                self._ledger.clock(),
                row["id"],
            )
            if reference is not None:
                self._store.write(
                    "UPDATE incidents SET status_page_id = ? WHERE number = ?", reference, row["incident"]
                )
        sends.labels(self.sink.name, "repeated" if repeated else "sent").inc()

    def _failed(self, row: Row, error: Exception, *, repeated: bool) -> None:
        now, name = self._ledger.clock(), self.sink.name
        refused = isinstance(error, RejectedError)
        pause = min(FIRST_PAUSE * 2 ** min(row["attempts"], 20), REJECTED_PAUSE) if refused else self._pause(error)
        over = now - row["created_at"] > GIVE_UP
        with self._store.transaction(f"outbox {name}: failure"):
            self._store.write(
                "UPDATE outbox SET state = ?, maybe_sent = ?, not_before = ?, error = ? WHERE id = ?",
                "given up" if over else "pending",
                repeated,
                now + pause,
                str(error)[:300],
                row["id"],
            )
            if over:
                text = f"{name} {row['target']} was not told: {error}"
                self._ledger.event(row["incident"], "undelivered", "responder", text, {"message": row["id"]})
        outcome = "given_up" if over else "rejected" if refused else "failed"
        sends.labels(name, outcome).inc()
        LOG.warning("not sent", extra={"sink": name, "target": row["target"], "reason": str(error), "outcome": outcome})

    def _pause(self, error: Exception) -> float:
        """Of the whole sink: the next message would fare no better."""
        pause: float = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
        self._failures = min(self._failures + 1, 20)
        if isinstance(error, UnavailableError):
            pause = max(pause, error.retry_after)
        self._paused_until = self._ledger.clock() + pause
        return pause
