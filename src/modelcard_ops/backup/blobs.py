"""Content-addressed files: `blobs/AB/SHA256`, encrypted, written once however many sets name them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar, cast

from modelcard_ops.backup.bucket import Bucket
from modelcard_ops.backup.encryption import Cipher
from modelcard_ops.backup.errors import BackupError

FOLDER = "blobs/"
IN_MEMORY = 8 * 1024 * 1024  # bytes; larger files go through the scratch folder
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Blob:
    """What a file holds: its SHA-256 in hex, and its bytes."""

    sha256: str
    size: int


def key_of(sha256: str) -> str:
    """Where a content is; anything but a digest would be a path that somebody chose."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise BackupError(f"{sha256!r} is not a SHA-256")
    return f"{FOLDER}{sha256[:2]}/{sha256}"


def digest_of(path: Path) -> Blob:
    """Of a file as it is now."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Blob(sha256=digest, size=file.tell())


class BlobStore:
    """Blobs in a bucket. Raises `BackupError`."""

    def __init__(self, bucket: Bucket, cipher: Cipher, scratch: Path, workers: int) -> None:
        self._bucket, self._cipher, self._scratch, self._workers = bucket, cipher, scratch, workers

    def put(self, path: Path, blob: Blob, *, again: bool = False) -> bool:
        """Has a file's content in the bucket; whether it had to be written. `again` trusts nothing that is there."""
        if not again and self._bucket.size(key_of(blob.sha256)) is not None:
            return False
        with path.open("rb") as plain, self._spool() as sealed:
            reader = _Hashing(plain)
            self._cipher.seal_file(reader, sealed)
            if reader.digest.hexdigest() != blob.sha256:
                raise BackupError(f"{path}: changed while it was read: uploads are written once; run again")
            sealed.seek(0)
            self._bucket.put(key_of(blob.sha256), sealed)
        return True

    def fetch(self, sha256: str, target: Path) -> int:
        """Writes a content to a file that appears whole or not at all; its bytes."""
        partial = target.with_name(f".{target.name}.partial")
        try:
            with partial.open("wb") as plain:
                size = self._open(sha256, plain)
                plain.flush()
                os.fsync(plain.fileno())
            partial.replace(target)
        except OSError as error:
            raise BackupError(f"{target}: {error.strerror}") from None
        finally:
            partial.unlink(missing_ok=True)
        return size

    def check(self, sha256: str) -> int:
        """Reads a content back and compares it with its name; its bytes."""
        with Path(os.devnull).open("wb") as nowhere:
            return self._open(sha256, nowhere)

    def _open(self, sha256: str, plain: IO[bytes]) -> int:
        key = key_of(sha256)
        with self._spool() as sealed:
            self._bucket.download(key, sealed)
            sealed.seek(0)
            writer = _Hashing(plain)
            self._cipher.open_file(sealed, writer, self._bucket.address(key))
        if writer.digest.hexdigest() != sha256:
            raise BackupError(f"{self._bucket.address(key)}: holds something else than its name says")
        return writer.size

    def each(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterable[Result]:
        """Does it for all, several at once, in order; the first error ends it."""
        with ThreadPoolExecutor(self._workers) as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                for future in futures:
                    yield future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _spool(self) -> IO[bytes]:
        return cast("IO[bytes]", tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(self._scratch)))


class _Hashing:
    """Passes on what is read or written, and knows its digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self.digest.update(piece)
        return piece

    def write(self, piece: bytes) -> int:
        self._file.write(piece)
        self.digest.update(piece)
        self.size += len(piece)
        return len(piece)

    def flush(self) -> None:
        self._file.flush()
