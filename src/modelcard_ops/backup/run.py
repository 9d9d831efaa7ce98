"""One set, from the first byte to the manifest that makes it one; and what is copied between two sets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

import orjson

from modelcard_ops.backup import cluster, database, encryption, files
from modelcard_ops.backup.blobs import BlobStore
from modelcard_ops.backup.bucket import Bucket, Refused
from modelcard_ops.backup.catalog import Catalog, key_of, token_of
from modelcard_ops.backup.errors import BackupError, Locked
from modelcard_ops.backup.files import File, Known
from modelcard_ops.backup.lease import Lease, hold
from modelcard_ops.backup.manifest import ClusterPart, Copied, DatabasePart, FilesPart, Manifest, Part, dump
from modelcard_ops.backup.pgbackrest import PgBackRest
from modelcard_ops.backup.prometheus import Prometheus
from modelcard_ops.backup.settings import Settings

CONDEMNED = "condemned.json"
JOURNAL = "uploads/"  # contents that were copied between two sets
COPIED = "uploads.json"
Told = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the steps of a run share."""

    settings: Settings
    bucket: Bucket
    catalog: Catalog
    data: encryption.Cipher
    blobs: BlobStore
    told: Told


def tools(settings: Settings, told: Told) -> Tools:
    """Raises `BackupError` or `UserError` for what is missing in the settings."""
    bucket = Bucket(settings)
    data = encryption.of_data(settings)
    blobs = BlobStore(bucket, data, settings.scratch_dir, settings.workers)
    return Tools(settings=settings, bucket=bucket, catalog=Catalog(bucket), data=data, blobs=blobs, told=told)


def run(settings: Settings, told: Told) -> Manifest:
    """Makes a set. Raises `BackupError`, `Locked`; then there is none."""
    settings.need("database_url", "uploads_dir", "identity")
    if settings.config_maps or settings.secrets:
        settings.need("recipient", "namespace")
    use = tools(settings, told)
    with hold(use.bucket, "backup", settings.lease, use.catalog.close, makes_set=True) as lease:
        manifest = _parts(use, lease)
        lease.check()
        try:
            use.catalog.commit(manifest)
        except Refused:
            raise Locked(
                f"set {manifest.id} was closed by another run that took this one for dead: nothing was done"
            ) from None
    return manifest


def _parts(use: Tools, lease: Lease) -> Manifest:
    began, started = time.monotonic(), use.bucket.now()
    told, set_id = use.told, lease.set_id
    known = Earlier(use)
    missing: dict[Part, str] = {}
    told("database")
    part = _database(use, set_id, started)
    # After the point at which rows were counted: a row is written after its file, so every row's file is there.
    told("uploads")
    listed, written = files.store(use.settings.folder("uploads_dir"), use.blobs, known.of("uploads"))
    uploads = files.write_index(use.bucket, use.data, key_of(set_id, "uploads.age"), listed, written)
    told("log of the database")
    PgBackRest(use.settings).check()
    return Manifest(
        id=set_id,
        token=token_of(set_id),
        tool=tool_version(),
        started=started,
        database=part,
        uploads=uploads,
        cluster=_cluster(use, set_id, missing),
        prometheus=_prometheus(use, set_id, known, missing),
        missing=missing,
        finished=use.bucket.now(),
        duration=time.monotonic() - began,
    )


def _database(use: Tools, set_id: str, now: datetime) -> DatabasePart:
    made = PgBackRest(use.settings).backup(set_id, now)
    point = database.point(use.settings)
    return DatabasePart(
        label=made.label,
        type=made.type,
        system_id=made.system_id,
        version=made.version,
        start_lsn=made.start_lsn,
        stop_lsn=made.stop_lsn,
        stopped=made.stopped,
        size=made.size,
        stored=made.stored,
        lsn=point.lsn,
        at=point.at,
        timeline=point.timeline,
        rows=dict(point.rows) if point.rows is not None else None,
    )


