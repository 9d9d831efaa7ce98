"""How long a request may take, and how many bytes it may bring."""

from __future__ import annotations

import asyncio

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelcard_generator.api import problems
from modelcard_generator.errors import InvalidInput, TooLarge


class RequestLimits:
    """Answers 408 when a request has not arrived in `timeout` seconds, and 503 when it has but is not answered."""

    def __init__(self, app: ASGIApp, *, timeout: float) -> None:
        self._app = app
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived = started = False

        async def receiving() -> Message:
            nonlocal arrived
            message = await receive()
            arrived = message["type"] != "http.request" or not message.get("more_body")
            return message

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self._timeout) as limit:
                await self._app(scope, receiving, sending)
        except TimeoutError:
            if started or not limit.expired():
                raise
            status, title = (503, "Unavailable") if arrived else (408, "Request timeout")
            what = "answering" if arrived else "sending the request"
            response = problems.answer(status, title, f"{what} took longer than {self._timeout:g} s")
            response.headers["Connection"] = "close"
            await response(scope, receive, send)


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, at most `limit` bytes. Raises `TooLarge`."""
    refuse_length(request, limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large(limit)
    return bytes(body)


def refuse_length(request: Request, limit: int) -> None:
    """Refuses what says itself that it is too large, before it is read. Raises `TooLarge`, `InvalidInput`."""
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit():
        raise InvalidInput("Content-Length is not a number")
    if int(length) > limit:
        raise too_large(limit)


def too_large(limit: int) -> TooLarge:
    """The error for a body of more than `limit` bytes."""
    return TooLarge(f"the body is larger than {limit} bytes, which is all that is taken here")
