"""What stands outside the platform: whoever takes notifications and heartbeats, on loopback."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Notification:
    """What arrived, when by the monotonic clock, and on which path."""

    path: str
    at: float
    body: dict[str, Any] = field(repr=False)

    def alerts(self, name: str, status: str = "firing") -> list[dict[str, Any]]:
        """The alerts of this name and state in a webhook's message."""
        found = self.body.get("alerts", [])
        return [each for each in found if each["labels"]["alertname"] == name and each["status"] == status]


class Outside:
    """An HTTP server that remembers every POST."""

    def __init__(self) -> None:
        self.received: list[Notification] = []
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outside.received.append(Notification(self.path, time.monotonic(), json.loads(body or b"{}")))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b'{"ok":true}')

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def on(self, path: str, since: float = 0) -> list[Notification]:
        """What arrived on a path since then."""
        return [each for each in self.received if each.path == path and each.at >= since]

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.server.server_close()
