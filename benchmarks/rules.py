"""What evaluating all rules costs with twenty replicas of a hundred endpoints each, against the interval they have.

The floor is an evaluation of as many rules that read nothing. Also printed: the series that one replica adds.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from infra.environments.workspace import ROOT
from infra.kube.files import as_yaml
from infra.monitoring.scraping import INTERVAL
from tests.app.servers import eventually, free_port
from tests.system.pods import TOOLS, Process

REPLICAS, ENDPOINTS = 20, 100
BAR = 0.05
EVALUATIONS = 8
BOUNDS = ("0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")
FORMATS = ("huggingface", "google", "eu_cra")


def page(requests: int) -> Iterator[str]:
    """What one replica says after that many requests to each endpoint."""
    for number in range(ENDPOINTS):
        endpoint = f"/things/{number}/{{id}}"
        for status in ("200", "404", "500"):
            labels = f'method="GET",endpoint="{endpoint}",status="{status}"'
            yield f"http_requests_total{{{labels}}} {requests if status == '200' else requests // 100}"
        labels = f'method="GET",endpoint="{endpoint}"'
        for position, bound in enumerate(BOUNDS):
            count = requests * (position + 1) // len(BOUNDS)
            yield f'http_request_duration_seconds_bucket{{{labels},le="{bound}"}} {count}'
        yield f"http_request_duration_seconds_sum{{{labels}}} {requests / 10}"
        yield f"http_request_duration_seconds_count{{{labels}}} {requests}"
    for name in FORMATS:
        for status in ("success", "error"):
            labels = f'format="{name}",template="standard",status="{status}"'
            yield f"modelcard_cards_generated_total{{{labels}}} {requests}"
    yield f"modelcard_database_pool_in_use {requests % 8}"
    yield "modelcard_database_pool_size 8"


class Replica(BaseHTTPRequestHandler):
    """Twenty of them on one port, told apart by their paths."""

    started = time.monotonic()

    def do_GET(self) -> None:
        """The page, a little later each time."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        text = "\n".join(page(int((time.monotonic() - self.started) * 50)))
        self.wfile.write(f"{text}\n".encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def measure(folder: Path, rules: list[Path], port: int, replicas: int) -> tuple[float, int]:
    """Mean seconds of CPU-bound evaluation per interval, and how many series there are."""
    server = free_port()
    config = {
        "global": {"scrape_interval": f"{INTERVAL}s", "evaluation_interval": f"{INTERVAL}s"},
        "rule_files": [str(each) for each in rules],
        "scrape_configs": [
            {
                "job_name": "modelcard-generator",
                "scrape_interval": "10s",
                "static_configs": [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"pod": f"app-{each}", "__metrics_path__": f"/{each}"}}
                    for each in range(replicas)
                ],
            }
        ],
    }
    folder.mkdir()
    (folder / "prometheus.yml").write_text(as_yaml(config))
    process = Process(
        [
            str(TOOLS / "prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{server}",
        ],
        log=folder / "log",
    )
    process.start()
    client = httpx.Client(base_url=f"http://127.0.0.1:{server}", timeout=10)
    try:
        eventually(lambda: client.get("/-/ready").status_code == 200)
        time.sleep(INTERVAL * EVALUATIONS)
        groups = client.get("/api/v1/rules").json()["data"]["groups"]
        share = sum(each["evaluationTime"] / each["interval"] for each in groups)
        series = client.get("/api/v1/status/tsdb").json()["data"]["headStats"]["numSeries"]
        return share, int(series)
    finally:
        process.kill()
        client.close()


def idle(path: Path, count: int) -> Path:
    """As many rules, none of which reads anything."""
    rules = [{"record": f"nothing:{number}:one", "expr": "vector(1)"} for number in range(count)]
    path.write_text(as_yaml({"groups": [{"name": "idle", "rules": rules}]}))
    return path


def main() -> int:
    """Prints the shares; exit status 1 above the bar."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Replica)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    files = sorted((ROOT / "rules").glob("*.yml"))
    count = sum(len(group["rules"]) for file in files for group in yaml.safe_load(file.read_text())["groups"])
    with tempfile.TemporaryDirectory() as folder:
        floor, _ = measure(Path(folder) / "floor", [idle(Path(folder) / "idle.yml", count)], server.server_port, 1)
        few, one = measure(Path(folder) / "one", files, server.server_port, 1)
        share, all_series = measure(Path(folder) / "all", files, server.server_port, REPLICAS)
    print(f"{count} rules that read nothing take {floor:.2%} of the interval, ours with one replica {few:.2%}")
    print(f"ours with {REPLICAS} replicas of {ENDPOINTS} endpoints take {share:.2%} (bar {BAR:.0%})")
    print(f"a replica adds {(all_series - one) // (REPLICAS - 1)} series")
    return int(share > BAR)


if __name__ == "__main__":
    sys.exit(main())
