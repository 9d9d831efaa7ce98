"""Stands in for metrics-server: tells `kubectl top` and the autoscaler what the processes behind the pods use.

A test double: simulated pods have no kubelet that measures them. It speaks the API metrics.k8s.io/v1beta1, registered
as metrics-server's is, so that kubectl's own code asks, selects and sorts.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
from kubernetes import client

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
RESOURCES = [
    {
        "name": kind.lower() + "s",
        "singularName": "",
        "namespaced": kind == "Pod",
        "kind": f"{kind}Metrics",
        "verbs": verbs,
    }
    for kind, verbs in (("Pod", ["get", "list"]), ("Node", ["get", "list"]))
]
NAME = "app.kubernetes.io/name"


class MetricsApi:
    """`processes` gives the process behind each `namespace/workload/container` that has one."""

    def __init__(
        self, api: Any, certificate: Path, key: Path, processes: Callable[[], Mapping[str, psutil.Process]]
    ) -> None:
        self.core: Any = client.CoreV1Api(api)
        self.processes = processes
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                body = json.dumps(stand_in.answer(url.path, parse_qs(url.query))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """To `/apis/metrics.k8s.io/v1beta1/…`."""
        parts = path.removeprefix(f"/apis/{GROUP}").strip("/").split("/")[1:]
        match parts:
            case ["nodes"]:
                return self._listed("NodeMetricsList", [self._node(each) for each in self.core.list_node().items])
            case ["nodes", name]:
                return self._node(self.core.read_node(name))
            case ["pods"]:
                pods = self.core.list_pod_for_all_namespaces(label_selector=_selector(query)).items
            case ["namespaces", namespace, "pods"]:
                pods = self.core.list_namespaced_pod(namespace, label_selector=_selector(query)).items
            case ["namespaces", namespace, "pods", name]:
                return self._pod(self.core.read_namespaced_pod(name, namespace))
            case _:
                return {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": f"{GROUP}/{VERSION}",
                    "resources": RESOURCES,
                }
        return self._listed("PodMetricsList", [self._pod(each) for each in pods])

    def _listed(self, kind: str, items: list[dict[str, Any]]) -> dict[str, Any]:
        return {"kind": kind, "apiVersion": f"{GROUP}/{VERSION}", "metadata": {}, "items": items}

    def _pod(self, pod: Any) -> dict[str, Any]:
        labels = pod.metadata.labels or {}
        keys = {each.name: f"{pod.metadata.namespace}/{labels.get(NAME)}/{each.name}" for each in pod.spec.containers}
        return {
            **_measured("PodMetrics", pod.metadata),
            "containers": [{"name": name, "usage": self._usage(key)} for name, key in keys.items()],
        }

    def _node(self, node: Any) -> dict[str, Any]:
        memory = psutil.virtual_memory().used
        usage = {"cpu": f"{int(psutil.cpu_percent() * 10)}m", "memory": f"{memory // 1024}Ki"}
        return {**_measured("NodeMetrics", node.metadata), "usage": usage}

    def _usage(self, key: str) -> dict[str, str]:
        """Since its start; of what has no process nothing is used."""
        process = self.processes().get(key)
        if process is None:
            return {"cpu": "0", "memory": "0"}
        family = [process, *process.children(recursive=True)]
        seconds = sum(sum(each.cpu_times()[:2]) for each in family)
        share = seconds / max(time.time() - process.create_time(), 1)
        memory = sum(each.memory_info().rss for each in family)
        return {"cpu": f"{int(share * 1e9)}n", "memory": f"{memory // 1024}Ki"}


def _selector(query: Mapping[str, list[str]]) -> str:
    return query.get("labelSelector", [""])[0]


def _measured(kind: str, metadata: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "apiVersion": f"{GROUP}/{VERSION}",
        "metadata": {"name": metadata.name, "namespace": metadata.namespace, "labels": metadata.labels},
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "window": "15s",
    }
