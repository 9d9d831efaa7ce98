"""Brings a point in time back: into an empty data directory, a folder of uploads, and a namespace.

The order is that in which each part needs the one before: Secrets, which hold the keys; the database; the files that
its rows name; then caches, which may know rows that are gone. Nothing is overwritten, and nothing is deleted but what a
restore left that did not end: beside an unfinished data directory is a mark, and PostgreSQL must not start on it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from modelcard_ops.backup import cluster, encryption, files, uploads
from modelcard_ops.backup.catalog import BackupSet
from modelcard_ops.backup.database import count, tables
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.manifest import ClusterPart, Manifest
from modelcard_ops.backup.pgbackrest import PgBackRest, Target
from modelcard_ops.backup.programs import own
from modelcard_ops.backup.recovery import Recovery, check_version, data_directory, remove
from modelcard_ops.backup.run import Told, Tools, tools
from modelcard_ops.backup.settings import Settings

BATCH = 1000  # keys that are removed from the cache at once
DATE = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is wanted. `moment` is a time, a date, or None for the end of the log; `set_id` is exactly that set.

    `production`: the data directory becomes the production database, so its new timeline enters the repository.
    """

    moment: str | None = None
    set_id: str | None = None
    database: Path | None = None
    uploads: Path | None = None
    prometheus: Path | None = None
    namespace: str | None = None
    identity_file: Path | None = None
    production: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be done, in this order."""

    request: Request
    manifest: Manifest
    target: Target
    steps: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What was done. `rows` is None unless the database was restored."""

    set_id: str
    duration: float
    rows: int | None
    uploads: int
    created: int
    problems: Sequence[str]


def plan(settings: Settings, request: Request, told: Told) -> Plan:
    """Chooses the set and says the steps. Raises `BackupError` for whatever would make one of them fail half-way."""
    use = tools(settings, told)
    sets = use.catalog.sets()
    manifest, target = choose(sets, request)
    state = next(each.state for each in sets if each.id == manifest.id)
    if state != "verified":
        told(f"set {manifest.id} is {state}")
    if request.database is not None and mark(request.database).exists():
        told(f"{request.database}: a restore did not end here: what it left makes room for this one")
    steps = [
        *_steps_of_cluster(manifest, request),
        *_steps_of_database(settings, manifest, target, request),
        *_steps_of_prometheus(manifest, request),
    ]
    if not steps:
        raise BackupError("nothing to restore: name --database, --uploads, --prometheus or --into")
    return Plan(request=request, manifest=manifest, target=target, steps=steps)


def _steps_of_cluster(manifest: Manifest, request: Request) -> Iterator[str]:
    if request.namespace is None:
        return
    if manifest.cluster is None:
        raise BackupError(f"set {manifest.id} holds no cluster objects: leave out --into")
    if request.identity_file is None:
        raise BackupError("--into needs --identity-file: Secrets are readable by the recipient's private key only")
    total = manifest.cluster.config_maps + manifest.cluster.secrets
    yield f"create what is missing of {total} ConfigMaps and Secrets in namespace {request.namespace}"


def _steps_of_database(settings: Settings, manifest: Manifest, target: Target, request: Request) -> Iterator[str]:
    if request.database is None:
        if request.uploads is not None:
            raise BackupError("--uploads needs --database: the rows say which files there must be")
        return
    check_version(manifest.database.version)
    if not mark(request.database).exists():
        _check_empty(request.database)
    yield f"restore the database into {request.database}, {target}"
    if request.uploads is not None:
        yield f"write the files that its rows name into {request.uploads}; files that are there stay"
    if request.production:
        yield "have the archive continue on its new timeline, as the production database from now on"
        if settings.cache_url is not None:
            yield "empty the cache, which may know rows that are gone"


