"""The network of simulated pods: a load balancer that gives each its share of real requests, and their metrics pages.

One real service answers all requests, since simulated pods have no processes. Whose they were is decided as kube-proxy
does, among the addresses that are behind the Service at that moment, and counted for that pod. Prometheus asks the
pods by their own addresses, and is answered with their counts under the service's own names and labels.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.app.service import RunningService

REQUESTS = "http_requests_total"
PATH = "/cards"
CLIENTS = 4
REFRESH = 0.5  # seconds; kube-proxy is told by a watch
Labels = tuple[tuple[str, str], ...]


class PodNetwork:
    """An HTTP proxy for the addresses of pods. `rate` may change; `endpoints` are those that are ready, if known."""

    def __init__(self, service: RunningService, client: httpx.Client, endpoints: Callable[[], set[str] | None]) -> None:
        self.service, self.client, self.endpoints = service, client, endpoints
        self.rate = 0.0  # requests per second, in all
        self.sent = self.failed = 0
        self.series = self._series()
        self.pods: dict[str, Counter[Labels]] = {}
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.threads = [
            threading.Thread(target=self._follow),
            *(threading.Thread(target=self._load) for _ in range(CLIENTS)),
        ]
        for thread in self.threads:
            thread.start()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends the load and stops listening."""
        self.ended.set()
        for thread in self.threads:
            thread.join()
        self.server.shutdown()
        self.server.server_close()

    def page(self, address: str) -> str | None:
        """What the pod tells Prometheus, if there is such a pod; being asked is a request as well."""
        with self.lock:
            counts = self.pods.get(address)
            if counts is None:
                return None
            counts[_labels("GET", "/metrics", HTTPStatus.OK)] += 1
            lines = [f"{REQUESTS}{{{_text(labels)}}} {counts[labels]}" for labels in self.series]
        return "\n".join([f"# TYPE {REQUESTS} counter", *lines, ""])

    def _series(self) -> list[Labels]:
        """The labels with which the service counts its requests, which are all there from its start."""
        families = text_string_to_metric_families(httpx.get(f"{self.service.address}/metrics").text)
        samples = [each for family in families for each in family.samples if each.name == REQUESTS]
        return sorted({tuple(sorted(each.labels.items())) for each in samples})

    def _follow(self) -> None:
        while not self.ended.is_set():
            if (ready := self.endpoints()) is not None:
                with self.lock:
                    # A pod that has gone takes its count with it, and its address may become another's.
                    self.pods = {address: self.pods.get(address, Counter()) for address in sorted(ready)}
            self.ended.wait(REFRESH)

    def _load(self) -> None:
        last = time.monotonic()
        while not self.ended.is_set():
            pause = CLIENTS / self.rate if self.rate else float("inf")
            if (left := last + pause - time.monotonic()) > 0:
                self.ended.wait(min(left, REFRESH))
                continue
            # A service that is late is not asked twice as fast afterwards.
            last = max(last + pause, time.monotonic() - pause)
            self._request()

    def _request(self) -> None:
        with self.lock:
            pod = random.choice(list(self.pods.values())) if self.pods else None  # noqa: S311 - a share, no secret
        try:
            status = self.client.get(PATH).status_code
        except httpx.HTTPError:
            status = 0
        with self.lock:
            self.sent += 1
            self.failed += status != HTTPStatus.OK
            if pod is not None and status:
                pod[_labels("GET", PATH, status)] += 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        network = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                """A request for an address of the pods' network."""
                page = network.page(urlsplit(self.path).hostname or "")
                self.send_response(HTTPStatus.OK if page else HTTPStatus.BAD_GATEWAY)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write((page or "no process stands behind this pod\n").encode())

            def do_CONNECT(self) -> None:
                """TLS is what the other pods speak, and they are simulated."""
                self.send_error(HTTPStatus.BAD_GATEWAY)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        return Handler


def _labels(method: str, endpoint: str, status: int) -> Labels:
    return ("endpoint", endpoint), ("method", method), ("status", str(int(status)))


def _text(labels: Labels) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels)
