"""What metrics and logging add to a request, against prometheus-fastapi-instrumentator with python-json-logger.

The same application is asked in the same process, without a network; each variant writes its metrics to files (as with
several workers) and one line per request to /dev/null. Prints microseconds per request and the ratio of what is added.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

ROUNDS, REQUESTS = 15, 2000
os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="modelcard-benchmark-")

from fastapi import FastAPI  # noqa: E402 - prometheus_client reads the variable above when it is imported
from prometheus_fastapi_instrumentator import Instrumentator  # noqa: E402
from pythonjsonlogger.orjson import OrjsonFormatter  # noqa: E402

from modelcard_generator.api.requests import RequestLog, access  # noqa: E402
from modelcard_generator.logging.config import StructuredFormatter  # noqa: E402
from modelcard_generator.monitoring.middleware import RequestMetrics, expect_routes  # noqa: E402

App = Callable[[Any, Any, Any], Awaitable[None]]
FIELDS = "{asctime}{levelname}{name}{message}{module}{funcName}{lineno}"


def bare() -> FastAPI:
    """The service, for this purpose: one route with a parameter."""
    app = FastAPI()

    @app.get("/cards/{card_id}")
    async def card(card_id: str) -> dict[str, str]:
        return {"id": card_id}

    return app


def ours() -> App:
    """With this repository's two layers."""
    app = bare()
    expect_routes(app)
    _write(access, StructuredFormatter())
    return RequestLog(RequestMetrics(app), draining=lambda: False)


def peer() -> App:
    """With the instrumentator's defaults, and a line of the same content by python-json-logger."""
    app = bare()
    Instrumentator().instrument(app)
    log = logging.getLogger("peer")
    _write(log, OrjsonFormatter(FIELDS, style="{"))

    async def logged(scope: Any, receive: Any, send: Any) -> None:
        start, status = time.perf_counter(), 0

        async def sending(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await app(scope, receive, sending)
        extra = {
            "request_id": "0" * 32,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "duration": round(time.perf_counter() - start, 6),
        }
        log.info("Request", extra=extra)

    return logged


def _write(log: logging.Logger, formatter: logging.Formatter) -> None:
    handler = logging.StreamHandler(open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - as long as the process
    handler.setFormatter(formatter)
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(logging.INFO)


async def seconds(app: App) -> float:
    """Of one request, on average."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None:
        pass

    start = time.perf_counter()
    for _ in range(REQUESTS):
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": "/cards/1", "raw_path": b"/cards/1", "query_string": b"", "root_path": "",
            "headers": [(b"host", b"a")],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080),
        }  # fmt: skip
        await app(scope, receive, send)
    return (time.perf_counter() - start) / REQUESTS


def main() -> int:
    """Exit status 1 if this repository's layers cost more than the peer's."""
    variants: dict[str, App] = {"bare": bare(), "ours": ours(), "peer": peer()}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, app in variants.items():
            times[name].append(asyncio.run(seconds(app)) * 1e6)
    median = {name: statistics.median(values) for name, values in times.items()}
    added = {name: median[name] - median["bare"] for name in ("ours", "peer")}
    print(f"bare request {median['bare']:.1f} µs")
    for name, label in (("ours", "metrics and logging"), ("peer", "instrumentator and python-json-logger")):
        print(f"{label} add {added[name]:.1f} µs")
    ratio = added["ours"] / added["peer"]
    print(f"ours / peer: {ratio:.2f}")
    return int(ratio > 1)


if __name__ == "__main__":
    sys.exit(main())
