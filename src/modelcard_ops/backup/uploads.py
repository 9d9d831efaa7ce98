"""Uploads by the rows that name them: which there must be, and how they come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg

from modelcard_ops.backup.blobs import BlobStore, digest_of
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.files import place

TABLE = "public.uploads"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A file that the database names."""

    id: UUID
    sha256: str
    size: int
    created: datetime
    deleted: bool

    @property
    def path(self) -> str:
        """Where the service looks for it."""
        return f"{self.id.hex[:2]}/{self.id.hex}"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """How many files there are now, their bytes, and what is missing."""

    files: int
    size: int
    problems: Mapping[Row, str]


def rows(connection: psycopg.Connection) -> list[Row]:
    """All, or none where the application has not been set up yet."""
    there = connection.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone()
    if there is None or there[0] is None:
        return []
    found = connection.execute(
        "SELECT id, encode(sha256, 'hex'), size, created_at, deleted_at IS NOT NULL FROM uploads ORDER BY id"
    )
    return [Row(id=row[0], sha256=row[1], size=row[2], created=row[3], deleted=row[4]) for row in found]


def fetch(folder: Path, wanted: Sequence[Row], blobs: BlobStore) -> Fetched:
    """Writes every file that a row names; existing ones are left alone. A file of a deleted row may be missing."""

    def one(row: Row) -> tuple[int, str | None]:
        try:
            target = place(folder, row.path, "the table of uploads")
            if target.exists():
                there = digest_of(target)
                same = there.sha256 == row.sha256
                return there.size, None if same else f"{target}: has another content than its row says; it is left"
            size = blobs.fetch(row.sha256, target)
        except BackupError as error:
            return 0, None if row.deleted else f"upload {row.id}: {error}"
        if size != row.size:
            return size, f"upload {row.id}: has {size} bytes, its row says {row.size}"
        return size, None

    outcomes = list(blobs.each(one, wanted))
    return Fetched(
        files=sum(problem is None for _, problem in outcomes),
        size=sum(size for size, _ in outcomes),
        problems={row: problem for row, (_, problem) in zip(wanted, outcomes, strict=True) if problem},
    )
