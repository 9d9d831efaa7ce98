"""A set is whole or does not exist, whatever fails while it is made."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import psutil
import pytest

from modelcard_ops.backup import bucket as buckets
from modelcard_ops.backup import database, files
from modelcard_ops.backup import run as runs
from modelcard_ops.backup import verify as verifications
from modelcard_ops.backup.blobs import IN_MEMORY
from modelcard_ops.backup.errors import BackupError, Locked
from modelcard_ops.backup.pgbackrest import PgBackRest
from tests.app.servers import eventually
from tests.ops.backup.world import World

SEED = 20260131
POINTS = 10


def test_the_manifest_is_written_last(quick: World) -> None:
    quick.upload(b"new")
    quick.s3.set_faults()
    made = runs.run(quick.settings(), quick.told.append)
    written = [re.sub(r"\?.*", "", line) for line in quick.s3.requests() if line.startswith("PUT ")]
    others = [line for line in written if "lease.json" not in line]
    assert others[-1].endswith(f"/sets/{made.id}/manifest.json")
    assert quick.manifests()[-1] == made.id


def test_a_set_names_rows_and_files_of_one_moment(world: World) -> None:
    made = runs.run(world.settings(), world.told.append)
    with world.connect() as connection:
        counted = database.count(connection, database.tables(connection))
    assert made.database.rows == counted
    assert made.uploads.files == len(list(files.scan(world.uploads)))


def test_what_a_set_has_is_not_uploaded_again(quick: World) -> None:
    quick.upload(b"only this is new")
    made = runs.run(quick.settings(), quick.told.append)
    assert made.uploads.uploaded == len(b"only this is new")


def test_a_file_that_changes_without_its_size_or_time_is_noticed(quick: World) -> None:
    runs.run(quick.settings(), quick.told.append)
    path = next(files.scan(quick.uploads))
    before = path.stat()
    changed = bytearray(path.read_bytes())
    changed[0] ^= 1
    path.write_bytes(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    made = runs.run(quick.settings(), quick.told.append)
    assert made.uploads.uploaded == before.st_size


def test_killed_at_any_point_no_bad_set_appears_and_the_next_run_succeeds(world: World) -> None:
    """The job at a request, pgBackRest's own processes, or the backend that the backup talks to."""
    chance = random.Random(SEED)  # noqa: S311 - which moment, not a secret
    before = world.manifests()
    for number in range(POINTS):
        world.upload(chance.randbytes(20_000))
        victim = chance.choice(["job at a request", "job at a request", "pgbackrest", "backend", "job at once"])
        _killed_run(world, victim, chance)
        assert world.manifests() == before, f"point {number}: {victim}"
    made = runs.run(world.settings(), world.told.append)
    assert world.manifests() == [*before, made.id]
    assert verifications.verify(world.settings(), world.told.append).good
    assert verifications.verify(world.settings(), world.told.append, before[0]).problems == []


def _killed_run(world: World, victim: str, chance: random.Random) -> None:
    after = chance.randint(2, 9)
    world.s3.set_faults({"match": "(PUT|HEAD) /", "after": after, "action": "hang"})
    if victim == "pgbackrest":
        world.s3.set_faults()
    process = world.start("run")
    try:
        if victim == "job at a request":
            eventually(lambda: world.s3.hits() > after)
        elif victim == "job at once":
            eventually(lambda: world.s3.hits() > 0)
        else:
            world.s3.set_faults()
            eventually(lambda: _end(world, victim) or process.poll() is not None)
    finally:
        if victim.startswith("job"):
            os.killpg(process.pid, signal.SIGKILL)
        _, told = process.communicate(timeout=60)
        world.s3.set_faults()
    assert process.returncode == (-signal.SIGKILL if victim.startswith("job") else 1), told
    forget_lease(world)


def _end(world: World, victim: str) -> bool:
    """Kills a process of the backup that is going on; whether there was one."""
    if victim == "backend":
        with world.server.connect() as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgBackRest [backup]%'"
            ).fetchone()
            if found is None:
                return False
            # SIGKILL of one backend makes the server end all and recover; this is what an operator does to one.
            connection.execute("SELECT pg_terminate_backend(%s)", (found[0],))
            return True
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if (
            words[:1]
            and words[0].endswith("pgbackrest")
            and "backup" in words
            and str(world.server.job_config) in " ".join(words)
        ):
            process.kill()
            return True
    return False


def forget_lease(world: World) -> None:
    """As if its time had passed."""
    bucket = world.tools().bucket
    stored = bucket.get("lease.json")
    assert stored is not None
    bucket.put("lease.json", stored.body.replace(b'"until": "2', b'"until": "1'))