def _steps_of_prometheus(manifest: Manifest, request: Request) -> Iterator[str]:
    if request.prometheus is None:
        return
    if manifest.prometheus is None:
        raise BackupError(f"set {manifest.id} holds no data of Prometheus: leave out --prometheus")
    _check_empty(request.prometheus)
    yield f"write {manifest.prometheus.files} files of Prometheus into {request.prometheus}"


def execute(settings: Settings, plan: Plan, told: Told) -> Restored:
    """Does what the plan says. Run again after a failure, it leaves alone what is there."""
    use = tools(settings, told)
    began = time.monotonic()
    request, manifest = plan.request, plan.manifest
    created, rows, fetched, problems = 0, None, 0, []
    if request.namespace is not None and manifest.cluster is not None:
        created = _objects(use, manifest.cluster, request.namespace, request.identity_file)
    if request.database is not None:
        told(plan.target.label)
        _begin(request.database)
        with database(use, manifest, plan.target, request.database) as recovery:
            recovery.reach(paused=False)
            rows, found = _rows(recovery, manifest if plan.target.exact else None)
            problems += found
            if request.uploads is not None:
                told("uploads")
                request.uploads.mkdir(parents=True, exist_ok=True)
                outcome = uploads.fetch(request.uploads, named(recovery), use.blobs)
                fetched, problems = outcome.files, [*problems, *outcome.problems.values()]
            recovery.stop()
            recovery.forget_recovery()
        if request.production:
            _succeed(settings, request.database, told)
        mark(request.database).unlink()
    if request.prometheus is not None and manifest.prometheus is not None:
        told("Prometheus")
        listed = files.read_index(use.bucket, use.data, manifest.prometheus)
        files.fetch(request.prometheus, listed, use.blobs, told)
    duration = time.monotonic() - began
    return Restored(
        set_id=manifest.id, duration=duration, rows=rows, uploads=fetched, created=created, problems=problems
    )


def choose(sets: Sequence[BackupSet], request: Request) -> tuple[Manifest, Target]:
    """The newest set from which the moment can be reached, and what its log is to be replayed to."""
    usable = [each.manifest for each in sets if each.manifest is not None and each.state != "bad"]
    if not usable:
        raise BackupError("there is no set that can be restored" + (": all are bad or damaged" if sets else ""))
    if request.set_id is not None:
        found = next((each for each in usable if each.id == request.set_id), None)
        if found is None:
            raise BackupError(f"there is no usable set {request.set_id}: `mcops backup list` shows those that are")
        return found, at_set(found)
    if request.moment is None:
        return usable[-1], Target(kind="default", value="", label="to the end of its log")
    if date := DATE.fullmatch(request.moment):
        day = "".join(date.groups())
        of_day = [each for each in usable if each.id.startswith(day)]
        if not of_day:
            days = ", ".join(sorted({each.id[:8] for each in usable}))
            raise BackupError(f"no usable set is of {day}; there are sets of {days}")
        return of_day[-1], at_set(of_day[-1])
    moment = parse_moment(request.moment)
    before = [each for each in usable if each.database.stopped <= moment]
    if not before:
        first = usable[0].database.stopped
        raise BackupError(f"{request.moment}: the earliest point that can be restored is {first:%Y-%m-%dT%H:%M:%SZ}")
    value = f"{moment:%Y-%m-%d %H:%M:%S.%f+00}"
    return before[-1], Target(kind="time", value=value, label=f"as of {moment.isoformat()}")


def at_set(manifest: Manifest) -> Target:
    """The point of a set at which its rows were counted."""
    return Target(kind="lsn", value=manifest.database.lsn, label=f"as of set {manifest.id}", exact=True)


