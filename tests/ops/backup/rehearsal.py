"""`make drill`: the whole cycle on this machine, around the real service while it is written to.

A database host with its log archived to S3 over TLS, the service, writers; a set, its verification, a drill; then the
host and its volumes are gone, one command brings them back, and the service answers with every committed card and file.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import httpx
import pyrage

from modelcard_ops.backup.programs import own
from tests import unpacked
from tests.app.servers import RedisServer, eventually
from tests.app.service import RunningService, description
from tests.ops.backup.certificates import Certificates
from tests.ops.backup.s3 import BUCKET, S3
from tests.ops.backup.server import Server, in_bucket
from tests.ops.backup.world import World

DATABASE = "modelcard"
WRITERS = 2
SEEN = 40  # acknowledged writes before something happens to them


class Writer(threading.Thread):
    """A user who keeps a log of every card and file that the service has acknowledged."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__(daemon=True)
        self.client, self.done = client, threading.Event()
        self.cards: list[str] = []
        self.files: dict[str, str] = {}

    def run(self) -> None:
        number = 0
        while not self.done.is_set():
            number += 1
            try:
                card = self.client.post("/cards", json=description())
                if card.status_code != 201:
                    continue
                self.cards.append(card.json()["id"])
                body = f"{card.json()['id']} {number}".encode() * 200
                file = self.client.post(
                    f"/cards/{self.cards[-1]}/files",
                    params={"name": "weights.bin"},
                    content=body,
                    headers={"Content-Type": "application/octet-stream"},
                )
                if file.status_code == 201:
                    self.files[file.json()["id"]] = hashlib.sha256(body).hexdigest()
            except httpx.HTTPError:
                time.sleep(0.05)  # the service is gone, as it will be in a disaster

    def stop(self) -> None:
        self.done.set()
        self.join()


class Rehearsal:
    """Everything that runs, and what becomes of it."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self.running = contextlib.ExitStack()
        with self.running:
            self._start()
            self.running = self.running.pop_all()

    def _start(self) -> None:
        folder, say = self.folder, self.say
        host, tls = self._owned("host"), self._owned("tls")
        self.certificates = Certificates(tls)
        self.s3 = S3(self.certificates.authority, self.certificates.certificate, self.certificates.key)
        self.running.callback(self.s3.close)
        self.s3.create_bucket()
        say("S3 over TLS is up")
        repository = in_bucket(self.certificates.authority, self.s3.port, BUCKET, "drill")
        self.server = Server(host, self.certificates, repository)
        self.running.callback(self.server.close)
        with self.server.connect() as connection:
            connection.execute(f"CREATE ROLE {DATABASE} LOGIN")
            connection.execute(f"CREATE DATABASE {DATABASE} OWNER {DATABASE}")
        say("PostgreSQL and pgBackRest's server are up")
        scratch = self._owned("scratch")
        identity, key = (str(pyrage.x25519.Identity.generate()) for _ in range(2))
        self.redis = RedisServer()
        self.running.callback(self.redis.close)
        self.service = RunningService(
            folder / "service", self.server.url(DATABASE, DATABASE), self.redis.url, body_limit=10**6
        )
        self.world = World(self.s3, self.server, scratch, self.service.uploads, DATABASE, identity, key, prefix="drill")
        assert self.world.mcops("stanza").returncode == 0
        self.start_service()
        self.running.callback(self.service.kill)
        say("the service is up")

    def start_service(self) -> None:
        """However slow the computer is."""
        for left in reversed(range(4)):
            try:
                self.service.start()
            except TimeoutError:
                if not left:
                    raise
            else:
                return

    def _owned(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o755)
        own(path)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.running.close()

    def run(self) -> None:
        """Raises AssertionError if anything is not as it must be."""
        writers = [Writer(self.service.user(f"writer-{number}")) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        self._after_more(writers)
        self._step("run")
        self._after_more(writers)
        self._step("uploads")
        self._step("verify")
        self._step("drill")
        for writer in writers:
            writer.stop()
        self._step("uploads")
        self.server_archives()
        self._disaster()
        self._recover()
        self._compare(writers)
        self._step("run")
        self._step("verify")
        self._step("prune")
        self._step("list")

    def _after_more(self, writers: list[Writer]) -> None:
        wanted = sum(len(writer.files) for writer in writers) + SEEN
        eventually(lambda: sum(len(writer.files) for writer in writers) >= wanted, within=120)
        self.say(f"{wanted} files and as many cards acknowledged so far, more are being written")

    def _step(self, *command: str) -> None:
        done = self.world.mcops(*command)
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            self.say(f"  mcops backup {command[0]}: {line}")

    def server_archives(self) -> None:
        """What a minute of `archive_timeout` does."""
        with self.server.connect() as connection:
            row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            assert row is not None
            eventually(lambda: self._last_archived() >= row[0], within=60)

    def _last_archived(self) -> str:
        with self.server.connect() as connection:
            row = connection.execute("SELECT last_archived_wal FROM pg_stat_archiver").fetchone()
        return str(row[0]) if row else ""

    def _disaster(self) -> None:
        self.service.kill()
        self.server.kill()
        shutil.rmtree(self.server.data)
        shutil.rmtree(self.service.uploads)
        self.say("the service, the database's host and both volumes are gone")
        self.began = time.monotonic()

    def _recover(self) -> None:
        done = self.world.mcops(
            "restore", "--database", str(self.server.data), "--uploads", str(self.service.uploads), "--production",
            "--yes", cache_url=self.redis.url,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for line in [*done.stderr.splitlines(), *done.stdout.splitlines()]:
            self.say(f"  mcops backup restore: {line}")
        self.server.start()
        self.start_service()
        self.say(f"RTO {time.monotonic() - self.began:.1f} s: the service is ready again")

    def _compare(self, writers: list[Writer]) -> None:
        for writer in writers:
            for card in writer.cards:
                assert writer.client.get(f"/cards/{card}").status_code == 200, f"card {card} is lost"
            for file, digest in writer.files.items():
                content = writer.client.get(f"/files/{file}")
                assert content.status_code == 200, f"file {file} is lost"
                assert hashlib.sha256(content.content).hexdigest() == digest, f"file {file} is another"
        cards, files = (sum(len(getattr(writer, what)) for writer in writers) for what in ("cards", "files"))
        self.say(f"all {cards} cards and {files} files that were ever acknowledged are there")


def main() -> int:
    """Prints each step with its time."""
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="mcops-drill-all-"))
    folder.chmod(0o755)
    try:
        with unpacked.programs(), Rehearsal(folder, say) as rehearsal:
            rehearsal.run()
    except AssertionError as error:
        print(f"drill: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
