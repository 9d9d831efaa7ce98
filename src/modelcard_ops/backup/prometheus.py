"""Prometheus' data: a snapshot that its admin API makes on its own disk, and a sidecar there hands out and removes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from modelcard_ops.backup.blobs import BlobStore, digest_of
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.files import File, Known, safe
from modelcard_ops.backup.settings import Settings

TIMEOUT = httpx.Timeout(120, connect=5)  # a snapshot first writes what is in memory


class Prometheus:
    """One Prometheus and its sidecar, by TLS and the monitoring's login. Raises `BackupError`."""

    def __init__(self, settings: Settings) -> None:
        settings.need("prometheus_url", "snapshots_url", "prometheus_user", "prometheus_password")
        self._api = settings.text("prometheus_url").rstrip("/")
        self._sidecar = settings.text("snapshots_url").rstrip("/")
        self._scratch = settings.scratch_dir
        self._client = httpx.Client(
            auth=(settings.text("prometheus_user"), settings.secret("prometheus_password")),
            verify=str(settings.authority_file) if settings.authority_file else True,
            timeout=TIMEOUT,
        )

    @contextmanager
    def snapshot(self) -> Iterator[str]:
        """The name of a snapshot, which is gone afterwards; so are those that a killed run has left."""
        for name in self._ask("GET", f"{self._sidecar}/snapshots"):
            self._remove(name)
        name = str(self._ask("POST", f"{self._api}/api/v1/admin/tsdb/snapshot")["data"]["name"])
        try:
            yield name
        finally:
            self._remove(name)

    def store(self, name: str, blobs: BlobStore, known: Known) -> tuple[list[File], int]:
        """Has all files of a snapshot in the bucket; only those that it lacks travel."""
        there = {file.sha256 for file in known.files} - set(known.damaged)
        listed = self._ask("GET", f"{self._sidecar}/snapshots/{name}")
        files = [File(safe(each["path"], self._sidecar), each["size"], each["sha256"], 0, 0) for each in listed]
        written = 0
        for file in files:
            if file.sha256 not in there:
                written += self._one(name, file, blobs, again=file.sha256 in known.damaged)
        return files, written

    def _one(self, name: str, file: File, blobs: BlobStore, *, again: bool) -> int:
        target = self._scratch / f"snapshot-{file.sha256}"
        try:
            address = f"{self._sidecar}/snapshots/{name}/{file.path}"
            with self._client.stream("GET", address) as answer, target.open("wb") as out:
                answer.raise_for_status()
                for piece in answer.iter_bytes():
                    out.write(piece)
            blob = digest_of(target)
            if blob.sha256 != file.sha256:
                raise BackupError(f"{address}: arrived with another content than it was announced with")
            return blob.size if blobs.put(target, blob, again=again) else 0
        except httpx.HTTPError as error:
            raise BackupError(f"Prometheus' snapshot: {error}") from None
        except OSError as error:
            raise BackupError(f"{target}: {error.strerror}") from None
        finally:
            target.unlink(missing_ok=True)

    def _remove(self, name: str) -> None:
        self._ask("DELETE", f"{self._sidecar}/snapshots/{name}")

    def _ask(self, method: str, address: str) -> Any:
        try:
            answer = self._client.request(method, address)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise BackupError(f"Prometheus: {method} {address}: {error}".splitlines()[0]) from None