def _cluster(use: Tools, set_id: str, missing: dict[Part, str]) -> ClusterPart | None:
    settings = use.settings
    if not settings.config_maps and not settings.secrets:
        return None
    use.told("cluster objects")
    with _optional("cluster", missing):
        saved = cluster.save(cluster.api(), settings.text("namespace"), settings.config_maps, settings.secrets)
        if saved.missing:
            missing["cluster"] = "; ".join(saved.missing)
        body = encryption.of_secrets(settings).seal(saved.body())
        return ClusterPart(
            objects=files.put_object(use.bucket, key_of(set_id, "cluster.age"), body),
            config_maps=len(saved.config_maps),
            secrets=len(saved.secrets),
        )
    return None


def _prometheus(use: Tools, set_id: str, known: Earlier, missing: dict[Part, str]) -> FilesPart | None:
    if use.settings.prometheus_url is None:
        return None
    use.told("Prometheus")
    with _optional("prometheus", missing):
        prometheus = Prometheus(use.settings)
        with prometheus.snapshot() as name:
            listed, written = prometheus.store(name, use.blobs, known.of("prometheus"))
        return files.write_index(use.bucket, use.data, key_of(set_id, "prometheus.age"), listed, written)
    return None


@contextlib.contextmanager
def _optional(part: Part, missing: dict[Part, str]) -> Iterator[None]:
    """What fails inside is missing from the set, which is partial then."""
    try:
        yield
    except BackupError as error:
        missing[part] = str(error)


class Earlier:
    """What the newest set holds already, less what is damaged or about to be deleted."""

    def __init__(self, use: Tools) -> None:
        self._use = use
        self._newest = use.catalog.newest()
        self._damaged = set(condemned(use.bucket))
        if self._newest is not None and self._newest.verification is not None:
            self._damaged.update(self._newest.verification.damaged)

    def of(self, part: Part) -> Known:
        """The files of one part."""
        manifest = self._newest.manifest if self._newest else None
        found = getattr(manifest, part) if manifest else None
        listed: list[File] = []
        if isinstance(found, FilesPart):
            try:
                listed = files.read_index(self._use.bucket, self._use.data, found)
            except BackupError as error:
                self._use.told(f"{error}; everything is read anew")
        return Known(files=listed, damaged=frozenset(self._damaged))


def condemned(bucket: Bucket) -> list[str]:
    """Contents that a pruning run has set out to delete: whoever needs one writes it again."""
    stored = bucket.get(CONDEMNED)
    return list(orjson.loads(stored.body)) if stored else []


def copy_uploads(settings: Settings, told: Told, seen: set[str] | None = None) -> set[str]:
    """Copies files that no set has yet, so that a point between two sets has its uploads; all that are copied since.

    `seen` is what the pass before has returned. What is new is written even if it is there already: a pruning run may
    be about to delete that version.
    """
    settings.need("uploads_dir", "identity")
    use = tools(settings, told)
    started = use.bucket.now()
    known = Earlier(use).of("uploads")
    copied = journal(use) if seen is None else seen
    there = Known(files=known.files, damaged=known.damaged, copied=copied)
    listed, _ = files.store(settings.folder("uploads_dir"), use.blobs, there, again=True)
    fresh = {file.sha256 for file in listed} - {file.sha256 for file in known.files} - copied
    if fresh:
        body = use.data.seal(orjson.dumps(sorted(fresh)))
        use.bucket.put(f"{JOURNAL}{started:%Y%m%dT%H%M%S.%fZ}.age", body)
    use.bucket.put(COPIED, dump(Copied(at=started, files=len(listed))))
    return copied | fresh


def journal(use: Tools, before: datetime | None = None) -> set[str]:
    """Contents that were copied between sets, or those that were not earlier than a moment."""
    found: set[str] = set()
    for entry in use.bucket.list(JOURNAL):
        if before is None or journal_time(entry.key) >= before:
            found.update(orjson.loads(use.data.open(use.bucket.read(entry.key), use.bucket.address(entry.key))))
    return found


def journal_time(key: str) -> datetime:
    """When a pass began."""
    return datetime.strptime(key.removeprefix(JOURNAL) + "+0000", "%Y%m%dT%H%M%S.%fZ.age%z")


def tool_version() -> str:
    """Of this package."""
    with contextlib.suppress(PackageNotFoundError):
        return version("modelcard-platform")
    return "unknown"
