"""Slack, a status page and a mail server on loopback, which fail in the ways that real ones do."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.app.servers import free_port

TOKEN = "a-token-of-the-outside"
# 429 and 500 are answers; `silent` takes the message and never says so; `closed` takes it and hangs up.
Fault = Literal["429", "500", "silent", "closed", "invalid_auth", "internal_error"]


class Outside:
    """An HTTP server with Slack's `chat.postMessage`, Statuspage's incidents, and a place for heartbeats.

    `faults` are those of the next requests that change something, in order; `down` refuses all with 503.
    """

    def __init__(self) -> None:
        self.slack: list[Mapping[str, Any]] = []
        self.page: dict[str, dict[str, Any]] = {}
        self.heartbeats = 0
        self.faults: list[Fault] = []
        self.down = set[str]()
        self.times: dict[str, list[float]] = defaultdict(list)
        self.released = threading.Event()
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outside.answer(self, self._body())

            def do_PATCH(self) -> None:
                outside.answer(self, self._body())

            def do_GET(self) -> None:
                _, _, identity = self.path.partition("/incidents/")
                found = outside.page.get(identity) if identity else list(outside.page.values())
                self.reply(200 if found is not None else 404, found)

            def _body(self) -> Any:
                return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")

            def reply(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign] # whoever is killed hangs up
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request: Any, body: Any) -> None:
        """Takes a message, or fails."""
        sink = "slack" if request.path.endswith("chat.postMessage") else request.path.split("/")[1]
        if sink in self.down:
            request.reply(503, {})
            return
        fault = self.faults.pop(0) if self.faults else None
        if fault == "429":
            request.reply(429, {}, {"Retry-After": "30"})
        elif fault == "500":
            request.reply(500, {})
        elif fault in {"invalid_auth", "internal_error"}:
            request.reply(200, {"ok": False, "error": fault})
        else:
            answer = self._take(sink, request, body)
            if fault == "silent":
                self.released.wait(60)
            if fault in {"silent", "closed"}:
                request.close_connection = True
                return
            request.reply(*answer)

    def _take(self, sink: str, request: Any, body: Any) -> tuple[int, Any]:
        self.times[sink].append(time.monotonic())
        if sink == "heartbeat":
            self.heartbeats += 1
            return 200, {}
        if TOKEN not in request.headers.get("Authorization", ""):
            return (200, {"ok": False, "error": "not_authed"}) if sink == "slack" else (401, {})
        if sink == "slack":
            self.slack.append(body)
            return 200, {"ok": True}
        return self._on_page(request.path, body["incident"])

    def _on_page(self, path: str, incident: Mapping[str, Any]) -> tuple[int, Any]:
        identity = path.partition("/incidents/")[2] or f"page-{len(self.page) + 1}"
        known = self.page.setdefault(identity, {"id": identity, "incident_updates": []})
        known.update({key: value for key, value in incident.items() if key != "body"})
        known["incident_updates"].append({"status": incident["status"], "body": incident["body"]})
        return 200, known

    def close(self) -> None:
        """Stops listening."""
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


class Mails:
    """A mail server with STARTTLS and a login. `faults` are those of the next mails."""

    def __init__(self, context: Any) -> None:
        self.taken: list[str] = []
        self.faults: list[Literal["refused", "busy", "closed"]] = []
        self.controller = _Server(self, context)
        self.controller.start()
        self.port: int = self.controller.port

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """aiosmtpd's hook."""
        fault = self.faults.pop(0) if self.faults else None
        if fault in {"refused", "busy"}:
            return "554 no" if fault == "refused" else "451 later"
        self.taken.append(bytes(envelope.content or b"").decode())
        if fault == "closed" and server.transport is not None:
            server.transport.abort()
        return "250 ok"

    def close(self) -> None:
        """Stops listening."""
        self.controller.stop()


class _Server(Controller):
    def __init__(self, mails: Mails, context: Any) -> None:
        super().__init__(mails, hostname="127.0.0.1", port=free_port(), ready_timeout=60)
        self._context = context

    def factory(self) -> SMTP:
        def known(_server: Any, _session: Any, _envelope: Any, _mechanism: Any, login: Any) -> AuthResult:
            return AuthResult(success=login.password == TOKEN.encode(), handled=False)

        return SMTP(
            self.handler,
            tls_context=self._context,
            require_starttls=True,
            auth_required=True,
            authenticator=known,
            enable_SMTPUTF8=True,
        )
