"""Restores the newest set into scratch space, looks at all of it, and says how long it took and what would be lost."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from modelcard_ops.backup import database as live
from modelcard_ops.backup import restore, uploads
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.manifest import Drill, Manifest
from modelcard_ops.backup.programs import run as run_program
from modelcard_ops.backup.recovery import Recovery
from modelcard_ops.backup.run import Told, Tools, tools
from modelcard_ops.backup.settings import Settings

PREFIX = "mcops-drill-"


def drill(settings: Settings, told: Told) -> Drill:
    """Never touches production: its log is read, and nothing is archived. Raises `BackupError` if it cannot be done."""
    settings.need("identity")
    use = tools(settings, told)
    newest = use.catalog.newest()
    if newest is None or newest.manifest is None:
        raise BackupError("there is no set yet: `mcops backup run` makes one")
    remove_leftovers(settings.scratch_dir)
    at = use.bucket.now()
    committed = _committed(settings)
    scratch = Path(tempfile.mkdtemp(prefix=PREFIX, dir=settings.scratch_dir))
    try:
        scratch.chmod(0o755)  # PostgreSQL may run as somebody else
        found = _rehearse(use, newest.manifest, scratch, committed)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    made = found.model_copy(update={"at": at})
    use.catalog.record_drill(made, at)
    return made


def _rehearse(use: Tools, manifest: Manifest, scratch: Path, committed: tuple[datetime, datetime | None]) -> Drill:
    began = time.monotonic()
    data = scratch / "data"
    use.told(f"set {manifest.id}: database")
    with restore.database(use, manifest, restore.at_set(manifest).pausing(), data) as recovery:
        recovery.reach(paused=True)
        counted = restore.count_rows(recovery)
        problems = restore.compare(counted, manifest)
        use.told("the rest of the log")
        recovery.stop()
        recovery.forget_target()
        recovery.start()
        recovery.reach(paused=False)
        rpo = _lost(recovery, committed)
        use.told("uploads")
        fetched = uploads.fetch(scratch / "uploads", restore.named(recovery), use.blobs)
        rto = time.monotonic() - began
        recovery.stop()
        problems += recovery.check_pages()
    lost, missing = _judged(fetched, manifest, committed[0])
    return Drill(
        id=manifest.id,
        at=datetime.now(UTC),
        rto=rto,
        rpo=max(rpo, lost),
        rto_objective=use.settings.rto,
        rpo_objective=use.settings.rpo,
        rows=sum(counted.values()),
        uploads=fetched.files,
        problems=[*problems, *missing],
    )


def _committed(settings: Settings) -> tuple[datetime, datetime | None]:
    """Now, and when the newest row was made of which the live database knows."""
    now = datetime.now(UTC)
    if settings.database_url is None:
        return now, None
    try:
        with live.connect(settings) as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            now = row[0] if row else now
            return now, live.newest(connection, now)
    except (BackupError, psycopg.Error):
        return now, None  # it may be what we rehearse for


def _lost(recovery: Recovery, committed: tuple[datetime, datetime | None]) -> float:
    """Seconds between the newest row that there was and the newest that came back.

    Without the live database, between now and the last transaction of the log: more than was lost if nobody wrote.
    """
    now, newest = committed
    restored = None
    for name in recovery.databases():
        with recovery.connect(name) as connection:
            found = live.newest(connection, now)
            restored = max(filter(None, (restored, found)), default=None)
            last = connection.execute("SELECT pg_last_xact_replay_timestamp()").fetchone()
    if newest is None:
        latest = max(filter(None, (restored, last[0] if last else None)), default=None)
        return max((now - latest).total_seconds(), 0) if latest else 0
    if restored is None:
        return (now - newest).total_seconds()
    return max((newest - restored).total_seconds(), 0)


def _judged(fetched: uploads.Fetched, manifest: Manifest, now: datetime) -> tuple[float, list[str]]:
    """A missing upload that is younger than the set is a loss of so many seconds; an older one is a defect."""
    young = [row.created for row in fetched.problems if row.created > manifest.database.at]
    old = [problem for row, problem in fetched.problems.items() if row.created <= manifest.database.at]
    return max(((now - created).total_seconds() for created in young), default=0), old


def remove_leftovers(folder: Path) -> None:
    """Of drills that were killed: their servers, which live on, and their folders."""
    for left in folder.glob(f"{PREFIX}*"):
        if (left / "data" / "postmaster.pid").exists():
            with contextlib.suppress(BackupError):
                run_program("pg_ctl", "stop", "-D", str(left / "data"), "-m", "immediate")
        shutil.rmtree(left, ignore_errors=True)
