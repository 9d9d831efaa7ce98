"""`kill -9` between every write and every send: nothing is lost, late, or repeated without a mark."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from modelcard_ops.incidents.responder import Responder
from modelcard_ops.incidents.severity import EVERYBODY, RESPONSE, Severity
from modelcard_ops.incidents.sinks import REPEATED
from modelcard_ops.incidents.store import Store
from modelcard_ops.incidents.views import detail, listing
from tests.app.servers import eventually
from tests.ops.incidents.outside import Outside
from tests.ops.incidents.parts import AUDIENCE, START, WoundClock, alert, message

TICK = 5
DUE = RESPONSE[Severity.P0]
DOWN = message(alert("ApplicationDown", START, priority="P0"))
# A life: opened, told, escalated, told, assessed, acknowledged, told. `at` is the time by then.
LIFE = (
    {"do": "receive", "message": DOWN},
    {"do": "deliver", "seconds": 4},
    {"do": "assess"},
    {"do": "wind", "seconds": DUE - 4},
    {"do": "deliver", "seconds": 4},
    {"do": "ack"},
    {"do": "deliver", "seconds": 4},
)
POINTS = (
    "webhook: before the commit",
    "webhook: after the commit",
    "outbox slack: begin: before the commit",
    "outbox slack: begin: after the commit",
    "outbox slack: before the send",
    "outbox slack: after the send",
    "outbox slack: end: before the commit",
    "outbox slack: end: after the commit",
    "outbox status-page: begin: before the commit",
    "outbox status-page: begin: after the commit",
    "outbox status-page: before the send",
    "outbox status-page: after the send",
    "outbox status-page: end: before the commit",
    "outbox status-page: end: after the commit",
    "assessment: before the commit",
    "assessment: after the commit",
    "prune: before the commit",
    "prune: after the commit",
    "timer respond: before the commit",
    "timer respond: after the commit",
    "acknowledge: before the commit",
    "acknowledge: after the commit",
)


@pytest.fixture
def outside():
    server = Outside()
    yield server
    server.close()


@pytest.fixture(scope="module")
def nursery(tmp_path_factory):
    """Where processes are born."""
    address = tmp_path_factory.mktemp("nursery") / "socket"
    process = subprocess.Popen([sys.executable, "-m", "tests.ops.incidents.mortal", address])
    eventually(address.exists, within=120)
    yield address
    process.kill()
    process.wait()


class Life:
    """The orders of a life, given to one process after another until all are obeyed."""

    def __init__(self, nursery: Path, folder: Path, outside: Outside) -> None:
        self.nursery, self.folder, self.outside = nursery, folder, outside
        self.now, self.killed = START, 0

    def live(self, die: str | None, nth: int = 1) -> list[str]:
        """Returns the points that the last process passed."""
        orders = list(LIFE)
        while True:
            begin = {"folder": str(self.folder), "url": self.outside.url, "die": die, "nth": nth, "now": self.now}
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(self.nursery))
                with connection.makefile("rw") as process:
                    process.write(json.dumps(begin) + "\n")
                    if self._obeyed(process, orders):
                        return json.loads(self._say(process, {"do": "passed"}))
            assert die, "it died of itself"
            # Whoever starts it again takes less than a tick, and it is killed once only.
            self.killed, die, self.now = self.killed + 1, None, self.now + TICK

    def _obeyed(self, process, orders) -> bool:
        while orders:
            if not self._say(process, orders[0]):
                # What Alertmanager was not answered, it sends again; so does a person; and time passes anyhow.
                if orders[0]["do"] == "wind":
                    self.now += orders[0]["seconds"]
                    orders[0] = {"do": "wind", "seconds": 0}
                return False
            self.now += orders[0].get("seconds", 0)
            orders.pop(0)
        return True

    @staticmethod
    def _say(process, order) -> str:
        """Its answer; nothing of one that is dead."""
        try:
            process.write(json.dumps(order) + "\n")
            process.flush()
            return process.readline()
        except (BrokenPipeError, ConnectionResetError):
            return ""


@pytest.fixture
def life(nursery, tmp_path, outside):
    return Life(nursery, tmp_path, outside)


def left_behind(tmp_path):
    store = Store(tmp_path / "incidents.sqlite3")
    responder = Responder(store, audience=AUDIENCE, clock=WoundClock())
    found = [detail(responder.ledger, int(each["incident"][4:])) for each in listing(responder.ledger, every=True)]
    store.close()
    return found


def test_these_are_all_points_of_a_life(life):
    passed = life.live(die=None)
    assert set(passed) == set(POINTS)
    # The messages of an acknowledgement and of an assessment pass the same points as those above.
    assert Counter(passed)["outbox slack: after the send"] == 2 * len(EVERYBODY) + 2


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_loses_nothing_repeats_nothing_unmarked_and_is_in_time(point, life, outside, tmp_path):
    life.live(die=point)
    assert life.killed == 1
    (incident,) = left_behind(tmp_path)
    kinds = Counter(each["kind"] for each in incident["timeline"])
    assert {kind: kinds[kind] for kind in ("opened", "breach", "escalation", "acknowledged", "assessment")} == {
        "opened": 1, "breach": 1, "escalation": 1, "acknowledged": 1, "assessment": 1,
    }  # fmt: skip
    (breach,) = [each for each in incident["timeline"] if each["kind"] == "breach"]
    assert breach["data"]["noticed_at"] - breach["data"]["due_at"] <= TICK + 4  # the seconds of this life's deliveries
    assert {each["state"] for each in incident["messages"]} == {"sent"}
    unmarked = Counter(
        (each["metadata"]["event_payload"]["message"], each["channel"])
        for each in outside.slack
        if REPEATED not in each["text"]
    )
    assert max(unmarked.values()) == 1
    sent = {each["metadata"]["event_payload"]["message"] for each in outside.slack}
    assert len(sent) == 2 * len(EVERYBODY) + 2
    (on_page,) = outside.page.values()
    assert [each["status"] for each in on_page["incident_updates"]] == ["investigating"]
