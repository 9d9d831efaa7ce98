"""Responders without a server that die where they are told to: `python -m tests.ops.incidents.mortal SOCKET`.

Each connection gets a process of its own, forked from one that has imported everything already. It is told by a line of
JSON how it begins, then obeys one order a line and answers each. `die` names a fault point at whose `nth` time it is
killed by SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from modelcard_ops.incidents import webhook
from modelcard_ops.incidents.communication import Audience
from modelcard_ops.incidents.delivery import Courier
from modelcard_ops.incidents.responder import Responder
from modelcard_ops.incidents.sinks import Slack, StatusPage
from modelcard_ops.incidents.store import Store
from tests.ops.incidents.parts import WoundClock

TOKEN = "a-token-of-the-outside"


class Mortal:
    """The responder, and the points that it has passed."""

    def __init__(self, folder: Path, url: str, die: str | None, nth: int, now: float) -> None:
        self.passed: list[str] = []
        self.die, self.nth = die, nth
        store = Store(folder / "incidents.sqlite3", hook=self._pass)
        self.clock = WoundClock(now)
        audience = Audience(slack=True, status_page="page1")
        self.responder = Responder(store, audience=audience, clock=self.clock)
        sinks = (Slack(token=TOKEN, url=f"{url}/api"), StatusPage(token=TOKEN, url=url))
        self.couriers = [Courier(each, self.responder.ledger) for each in sinks]

    def _pass(self, point: str) -> None:
        self.passed.append(point)
        if point == self.die and self.passed.count(point) == self.nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def obey(self, order: dict[str, Any]) -> Any:
        """Does one thing."""
        match order["do"]:
            case "receive":
                return self.responder.receive(webhook.read(json.dumps(order["message"]).encode())).incident
            case "wind":
                self.clock.wind(seconds=order["seconds"])
                return self.responder.tick()
            case "deliver":
                for _ in range(order["seconds"]):
                    for courier in self.couriers:
                        while courier.step():
                            pass
                    self.clock.wind(seconds=1)
                return None
            case "ack":
                return self.responder.acknowledge(1, "alice")
            case "assess":
                numbers = self.responder.unassessed()
                return self.responder.attach_assessment(numbers, {"summary": "unknown: everything"})
            case "passed":
                return self.passed


def live(connection: socket.socket) -> None:
    """Obeys until the end of its orders, or its own."""
    with connection.makefile("rw") as file:
        begin = json.loads(file.readline())
        mortal = Mortal(Path(begin["folder"]), begin["url"], begin["die"], begin["nth"], begin["now"])
        for line in file:
            file.write(json.dumps(mortal.obey(json.loads(line))) + "\n")
            file.flush()


def main() -> None:
    """Forks a process for each connection."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    live(connection)
                    os._exit(0)


if __name__ == "__main__":
    main()
