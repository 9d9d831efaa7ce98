"""Reads a set back, every byte of it, and keeps what it found beside it."""

from __future__ import annotations

import time

from modelcard_ops.backup import files
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.manifest import FilesPart, Manifest, Verification
from modelcard_ops.backup.pgbackrest import PgBackRest
from modelcard_ops.backup.run import Told, Tools, tools
from modelcard_ops.backup.settings import Settings


def verify(settings: Settings, told: Told, set_id: str | None = None, sample: int = 100) -> Verification:
    """Of the newest set, or of one. With a sample below 100 that part of the contents, always the same of a set."""
    settings.need("identity")
    use = tools(settings, told)
    if set_id is None:
        newest = use.catalog.newest()
        if newest is None:
            raise BackupError("there is no set yet: `mcops backup run` makes one")
        set_id = newest.id
    manifest = use.catalog.one(set_id)
    began, at = time.monotonic(), use.bucket.now()
    problems: list[str] = []
    damaged: list[str] = []
    told("database")
    problems += _database(use, manifest)
    wanted: set[str] = set()
    for part in (manifest.uploads, manifest.prometheus):
        if part is not None:
            wanted |= _index(use, part, problems)
    told(f"{len(wanted)} contents")
    chosen = sorted(each for each in wanted if int(each[:8], 16) * 100 < sample << 32)
    size = 0
    for sha256, outcome in zip(chosen, use.blobs.each(lambda each: _check(use, each), chosen), strict=True):
        if isinstance(outcome, str):
            problems.append(outcome)
            damaged.append(sha256)
        else:
            size += outcome
    if manifest.cluster is not None:
        try:
            files.get_object(use.bucket, manifest.cluster.objects)
        except BackupError as error:
            problems.append(str(error))
    found = Verification(
        id=set_id,
        at=at,
        duration=time.monotonic() - began,
        sample=sample,
        blobs=len(chosen),
        size=size,
        problems=problems,
        damaged=damaged,
    )
    use.catalog.record(found)
    return found


def _database(use: Tools, manifest: Manifest) -> list[str]:
    label = manifest.database.label
    try:
        there = {each.label for each in PgBackRest(use.settings).repository().backups}
        if label not in there:
            return [f"database: backup {label} is not in the repository"]
        return PgBackRest(use.settings).verify(label)
    except BackupError as error:
        return [str(error)]


def _index(use: Tools, part: FilesPart, problems: list[str]) -> set[str]:
    try:
        listed = files.read_index(use.bucket, use.data, part)
    except BackupError as error:
        problems.append(str(error))
        return set()
    if len(listed) != part.files or sum(file.size for file in listed) != part.size:
        problems.append(f"{use.bucket.address(part.index.key)}: lists other files than the manifest counted")
    return {file.sha256 for file in listed}


def _check(use: Tools, sha256: str) -> int | str:
    """The bytes, or what is wrong. A bucket that does not answer is not a damaged content: that ends the run."""
    try:
        return use.blobs.check(sha256)
    except BackupError as error:
        if "no answer" in str(error):
            raise
        return str(error)