@pytest.mark.parametrize("step", ["_database", "files.store", "check", "files.write_index", "commit"])
def test_an_error_in_any_step_commits_nothing(quick: World, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    before = quick.manifests()

    def fails(*_: Any, **__: Any) -> Any:
        raise BackupError("injected")

    if step == "_database":
        monkeypatch.setattr(runs, "_database", fails)
    elif step == "check":
        monkeypatch.setattr(PgBackRest, "check", fails)
    elif step == "commit":
        monkeypatch.setattr(runs.Catalog, "commit", fails)
    else:
        monkeypatch.setattr(files, step.partition(".")[2], fails)
    with pytest.raises(BackupError, match="injected"):
        runs.run(quick.settings(), quick.told.append)
    assert quick.manifests() == before


def test_a_full_disk_is_said_and_nothing_is_committed(quick: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = quick.manifests()
    quick.upload(b"x" * 100_000)

    full = partial(open, "/dev/full", "w+b", buffering=0)
    monkeypatch.setattr("modelcard_ops.backup.blobs.BlobStore._spool", lambda _: full())
    with pytest.raises(BackupError, match="No space left on device"):
        runs.run(quick.settings(), quick.told.append)
    assert quick.manifests() == before


def test_a_job_that_may_not_write_ends_in_a_line_and_the_next_one_makes_its_set(world: World) -> None:
    before = world.manifests()
    world.upload(random.Random(SEED).randbytes(2 * IN_MEMORY))  # noqa: S311 - what no compression makes small
    done = world.mcops("run", room=IN_MEMORY)
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert world.manifests() == before
    assert len(world.json("run")["id"]) > 0
    assert len(world.manifests()) == len(before) + 1


@pytest.mark.parametrize("action", ["503", "drop"])
def test_a_bucket_that_stumbles_is_asked_again(quick: World, action: str) -> None:
    quick.upload(b"through a storm" + action.encode())
    with quick.s3.failing({"match": "PUT .*/(blobs|sets)/", "after": 0, "times": 2, "action": action}):
        made = runs.run(quick.settings(), quick.told.append)
    assert quick.manifests()[-1] == made.id


@pytest.mark.parametrize(("action", "said"), [("503", "SlowDown"), ("drop", "no answer"), ("hang", "no answer")])
def test_a_bucket_that_stays_away_fails_the_run(
    quick: World, monkeypatch: pytest.MonkeyPatch, action: str, said: str
) -> None:
    monkeypatch.setattr(buckets, "ATTEMPTS", 2)
    monkeypatch.setattr(buckets, "READ", 1)
    before = quick.manifests()
    quick.upload(b"never arrives" + action.encode())
    settings = quick.settings()
    with quick.s3.failing({"match": "PUT .*/blobs/", "action": action}), pytest.raises(BackupError, match=said):
        runs.run(settings, quick.told.append)
    assert quick.manifests() == before


def test_a_commit_whose_answer_is_lost_is_one_commit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = world.tools().catalog
    first = catalog.one(world.manifests()[0])
    made = first.model_copy(update={"id": "20260131T000000Z-000900", "token": 900})
    catalog.commit(made)
    catalog.commit(made)  # what a retry after a time-out does
    assert world.manifests().count(made.id) == 1


def test_two_runs_at_once_are_one_run(quick: World) -> None:
    before = quick.manifests()
    settings = quick.settings()
    together = threading.Barrier(2)

    def one() -> str:
        together.wait()
        try:
            return runs.run(settings, quick.told.append).id
        except Locked as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = [future.result() for future in [pool.submit(one), pool.submit(one)]]
    made = [each for each in outcomes if "wait for it" not in each]
    assert quick.manifests() == [*before, *made]
    assert len(made) == 1, outcomes


def test_a_second_job_ends_with_the_code_for_locked(world: World) -> None:
    use = world.tools()
    with runs.hold(use.bucket, "backup", 60, use.catalog.close):
        done = world.mcops("run")
    assert done.returncode == 4
    assert "is at work since" in done.stderr


def test_a_run_that_was_taken_for_dead_cannot_commit(quick: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sleeps before its commit for longer than its lease; another comes and goes meanwhile."""
    before = quick.manifests()
    use = quick.tools()
    commit = runs.Catalog.commit

    def late(catalog: runs.Catalog, manifest: Any) -> None:
        monkeypatch.setattr(runs.Catalog, "commit", commit)
        forget_lease(quick)
        with runs.hold(use.bucket, "successor", 60, use.catalog.close):
            pass
        commit(catalog, manifest)

    monkeypatch.setattr(runs.Catalog, "commit", late)
    with pytest.raises(Locked, match="was closed by another run"):
        runs.run(quick.settings(), quick.told.append)
    assert quick.manifests() == before
    assert runs.run(quick.settings(), quick.told.append).id == quick.manifests()[-1]


def test_sets_are_in_the_order_of_their_tokens_though_clocks_jump(
    quick: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = buckets.Bucket.now
    first = runs.run(quick.settings(), quick.told.append)
    monkeypatch.setattr(buckets.Bucket, "now", lambda self: now(self).replace(year=2020))
    second = runs.run(quick.settings(), quick.told.append)
    assert second.id < first.id
    assert quick.manifests()[-1] == second.id
    newest = quick.tools().catalog.newest()
    assert newest is not None
    assert newest.id == second.id


def test_a_part_that_is_missing_makes_the_set_partial_and_the_exit_code_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = world.mcops("run", prometheus_url="https://localhost:1", snapshots_url="https://localhost:1",
                       prometheus_user="platform", prometheus_password="secret")  # fmt: skip
    assert done.returncode == 3
    assert "prometheus is missing from set" in done.stderr
    newest = world.tools().catalog.newest()
    assert newest is not None
    assert newest.state == "partial"
    assert not newest.counts


def test_uploads_are_copied_between_two_sets(world: World) -> None:
    copied = runs.copy_uploads(world.settings(), world.told.append)
    assert copied == set()
    world.upload(b"between two sets")
    copied = runs.copy_uploads(world.settings(), world.told.append, copied)
    assert len(copied) == 1
    world.s3.set_faults()
    assert runs.copy_uploads(world.settings(), world.told.append, copied) == copied
    assert not [line for line in world.s3.requests() if line.startswith("PUT") and "/blobs/" in line]


def test_every_missing_setting_is_named_at_once(world: World) -> None:
    done = world.mcops("run", database_url=None, uploads_dir=None)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "mcops: MCOPS_BACKUP_DATABASE_URL: is not set, and this command needs it",
        "mcops: MCOPS_BACKUP_UPLOADS_DIR: is not set, and this command needs it",
    ]
