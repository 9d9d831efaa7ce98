"""Sets that nobody made, for what only looks at their manifests."""

from __future__ import annotations

from datetime import datetime

from modelcard_ops.backup.catalog import BackupSet
from modelcard_ops.backup.lease import name_of
from modelcard_ops.backup.manifest import DatabasePart, FilesPart, Manifest, Object, Verification


def made(at: datetime, number: int, *, good: bool = True, verified: bool = True, complete: bool = True) -> BackupSet:
    """The set that ended at that time."""
    name = name_of(at, number)
    database = DatabasePart(
        label="20260101-020000F", type="full", system_id=1, version="15", start_lsn="0/1", stop_lsn="0/2", stopped=at,
        size=1, stored=1, lsn="0/3", at=at, timeline=1, rows={},
    )  # fmt: skip
    uploads = FilesPart(index=Object(key="x", size=0, sha256=""), files=0, size=0, uploaded=0)
    manifest = Manifest(
        id=name, token=number, tool="1", started=at, finished=at, duration=1, database=database, uploads=uploads,
        cluster=None, prometheus=None, missing={} if complete else {"prometheus": "it was away"},
    )  # fmt: skip
    problems = [] if good else ["a content is damaged"]
    verification = Verification(id=name, at=at, duration=1, sample=100, blobs=0, size=0, problems=problems, damaged=[])
    return BackupSet(id=name, manifest=manifest, verification=verification if verified else None)
