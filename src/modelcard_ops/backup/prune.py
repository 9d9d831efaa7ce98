"""Deletes what retention does not keep, and what no set names any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

import orjson

from modelcard_ops.backup import blobs, files
from modelcard_ops.backup.bucket import BATCH, Entry
from modelcard_ops.backup.catalog import FOLDER, MANIFEST, BackupSet, key_of
from modelcard_ops.backup.lease import Lease, hold
from modelcard_ops.backup.manifest import Manifest
from modelcard_ops.backup.pgbackrest import PgBackRest, Repository
from modelcard_ops.backup.retention import Decision, Policy, decide
from modelcard_ops.backup.run import CONDEMNED, JOURNAL, Told, Tools, journal, journal_time, tools
from modelcard_ops.backup.settings import Settings

JOURNAL_KEPT = timedelta(days=1)  # behind the oldest of the sets that it bridges: a set's own list is long written then


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What went, or would go."""

    decision: Decision
    contents: int
    size: int
    backups: Sequence[str]
    refused: Sequence[str]


def prune(settings: Settings, told: Told, *, dry_run: bool = False) -> Pruned:
    """Raises `BackupError` before anything is deleted, if the policy would keep nothing."""
    settings.need("identity")
    use = tools(settings, told)
    with hold(use.bucket, "prune", settings.lease, use.catalog.close) as lease:
        sets = use.catalog.sets()
        policy = Policy(daily=settings.keep_daily, weekly=settings.keep_weekly, monthly=settings.keep_monthly)
        decision = decide(sets, policy, use.bucket.now())
        refused: list[str] = []
        stays = set(decision.keep)
        if not dry_run:
            for set_id in decision.delete:
                left = _delete_set(use, lease, set_id)
                refused += left
                stays |= {set_id} if left else set()
        # What is locked against deletion is still a set, and needs what it names.
        kept = [each for each in sets if each.id in stays]
        unneeded = _unneeded(use, kept)
        labels = _labels(PgBackRest(settings).repository(), kept)
        if not dry_run:
            _expire(use, lease, labels, log=bool(decision.delete))
            refused += _delete_contents(use, lease, unneeded)
        return _pruned(decision, unneeded, labels, refused)


def _delete_set(use: Tools, lease: Lease, set_id: str) -> list[str]:
    """Its manifest first: a set that is half deleted does not exist. What was refused; then nothing else is tried."""
    use.told(f"set {set_id}")
    entries = list(use.bucket.versions(f"{FOLDER}{set_id}/"))
    manifest = [each for each in entries if each.key == key_of(set_id, MANIFEST)]
    if refused := _batches(use, lease, manifest):
        return refused
    _batches(use, lease, [each for each in entries if each not in manifest])
    return []


def _expire(use: Tools, lease: Lease, labels: list[str], *, log: bool) -> None:
    repository = PgBackRest(use.settings)
    if labels:
        use.told(f"{len(labels)} database backups")
        lease.check()
        repository.expire(labels)
    fulls = [each for each in repository.repository().backups if each.type == "full"]
    if fulls and (labels or log):
        repository.expire_log(len(fulls))


def _delete_contents(use: Tools, lease: Lease, unneeded: list[Entry]) -> list[str]:
    """By the versions that were looked at, and told beforehand: a run that needs one from now on writes it again."""
    if not unneeded:
        return []
    use.told(f"{len(unneeded)} contents")
    use.bucket.put(CONDEMNED, orjson.dumps(sorted({each.key.rpartition("/")[2] for each in unneeded})))
    refused = _batches(use, lease, unneeded)
    use.bucket.put(CONDEMNED, b"[]")
    return refused


def _batches(use: Tools, lease: Lease, entries: Iterable[Entry]) -> list[str]:
    refused: list[str] = []
    for batch in _batched(entries):
        lease.check()
        refused += use.bucket.delete(batch)
    return refused


def _batched(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    rest = iter(entries)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _unneeded(use: Tools, kept: Sequence[BackupSet]) -> list[Entry]:
    """Contents and entries of the journal that no kept set needs. Nothing is while a kept set cannot be read."""
    manifests = [each.manifest for each in kept if each.manifest is not None]
    if len(manifests) != len(kept) or not manifests:
        use.told("a set that is kept cannot be read: no content is deleted until it is given up")
        return []
    needed = set().union(*(_contents(use, each) for each in manifests))
    since = manifests[-1].started - JOURNAL_KEPT
    needed |= journal(use, since)
    stale = [entry for entry in use.bucket.list(JOURNAL) if journal_time(entry.key) < since]
    found = [each for each in use.bucket.versions(blobs.FOLDER) if each.key.rpartition("/")[2] not in needed]
    return [*stale, *found]


def _contents(use: Tools, manifest: Manifest) -> set[str]:
    parts = [part for part in (manifest.uploads, manifest.prometheus) if part is not None]
    return {file.sha256 for part in parts for file in files.read_index(use.bucket, use.data, part)}


def _labels(repository: Repository, kept: Sequence[BackupSet]) -> list[str]:
    """Backups that no kept set needs, newest first; never one that another needs, never the last full one."""
    used = {each.manifest.database.label for each in kept if each.manifest is not None}
    if not kept or any(each.manifest is None for each in kept):
        return []
    needed = set(used)
    for each in repository.backups:
        if each.label in used:
            needed.update(each.parents)
    fulls = [each.label for each in repository.backups if each.type == "full"]
    unneeded = [each.label for each in reversed(repository.backups) if each.label not in needed]
    return [label for label in unneeded if fulls != [label]]


def _pruned(decision: Decision, unneeded: list[Entry], labels: list[str], refused: Sequence[str]) -> Pruned:
    contents = [each for each in unneeded if each.key.startswith(blobs.FOLDER)]
    return Pruned(
        decision=decision,
        contents=len(contents),
        size=sum(each.size for each in contents),
        backups=labels,
        refused=refused,
    )
