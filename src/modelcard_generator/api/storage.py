"""The folder of uploaded files. Rows in the database say what is in it; a file without a row is nobody's."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from modelcard_generator.api.limits import too_large
from modelcard_generator.errors import StorageFull

BLOCK = 1024 * 1024  # bytes that are collected before a thread writes them
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ABANDONED = 3600.0  # seconds after which an unfinished file has nobody who still writes it


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What was written: bytes and their SHA-256."""

    size: int
    sha256: bytes


class FileStore:
    """Files by the id of their upload, whole or not there; names that people chose never become paths."""

    def __init__(self, folder: Path, *, limit: int) -> None:
        self.folder = folder
        self.limit = limit

    def path(self, upload_id: UUID) -> Path:
        """Where a file is. Two letters of the id spread them over folders."""
        return self.folder / upload_id.hex[:2] / upload_id.hex

    async def write(self, upload_id: UUID, chunks: AsyncIterator[bytes]) -> StoredFile:
        """Writes a file through to the disk. Raises `TooLarge`, `StorageFull`; then nothing is left of it."""
        path = self.path(upload_id)
        partial = path.with_suffix(".partial")
        digest = hashlib.sha256()
        size = 0
        try:
            descriptor = await asyncio.to_thread(_create, partial)
            try:
                async for block in _blocks(chunks):
                    size += len(block)
                    if size > self.limit:
                        raise too_large(self.limit)
                    digest.update(block)
                    await asyncio.to_thread(_write, descriptor, block)
                await asyncio.to_thread(os.fsync, descriptor)
            finally:
                os.close(descriptor)
            await asyncio.to_thread(_publish, partial, path)
        except BaseException as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in FULL:
                raise StorageFull("there is no room for this file now: an operator has been told") from error
            raise
        return StoredFile(size, digest.digest())

    def remove(self, upload_id: UUID) -> None:
        """Removes a file that got no row."""
        self.path(upload_id).unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Removes what a killed process has begun to write."""
        for partial in self.folder.glob("??/*.partial"):
            if time.time() - partial.stat().st_mtime > ABANDONED:
                partial.unlink(missing_ok=True)


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    collected = bytearray()
    async for chunk in chunks:
        collected += chunk
        if len(collected) >= BLOCK:
            yield bytes(collected)
            collected.clear()
    if collected:
        yield bytes(collected)


def _create(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def _publish(partial: Path, path: Path) -> None:
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
