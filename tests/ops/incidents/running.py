"""The responder as a process of its own, as its pod starts it, and all that it tells."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from modelcard_ops.incidents.settings import PREFIX
from tests.app.servers import eventually, free_port
from tests.ops.incidents.outside import TOKEN as OUTSIDE_TOKEN
from tests.ops.incidents.outside import Outside

WEBHOOK_TOKEN, TOKEN = "webhook-token-of-the-tests", "token-of-people-in-the-tests"
PATIENCE = 120  # seconds; it takes two on an idle machine


class Running:
    """A responder and all that it tells."""

    def __init__(self, folder: Path, files: Any, **settings: Any) -> None:
        self.outside = Outside()
        self.folder, self.port = folder, free_port()
        self.url = f"https://localhost:{self.port}"
        (folder / "logs").mkdir()
        values = {
            "data_dir": folder,
            "log_dir": folder / "logs",
            "port": self.port,
            "certificate_file": files.certificate,
            "key_file": files.key,
            "webhook_token": WEBHOOK_TOKEN,
            "token": TOKEN,
            "tick": "0.2",
            "slack_token": OUTSIDE_TOKEN,
            "slack_url": f"{self.outside.url}/api",
            "status_page_id": "page1",
            "status_page_token": OUTSIDE_TOKEN,
            "status_page_url": self.outside.url,
            "heartbeat_url": f"{self.outside.url}/heartbeat",
            **settings,
        }
        # Nothing here may find a cluster of whoever runs the tests.
        clean = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
        self.environment = {
            **clean,
            "HOME": str(folder),
            **{f"{PREFIX}{key.upper()}": str(value) for key, value in values.items()},
        }
        self.trust = ssl.create_default_context(cafile=str(files.authority))
        self.client = httpx.Client(base_url=self.url, verify=self.trust, timeout=60)
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Returns when it answers."""
        command = [sys.executable, "-c", "from modelcard_ops.cli import main; main()", "responder"]
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output)
        eventually(lambda: self.client.get("/ready").status_code == 200, within=PATIENCE)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def webhook(self, content: bytes, token: str = WEBHOOK_TOKEN) -> httpx.Response:
        """As Alertmanager sends it."""
        return self.client.post("/alerts", content=content, headers={"Authorization": f"Bearer {token}"})

    def incidents(self, **parameters: str) -> Any:
        """As people ask for them."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return self.client.get("/api/incidents", params=parameters, headers=headers).json()

    def security(self) -> list[dict[str, str]]:
        """The lines of the security log."""
        file = self.folder / "logs" / "security.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def close(self) -> None:
        """Ends everything."""
        self.kill()
        self.client.close()
        self.outside.close()
