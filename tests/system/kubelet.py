"""Stands in for a kubelet: what cAdvisor and the kubelet would say of pods, measured on processes of this machine.

A test double: simulated pods have no containers. The names are those of kubelet 1.33.
"""

from __future__ import annotations

import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

Labels = Mapping[str, str]


class StandInKubelet:
    """`containers` gives the labels (namespace, pod, container) and the process of each that runs now."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        containers: Callable[[], list[tuple[Labels, psutil.Process]]],
        volumes: Mapping[tuple[str, str], Path],
    ) -> None:
        self.containers, self.volumes = containers, volumes
        pages = {"/metrics/cadvisor": self._cadvisor, "/metrics": self._volumes}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = pages.get(self.path)
                self.send_response(200 if page else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                if page:
                    self.wfile.write("".join(f"{line}\n" for line in page()).encode())

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.started = time.monotonic()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.server.server_close()

    def _cadvisor(self) -> Iterator[str]:
        periods = int((time.monotonic() - self.started) * 10)
        for labels, process in self.containers():
            try:
                family = [process, *process.children(recursive=True)]
                seconds = sum(sum(each.cpu_times()[:2]) for each in family)
                memory = sum(each.memory_info().rss for each in family)
            except psutil.NoSuchProcess:
                continue
            named = _labels(labels)
            yield f"container_cpu_usage_seconds_total{named} {seconds}"
            yield f"container_memory_working_set_bytes{named} {memory}"
            yield f"container_cpu_cfs_periods_total{named} {periods}"
            yield f"container_cpu_cfs_throttled_periods_total{named} 0"
            pod = _labels({key: labels[key] for key in ("namespace", "pod")} | {"interface": "eth0"})
            yield f"container_network_receive_bytes_total{pod} {memory}"
            yield f"container_network_transmit_bytes_total{pod} {memory}"

    def _volumes(self) -> Iterator[str]:
        for (namespace, claim), folder in self.volumes.items():
            usage = shutil.disk_usage(folder)
            named = _labels({"namespace": namespace, "persistentvolumeclaim": claim})
            yield f"kubelet_volume_stats_capacity_bytes{named} {usage.total}"
            yield f"kubelet_volume_stats_available_bytes{named} {usage.free}"
            yield f"kubelet_volume_stats_used_bytes{named} {usage.used}"
            yield f"kubelet_volume_stats_inodes{named} 1000000"
            yield f"kubelet_volume_stats_inodes_free{named} 900000"
            yield f"kubelet_volume_stats_inodes_used{named} 100000"


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
