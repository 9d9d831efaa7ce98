"""The service as it runs in a pod: a supervisor and its workers, in processes of their own, on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import psutil

from modelcard_generator.cards.formats import Format
from modelcard_generator.cards.request import EXAMPLES
from tests.app.servers import eventually, free_port


class RunningService:
    """`python -m modelcard_generator.api`, and what a person needs to use it."""

    def __init__(self, folder: Path, database_url: str, cache_url: str, **settings: Any) -> None:
        self.logs, self.uploads = folder / "logs", folder / "uploads"
        self.stdout = folder / "stdout"
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        secrets = folder / "secrets"
        for path in (self.logs, self.uploads, secrets):
            path.mkdir(parents=True, exist_ok=True)
        (secrets / "mcg_database_url").write_text(database_url)
        (secrets / "mcg_cache_url").write_text(cache_url)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MCG_", "PROMETHEUS_"))},
            "MCG_SECRETS_DIR": str(secrets),
            "MCG_LOG_DIR": str(self.logs),
            "MCG_UPLOADS_DIR": str(self.uploads),
            "MCG_EXTERNAL_APIS": "[]",
            "TMPDIR": tempfile.mkdtemp(dir=folder),
            **{f"MCG_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True, within: float = 20) -> RunningService:
        """Returns when it is ready, or with `ready=False` when it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "modelcard_generator.api", "--port", str(self.port)],
            env=self.environment,
            stdout=self.stdout.open("ab"),
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(lambda: self.process.poll() is not None or httpx.get(f"{self.address}/health"), within=within)
            if ready:
                eventually(self.is_ready, within=within)
        except TimeoutError:
            print(self.stdout.read_text())
            self.kill()
            raise
        return self

    def is_ready(self) -> bool:
        """What the readiness probe sees."""
        return httpx.get(f"{self.address}/ready", timeout=3).status_code == 200

    def operate(self, *args: str) -> str:
        """What an operator types in a pod."""
        command = [sys.executable, "-m", "modelcard_generator.database.accounts", *args]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout.strip()

    def user(self, name: str) -> httpx.Client:
        """A new user's client."""
        self.operate("create", name)
        return self.client(self.operate("token", name))

    def client(self, token: str | None = None) -> httpx.Client:
        """With a token, or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.address, headers=headers, timeout=35)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        assert self.process is not None
        return [
            child
            for child in psutil.Process(self.process.pid).children()
            if any("spawn_main" in word for word in child.cmdline())
        ]

    def records(self) -> list[dict[str, Any]]:
        """What it wrote to its output, line by line."""
        return [json.loads(line) for line in self.stdout.read_text().splitlines()]

    def metric(self, name: str, **labels: str) -> float:
        """The sum over the samples of a metric that have these labels."""
        from prometheus_client.parser import text_string_to_metric_families

        families = text_string_to_metric_families(httpx.get(f"{self.address}/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def terminate(self) -> int:
        """SIGTERM, and the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        assert self.process is not None
        if self.process.poll() is None:
            family = [*self.workers(), psutil.Process(self.process.pid)]
            for process in family:
                process.kill()
        self.process.wait()


def description(format_type: Format = "google", template: str = "standard") -> dict[str, Any]:
    """A valid request for a card."""
    return {**EXAMPLES[format_type], "template": template}
