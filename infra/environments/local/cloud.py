"""The local stack's AWS: moto, a process that keeps everything in memory. A test double: nothing of it reaches AWS.

It speaks HTTPS, for pgBackRest speaks nothing else to a bucket, under a certificate of an authority of its own.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import processes
from .failures import NOT_RUNNING, LocalClusterError, failure_in_log
from .waiting import POLL_INTERVAL, wait_until

PORTS = range(20000, 30000)  # as the control plane's
START_TIMEOUT = 90.0  # 2 s when the computer has nothing else to do
REGION = "us-east-1"


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where it answers, who signed its certificate, and a login: it lets everybody in."""

    url: str
    authority: Path

    def client(self, service: str, region: str = REGION) -> Any:
        """A client of boto3. The program's own credentials, if there are any, are not asked for."""
        import boto3  # it and moto are there for development; the program itself needs neither
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            verify=str(self.authority),
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - any will do
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, connect_timeout=5),
        )


class LocalCloud:
    """One such process, whose files are in `folder`. `fresh` says that it had to be started, and so is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fresh = False
        self._certificate, self._key = folder / "tls.crt", folder / "tls.key"

    @property
    def access(self) -> Access:
        """How it is reached. Raises `LocalClusterError` if it was never started."""
        try:
            port = int((self.folder / "port").read_text())
        except FileNotFoundError:
            raise LocalClusterError(NOT_RUNNING) from None
        return Access(url=f"https://localhost:{port}", authority=self.folder / "ca.crt")

    def start(self) -> None:
        """Have it run; what it holds is lost when it had to be started. `wait` says when it answers."""
        self.fresh = not self._pids()
        if not self.fresh:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._issue()
        port = _free_port()
        (self.folder / "port").write_text(str(port))
        program = [sys.executable, "-m", "infra.environments.local.moto_server"]
        with (self.folder / "log").open("wb") as log:
            subprocess.Popen(
                [*program, "127.0.0.1", str(port), str(self._certificate), str(self._key)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Returns when it answers."""
        deadline = time.monotonic() + START_TIMEOUT
        while not self.answers():
            if not self._pids():
                raise failure_in_log("moto", self.folder / "log")
            if time.monotonic() > deadline:
                raise LocalClusterError(
                    f"moto does not answer after {START_TIMEOUT:.0f} s (log: {self.folder / 'log'})"
                )
            time.sleep(POLL_INTERVAL)

    def answers(self) -> bool:
        """Whether it does."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self.access.client("s3").list_buckets()
        except (OSError, ValueError, BotoCoreError, ClientError):
            return False
        return True

    def stop(self) -> None:
        """Ends it, whatever it holds."""

        def ended() -> bool:
            pids = self._pids()
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not pids

        wait_until(ended, timeout=10)

    def _pids(self) -> list[int]:
        # Known by a file that no other process is started with.
        return processes.started_with(self._certificate)

    def _issue(self) -> None:
        from infra.environments import secrets

        authority, pair = secrets.loopback_certificate()
        (self.folder / "ca.crt").write_text(authority)
        self._certificate.write_text(pair["certificate"])
        self._key.touch(0o600)
        self._key.write_text(pair["key"])


def _free_port() -> int:
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise LocalClusterError("no port is free on this computer")
