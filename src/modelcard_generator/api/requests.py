"""Every request has an id, a context for what is logged on its way, and one line when it is done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelcard_generator.logging import context

HEADER = b"x-request-id"
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
CLOSING = (b"connection", b"close")
QUIET = {"/health", "/ready", "/metrics"}  # asked every few seconds for ever; logged when they fail
CLIENT_LEFT = 499  # nginx' status for a client that left before it was answered
access = logging.getLogger("modelcard_generator.access")
log = logging.getLogger("modelcard_generator.api")


class RequestLog:
    """Takes or makes the request id, returns it, and logs the request. The outermost layer."""

    def __init__(self, app: ASGIApp, *, draining: Callable[[], bool]) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = CLIENT_LEFT
        request_id = context.request_id_from(_header(scope, HEADER))
        answered = (HEADER, request_id.encode())

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                headers.append(answered)
                headers.append(NO_SNIFFING)
                if self._draining():
                    headers.append(CLOSING)
            await send(message)

        with context.request_context(request_id=request_id):
            try:
                await self._app(scope, receive, sending)
            except Exception:
                log.exception("Unhandled error")
                if status == CLIENT_LEFT:
                    raise
            finally:
                path = scope["path"]
                if status >= 400 or path not in QUIET:
                    duration = round(time.perf_counter() - start, 6)
                    fields = {"method": scope["method"], "path": path, "status": status, "duration": duration}
                    access.info("Request", extra=fields)


def _header(scope: Scope, name: bytes) -> bytes | None:
    for each, value in scope["headers"]:
        if each == name:
            return bytes(value)
    return None
