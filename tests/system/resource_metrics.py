"""Stands in for metrics-server: simulated pods use nothing, and without an answer no autoscaler scales down.

A test double of the API `metrics.k8s.io`: every container uses the same share of what it requests, all the time.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from infra.quantities import Cpu, Memory

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
ROOT = f"/apis/{GROUP}/{VERSION}"
SHARE = 10  # per cent of the request; of 20 pods, the declared targets then ask for 3
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}
    ],
}


class ResourceMetrics:
    """Serves by TLS. `pods` lists the pods of a namespace that a label selector chooses."""

    def __init__(self, certificate: Path, key: Path, pods: Callable[[str, str], list[Any]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                body = _answer(url.path, parse_qs(url.query).get("labelSelector", [""])[0], pods)
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body or {}).encode())

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = int(self.server.server_port)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.server.server_close()


def _answer(path: str, selector: str, pods: Callable[[str, str], list[Any]]) -> dict[str, Any] | None:
    match path.removeprefix(ROOT).split("/"):
        case [""]:
            return RESOURCES
        case ["", "namespaces", namespace, "pods"]:
            items = [_usage(each) for each in pods(namespace, selector)]
            return {"kind": "PodMetricsList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}
        case _:
            return None


def _usage(pod: Any) -> dict[str, Any]:
    metadata = {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "labels": pod.metadata.labels}
    containers = []
    for each in pod.spec.containers:
        requests = each.resources.requests
        cpu = Cpu(requests["cpu"]).millicores * SHARE // 100
        memory = Memory(requests["memory"]).bytes * SHARE // 100
        containers.append({"name": each.name, "usage": {"cpu": f"{cpu}m", "memory": str(memory)}})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"metadata": metadata, "timestamp": now, "window": "15s", "containers": containers}
