"""A folder of files as a list of contents: what is in it, and how it gets into the bucket and back."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from modelcard_ops.backup.blobs import Blob, BlobStore, digest_of
from modelcard_ops.backup.bucket import Bucket
from modelcard_ops.backup.encryption import Cipher
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.manifest import FilesPart, Object

PARTIAL = ".partial"  # what the service has not finished writing


@dataclass(frozen=True, slots=True)
class File:
    """A file by its path below the folder. Two times tell whether it was touched: nobody can set back the second."""

    path: str
    size: int
    sha256: str
    modified: int
    changed: int


@dataclass(frozen=True, kw_only=True)
class Known:
    """What need not be read again: files of an earlier list, and contents that are safely in the bucket."""

    files: Sequence[File] = ()
    damaged: Collection[str] = ()
    copied: Collection[str] = ()


def scan(folder: Path) -> Iterator[Path]:
    """All regular files, sorted; links are not followed. One that is gone meanwhile is gone."""
    if not folder.is_dir():
        raise BackupError(f"{folder}: is not a folder")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix != PARTIAL:
            yield path


def store(folder: Path, blobs: BlobStore, known: Known, *, again: bool = False) -> tuple[list[File], int]:
    """Has every file in the bucket; the list, and the bytes that were not there before.

    With `again`, what is not known is written even if the bucket has it.
    """
    before = {file.path: file for file in known.files}
    there = {file.sha256 for file in known.files} | set(known.copied)
    there -= set(known.damaged)

    def one(path: Path) -> tuple[File, int] | None:
        name = path.relative_to(folder).as_posix()
        try:
            status = path.stat()
            same = before.get(name)
            times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if same is not None and times == (same.size, same.modified, same.changed):
                blob = Blob(sha256=same.sha256, size=same.size)
            else:
                blob = digest_of(path)
            written = 0
            if blob.sha256 not in there:
                written = blob.size if blobs.put(path, blob, again=again or blob.sha256 in known.damaged) else 0
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BackupError(f"{path}: {error.strerror}") from None
        return File(name, blob.size, blob.sha256, status.st_mtime_ns, status.st_ctime_ns), written

    done = [each for each in blobs.each(one, scan(folder)) if each is not None]
    return [file for file, _ in done], sum(written for _, written in done)


def write_index(bucket: Bucket, cipher: Cipher, key: str, files: Sequence[File], uploaded: int) -> FilesPart:
    """Puts the list itself into the bucket."""
    body = cipher.seal(zlib.compress(orjson.dumps([astuple(file) for file in files]), 1))
    return FilesPart(
        index=put_object(bucket, key, body),
        files=len(files),
        size=sum(file.size for file in files),
        uploaded=uploaded,
    )


def read_index(bucket: Bucket, cipher: Cipher, part: FilesPart) -> list[File]:
    """The list. Raises `BackupError` if it is damaged, or names a path outside of its folder."""
    name = bucket.address(part.index.key)
    try:
        rows: list[list[Any]] = orjson.loads(zlib.decompress(cipher.open(get_object(bucket, part.index), name)))
        return [File(safe(row[0], name), int(row[1]), str(row[2]), int(row[3]), int(row[4])) for row in rows]
    except (zlib.error, orjson.JSONDecodeError, IndexError, TypeError, ValueError) as error:
        raise BackupError(f"{name}: is damaged: {error}") from None


def put_object(bucket: Bucket, key: str, body: bytes) -> Object:
    """Writes an object of a set."""
    bucket.put(key, body)
    return Object(key=key, size=len(body), sha256=hashlib.sha256(body).hexdigest())


def get_object(bucket: Bucket, wanted: Object) -> bytes:
    """Reads an object of a set. Raises `BackupError` if it is not what was written."""
    body = bucket.read(wanted.key)
    if len(body) != wanted.size or hashlib.sha256(body).hexdigest() != wanted.sha256:
        raise BackupError(f"{bucket.address(wanted.key)}: is damaged: its digest is another")
    return body


def safe(path: str, where: str) -> str:
    """A path that stays below its folder. Raises `BackupError`: whoever wrote another one means harm."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\0" in path or "\\" in path or str(parts) != path:
        raise BackupError(f"{where}: names {path!r}, which is not a path below its folder: nothing of it is used")
    return path


def place(folder: Path, path: str, where: str) -> Path:
    """Where a file of a list goes; links in between lead nowhere else."""
    target = folder / safe(path, where)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise BackupError(f"{target}: leads out of {folder} by a link: nothing is written there")
    return target


def fetch(folder: Path, files: Sequence[File], blobs: BlobStore, told: Callable[[str], None]) -> int:
    """Writes files that are not there yet; their bytes. One that is there with another content is left and said."""

    def one(file: File) -> int:
        target = place(folder, file.path, "the list of files")
        if target.exists():
            if digest_of(target).sha256 != file.sha256:
                told(f"{target}: has another content than the set's, and is left as it is")
            return 0
        return blobs.fetch(file.sha256, target)

    return sum(blobs.each(one, files))
