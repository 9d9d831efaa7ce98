"""Counts and times every HTTP request by its route, never by its path: what anybody may make up is no label."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from fastapi.routing import RouteContext, iter_route_contexts
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelcard_generator.monitoring import metrics

METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)  # RFC 9110, RFC 5789
OTHER = "OTHER"  # any other method, and one that the route does not take
UNMATCHED = "unmatched"  # requests that no route takes
NOT_ALLOWED = 405
CLIENT_LEFT = 499  # nginx' status for a client that left before it was answered

OnDone = Callable[[Scope, int, float], None]


class RequestMetrics:
    """Counts every request as `http_requests_total` and times it, until its last byte is sent.

    A client that left before its answer began counts as 499, and an answer that never began as 500, which is what the
    server sends then. An answer that broke off counts as what it began as. `on_done` gets the scope, the status and
    the duration in seconds; what it raises is raised.
    """

    def __init__(self, app: ASGIApp, *, on_done: OnDone | None = None) -> None:
        self._app = app
        self._on_done = on_done
        self._recorders: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}
        self._plain: dict[Any, str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        end = 0.0
        left = False

        async def receiving() -> Message:
            nonlocal left
            message = await receive()
            if not status and message["type"] == "http.disconnect":
                left = True
            return message

        async def sending(message: Message) -> None:
            nonlocal status, end
            if message["type"] == "http.response.start":
                status = message["status"]
                await send(message)
                return
            await send(message)
            if not message.get("more_body"):  # what runs after the answer keeps no client waiting
                end = time.perf_counter()

        start = time.perf_counter()
        try:
            await self._app(scope, receiving, sending)
        finally:
            duration = (end or time.perf_counter()) - start
            if left:
                status = CLIENT_LEFT
            elif not status:
                status = 500
            key = (scope["method"], self._endpoint(scope), status)
            count, observe = self._recorders.get(key) or self._recorder(*key)
            count()
            observe(duration)
            if self._on_done is not None:
                self._on_done(scope, status, duration)

    def _endpoint(self, scope: Scope) -> str:
        """The template of the route that took this request, with the prefix of its router."""
        # A route knows the prefixes of the routers that it was made in, but not of those that include it.
        included = "fastapi" in scope and scope["fastapi"].get("effective_route_context")
        route = (included.starlette_route or included) if included else scope.get("route")
        if route is not None:
            return getattr(route, "path", UNMATCHED)
        if "endpoint" not in scope:
            return UNMATCHED
        if self._plain is None:
            # FastAPI does not say which route it is if the route is Starlette's, such as that of /docs.
            self._plain = {
                getattr(route, "endpoint", None) or getattr(route, "app", None): route.path
                for route in scope["app"].routes
                if hasattr(route, "path")
            }
        return self._plain.get(scope["endpoint"], UNMATCHED)

    def _recorder(self, method: str, endpoint: str, status: int) -> tuple[Callable[[], None], Callable[[float], None]]:
        known = method if method in METHODS and status != NOT_ALLOWED else OTHER
        recorder = (
            metrics.http_requests_total.labels(method=known, endpoint=endpoint, status=str(status)).inc,
            metrics.http_request_duration.labels(method=known, endpoint=endpoint).observe,
        )
        if known == method:  # clients may make up any number of others
            self._recorders[method, endpoint, status] = recorder
        return recorder


def expect_routes(app: Starlette) -> None:
    """Exposes as 0 what the routes of `app` may answer, so that a ratio of errors has both its parts from the start.

    Call it when all routes are there.
    """
    metrics.expect(metrics.http_requests_total, method=["GET"], endpoint=[UNMATCHED], status=["404"])
    metrics.expect(metrics.http_request_duration, method=["GET"], endpoint=[UNMATCHED])
    for route in iter_route_contexts(app.routes):
        if route.path is None or not route.methods:
            continue
        statuses = {str(each) for each in _statuses(route)}
        metrics.expect(
            metrics.http_requests_total, method=route.methods & METHODS, endpoint=[route.path], status=statuses
        )
        metrics.expect(metrics.http_request_duration, method=route.methods & METHODS, endpoint=[route.path])


def _statuses(route: RouteContext) -> Iterator[int]:
    """What a route documents to answer, and what may go wrong anywhere."""
    yield from (getattr(route, "status_code", None) or 200, 500, 503)
    yield from (int(each) for each in getattr(route, "responses", ()) if str(each).isdigit())
    if "{" in (route.path or ""):
        yield from (404, 422)