def parse_moment(text: str) -> datetime:
    """An ISO time with its zone, not in the future."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BackupError(f"{text}: is neither a date (2026-01-31) nor a time (2026-01-31T02:00:00Z)") from None
    if moment.tzinfo is None:
        raise BackupError(f"{text}: has no time zone: write {text}Z for UTC")
    if moment > datetime.now(UTC) + timedelta(minutes=1):
        raise BackupError(f"{text}: is in the future")
    return moment.astimezone(UTC)


class database:  # noqa: N801 - used as a context manager only
    """A data directory that is restored and started; it stays, its server is stopped."""

    def __init__(self, use: Tools, manifest: Manifest, target: Target, data: Path) -> None:
        check_version(manifest.database.version)
        data_directory(data)
        PgBackRest(use.settings).restore(manifest.database.label, data, target)
        self._folder = Path(tempfile.mkdtemp(prefix="mcops-", dir=use.settings.scratch_dir))
        own(self._folder)
        self._recovery = Recovery(data, self._folder)

    def __enter__(self) -> Recovery:
        try:
            self._recovery.start()
        except BaseException:
            self.__exit__()
            raise
        return self._recovery

    def __exit__(self, *_: object) -> None:
        self._recovery.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def named(recovery: Recovery) -> list[uploads.Row]:
    """The uploads of all databases."""
    found: list[uploads.Row] = []
    for name in recovery.databases():
        with recovery.connect(name) as connection:
            found += uploads.rows(connection)
    return found


def count_rows(recovery: Recovery) -> dict[str, int]:
    """Of all tables."""
    counted: dict[str, int] = {}
    for name in recovery.databases():
        with recovery.connect(name) as connection:
            counted |= count(connection, tables(connection))
    return counted


def compare(found: dict[str, int], manifest: Manifest) -> list[str]:
    """Tables that have other rows than the set counted."""
    wanted = manifest.database.rows
    if wanted is None:
        return []
    return [
        f"table {name}: {found.get(name)} rows, the set counted {wanted.get(name)}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]


def _rows(recovery: Recovery, manifest: Manifest | None) -> tuple[int, list[str]]:
    counted = count_rows(recovery)
    return sum(counted.values()), compare(counted, manifest) if manifest is not None else []


def _objects(use: Tools, part: ClusterPart, namespace: str, identity_file: Path | None) -> int:
    use.told("cluster objects")
    cipher = encryption.of_secrets(use.settings, identity_file)
    sealed = files.get_object(use.bucket, part.objects)
    wanted = cluster.objects(cipher.open(sealed, use.bucket.address(part.objects.key)))
    return cluster.create(cluster.api(), namespace, wanted, use.told)


def _succeed(settings: Settings, data: Path, told: Told) -> None:
    """Whoever restores to a later point must find the way from the old timeline to the new one."""
    histories = sorted((data / "pg_wal").glob("*.history"))
    if histories:
        # PostgreSQL's own sign to its archiver, which recovery without an archive has not left.
        ready = data / "pg_wal" / "archive_status" / f"{histories[-1].name}.ready"
        ready.touch(0o600)
        own(ready)
    if settings.cache_url is not None:
        told("cache")
        _empty_cache(settings)


def _empty_cache(settings: Settings) -> None:
    import redis

    options = {"ssl_ca_certs": str(settings.authority_file)} if settings.authority_file else {}
    url = settings.secret("cache_url")
    try:
        client = redis.Redis.from_url(url, **(options if url.startswith("rediss:") else {}))
        # The application's user may remove any key, but not all at once.
        found = client.scan_iter(count=BATCH)
        while keys := list(islice(found, BATCH)):
            client.unlink(*keys)
    except redis.RedisError as error:
        raise BackupError(f"the cache cannot be emptied ({error}): restart Redis before the application") from None


def mark(data: Path) -> Path:
    """Beside a data directory: that it is not whole yet. The database's own first container looks for it as well."""
    return data.with_name(f"{data.name}.unfinished")


def _begin(data: Path) -> None:
    unfinished = mark(data)
    if unfinished.exists():
        remove(data)
    else:
        _check_empty(data)  # once more: by the mark the next run will take what is here for our own
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch()


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder}: is not an empty folder: name one, nothing here is overwritten")
