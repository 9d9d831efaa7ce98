"""What comes back is what was committed, at the moment that was asked for; nothing is overwritten or deleted."""

from __future__ import annotations

import random
import subprocess
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
import redis

from infra.components.cache import users_acl
from modelcard_generator.api.storage import FileStore
from modelcard_ops.backup import drill as drills
from modelcard_ops.backup import recovery as recoveries
from modelcard_ops.backup import restore as restores
from modelcard_ops.backup import run as runs
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.manifest import Drill
from modelcard_ops.backup.pgbackrest import PgBackRest
from modelcard_ops.backup.programs import environment, find, own, unprivileged
from modelcard_ops.backup.recovery import Recovery
from modelcard_ops.backup.restore import Request
from modelcard_ops.backup.uploads import Row
from tests.app.servers import RedisServer, eventually
from tests.ops.backup.world import World


@pytest.fixture
def target(world: World) -> Path:
    return world.folder / "target"


def restore(world: World, request: Request, **changed: object) -> restores.Restored:
    settings = world.settings(**changed)
    return restores.execute(settings, restores.plan(settings, request, world.told.append), world.told.append)


def opened(world: World, data: Path) -> Recovery:
    folder = world.folder / f"open-{uuid.uuid4().hex[:6]}"
    folder.mkdir()
    recovery = Recovery(data, folder)
    recovery.start()
    return recovery


class Writer(threading.Thread):
    """Uploads one file after another, and keeps a log of what the database has acknowledged."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self.world, self.done = world, threading.Event()
        self.log: list[tuple[datetime, uuid.UUID, datetime]] = []

    def run(self) -> None:
        while not self.done.is_set():
            began = datetime.now(UTC)
            upload = self.world.upload(uuid.uuid4().bytes * 40)
            self.log.append((began, upload, datetime.now(UTC)))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


def test_a_random_moment_under_writes_has_exactly_its_rows_and_their_files(world: World, target: Path) -> None:
    with Writer(world) as writer:
        eventually(lambda: len(writer.log) > 20)
        runs.run(world.settings(), world.told.append)
        enough = len(writer.log) + 60
        eventually(lambda: len(writer.log) > enough)
    runs.copy_uploads(world.settings(), world.told.append)
    PgBackRest(world.settings()).check()
    with world.connect() as connection:
        commits = connection.execute("SELECT id, pg_xact_commit_timestamp(xmin) FROM uploads").fetchall()
    chosen = random.Random(4).choice(writer.log[-50:-5])  # noqa: S311 - which moment, not a secret
    moment = chosen[2]
    wanted = {upload for upload, at in commits if at <= moment}
    acknowledged = {upload for _, upload, done in writer.log if done < moment}
    begun_later = {upload for began, upload, _ in writer.log if began > moment}

    done = restore(world, Request(moment=moment.isoformat(), database=target, uploads=world.folder / "files"))

    assert not done.problems
    with opened(world, target) as server, server.connect(world.database) as connection:
        found = {row[0] for row in connection.execute("SELECT id FROM uploads")}
    assert found == wanted
    assert acknowledged <= found
    assert not begun_later & found
    store = FileStore(world.folder / "files", limit=1)
    for upload in found:
        assert store.path(upload).read_bytes() == (world.uploads / upload.hex[:2] / upload.hex).read_bytes()


def test_a_log_in_which_the_server_was_given_more_is_read_to_its_end(world: World, target: Path) -> None:
    """A standby of the size of the backup's server would stand still there for ever."""
    for more in (20, 40):
        with world.server.stopped():
            world.server.max_connections += more
        last = world.upload(f"after {more} more".encode())
    with world.server.connect() as connection:
        (wal,) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        archived = "SELECT coalesce(last_archived_wal >= %s, false) FROM pg_stat_archiver"
        eventually(lambda: connection.execute(archived, (wal,)).fetchone() == (True,))
    restore(world, Request(database=target))
    with opened(world, target) as recovery, recovery.connect(world.database) as connection:
        assert connection.execute("SELECT count(*) FROM uploads WHERE id = %s", (last,)).fetchone() == (1,)


def test_roles_and_their_passwords_come_back(world: World, target: Path) -> None:
    name = f"reader_{uuid.uuid4().hex[:6]}"
    with world.connect() as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'opens nothing'")
        role = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (name,)).fetchone()
    PgBackRest(world.settings()).check()
    restore(world, Request(database=target))
    with opened(world, target) as server, server.connect("postgres") as connection:
        assert connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", (name,)).fetchone() == role


def test_it_says_what_it_will_do_and_does_nothing_until_told(world: World, target: Path) -> None:
    done = world.mcops("restore", "--database", str(target), "--uploads", str(world.folder / "files"))
    assert done.returncode == 1
    assert f"  1. restore the database into {target}, to the end of its log" in done.stderr
    assert "mcops: nothing was done: --yes does it" in done.stderr
    assert not target.exists()
    assert not (world.folder / "files").exists()


def test_nothing_is_overwritten_and_nothing_is_deleted(shared: World, world: World, target: Path) -> None:
    target.mkdir()
    (target / "precious").write_text("mine")
    with pytest.raises(BackupError, match="is not an empty folder"):
        restore(world, Request(database=target))
    assert (target / "precious").read_text() == "mine"
    files = world.folder / "files"
    files.mkdir()
    (files / "precious").write_text("mine")
    with world.connect() as connection:
        first = connection.execute("SELECT id FROM uploads ORDER BY id LIMIT 1").fetchone()
    assert first is not None
    other = files / first[0].hex[:2] / first[0].hex
    other.parent.mkdir()
    other.write_text("changed since")
    world.s3.set_faults()
    newest = world.manifests()[-1]
    done = restore(world, Request(set_id=newest, database=world.folder / "empty", uploads=files))
    assert [problem for problem in done.problems if "has another content than its row says; it is left" in problem]
    assert (files / "precious").read_text() == "mine"
    assert other.read_text() == "changed since"
    assert not [line for line in world.s3.requests() if line.startswith("DELETE") or "?delete" in line]


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("yesterday", "is neither a date"),
        ("2026-01-31T02:00:00", "has no time zone"),
        ("2999-01-31T02:00:00Z", "is in the future"),
        ("2001-01-31T02:00:00Z", "the earliest point that can be restored is"),
        ("20010131", "no usable set is of 20010131; there are sets of"),
    ],
)
def test_a_moment_that_cannot_be_is_refused_in_one_line(world: World, target: Path, at: str, said: str) -> None:
    with pytest.raises(BackupError, match=said):
        restores.plan(world.settings(), Request(moment=at, database=target), world.told.append)


def test_a_date_is_the_last_set_of_that_day(shared: World) -> None:
    sets = shared.tools().catalog.sets()
    manifest, target = restores.choose(sets, Request(moment=sets[-1].id[:8]))
    assert manifest.id == sets[-1].id
    assert target.value == manifest.database.lsn


def test_another_version_of_the_server_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackupError, match=r"the database is of PostgreSQL 99, the programs here are .*: install 99"):
        recoveries.check_version("99")


def test_a_damaged_backup_is_not_restored(world: World, target: Path) -> None:
    repository = world.server.folder / "repository" / "backup" / "modelcard"
    made = PgBackRest(world.settings()).backup("20260131T000000Z-000777", datetime.now(UTC) + timedelta(days=30))
    biggest = max((repository / made.label).rglob("*"), key=lambda path: path.stat().st_size)
    body = bytearray(biggest.read_bytes())
    body[len(body) // 2] ^= 1
    biggest.write_bytes(body)
    manifest = world.tools().catalog.one(world.manifests()[0])
    damaged = manifest.model_copy(
        update={
            "id": "20260131T000000Z-000777", "token": 777,
            "database": manifest.database.model_copy(update={"label": made.label, "lsn": made.stop_lsn}),
        }
    )  # fmt: skip
    world.tools().catalog.commit(damaged)
    done = world.mcops("verify", damaged.id)
    assert done.returncode == 1
    assert "database: " in done.stderr
    with pytest.raises(BackupError, match="all are bad|no usable set"):
        restore(world, Request(set_id=damaged.id, database=target))
    PgBackRest(world.settings()).expire([made.label])


def test_what_ended_half_way_is_done_again_from_the_start(
    world: World, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    request = Request(database=target, uploads=world.folder / "files")
    with monkeypatch.context() as broken:
        broken.setattr(restores.uploads, "fetch", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(world, request)
    (target / "left").write_text("half of something")
    assert (target.parent / "target.unfinished").exists(), "PostgreSQL would start on it"
    assert restore(world, request).problems == []
    assert not (target / "left").exists()
    assert not (target.parent / "target.unfinished").exists()
    with pytest.raises(BackupError, match="is not an empty folder"):
        restore(world, request)


def test_a_restore_that_may_not_write_ends_in_a_line_and_leaves_nothing_to_start_on(world: World, target: Path) -> None:
    arguments = ("restore", "--yes", f"--database={target}")
    done = world.mcops(*arguments, room=100_000)  # less than a table of the catalogue
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert (target.parent / "target.unfinished").exists(), done.stderr
    again = world.mcops(*arguments)
    assert again.returncode == 0, again.stderr
    assert not (target.parent / "target.unfinished").exists()


def test_what_came_meanwhile_is_never_taken_for_what_a_restore_has_left(world: World, target: Path) -> None:
    settings = world.settings()
    plan = restores.plan(settings, Request(database=target), world.told.append)
    target.mkdir()
    (target / "precious").write_text("mine")
    for _ in range(2):
        with pytest.raises(BackupError, match="is not an empty folder"):
            restores.execute(settings, plan, world.told.append)
    assert (target / "precious").read_text() == "mine"


def test_the_archive_of_production_continues_on_the_new_timeline(world: World, target: Path) -> None:
    archive = world.folder / "archive"
    archive.mkdir()
    own(archive)
    restore(world, Request(database=target, production=True))
    with (archive / "postgresql.conf").open("w") as config:
        config.write(f"archive_mode = on\narchive_command = 'cp %p {archive}/%f'\nlisten_addresses = ''\n")
        config.write(f"unix_socket_directories = '{archive}'\n")
    command = [find("postgres"), "-D", str(target), f"-cconfig_file={config.name}"]
    server = subprocess.Popen(command, user=unprivileged(), env=environment(), stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: list(archive.glob("*.history")))
    finally:
        server.kill()
        server.wait()
    assert not (target / "pg_wal" / "archive_status" / "00000002.history.ready").exists()


def test_a_missing_upload_fails_a_restore_unless_that_is_accepted(world: World) -> None:
    world.upload(b"nobody has copied this yet")
    PgBackRest(world.settings()).check()
    first, second = (world.folder / name for name in ("first", "second"))
    refused = world.mcops("restore", "--yes", "--database", str(first), "--uploads", str(world.folder / "few"))
    assert refused.returncode == 3, refused.stderr
    accepted = world.mcops(
        "restore", "--yes", "--database", str(second), "--uploads", str(world.folder / "files"), "--accept-missing"
    )
    assert accepted.returncode == 0, accepted.stderr
    assert "is not there" in accepted.stderr


def test_a_restored_rollback_empties_the_cache(world: World, target: Path) -> None:
    server = RedisServer()
    try:
        client = redis.Redis.from_url(server.url)
        client.set("card", "of a row that is gone")
        restore(world, Request(database=target), cache_url=server.url)
        assert client.get("card") is not None, "a copy beside production is nobody's rollback"
        user, _, line = next(
            each.partition(" on ") for each in users_acl("secret", "other").splitlines() if " app " in each
        )
        client.execute_command("ACL", "SETUSER", user.split()[1], "on", *line.split())
        client.mset({f"card:{number}": "another" for number in range(2500)})
        restores._empty_cache(world.settings(cache_url=server.url.replace("//", "//app:secret@")))
        assert client.dbsize() == 0
    finally:
        server.close()


def test_a_drill_restores_all_and_records_it(world: World) -> None:
    world.upload(b"just before")
    runs.run(world.settings(), world.told.append)
    archive = world.server.folder / "repository" / "archive" / "modelcard"
    found = world.json("drill")
    assert Drill.model_validate(found).problems == []
    with world.connect() as connection:
        row = connection.execute("SELECT count(*) FROM uploads").fetchone()
    assert found["uploads"] == (row[0] if row else None)
    assert found["rpo"] < 60
    recorded = world.tools().catalog.drills()[-1]
    assert recorded.rto == found["rto"]
    assert not [path for path in archive.rglob("*") if path.name.startswith("00000002")], "it archived into production"
    assert not list(world.folder.glob(f"{drills.PREFIX}*")), "it left its scratch behind"


def test_a_drill_fails_when_it_takes_longer_than_it_may(shared: World, world: World) -> None:
    done = world.mcops("drill", rto=1, rpo=1)
    assert done.returncode == 5, done.stderr
    assert "the drill missed its objective" in done.stderr


def test_a_drill_names_what_is_missing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row whose file nobody has, rows that differ from those that were counted."""
    newest = world.tools().catalog.newest()
    assert newest is not None
    assert newest.manifest is not None
    blob = world.stored("blobs/")[0]
    world.s3.client.delete_object(Bucket="modelcard-backups-test", Key=f"{world.prefix}/{blob}")
    manifest = newest.manifest
    rows = {**(manifest.database.rows or {}), "public.users": 4711}
    database = manifest.database.model_copy(update={"rows": rows})
    lied = manifest.model_copy(update={"id": "20260131T000000Z-000950", "token": 950, "database": database})
    world.tools().catalog.commit(lied)
    found = drills.drill(world.settings(), world.told.append)
    assert not found.passed
    assert [problem for problem in found.problems if problem.startswith("table public.users: ")]
    assert [problem for problem in found.problems if problem.startswith("upload ") and "is not there" in problem]


def test_the_path_of_an_upload_is_the_services(tmp_path: Path) -> None:
    upload = uuid.uuid4()
    row = Row(id=upload, sha256="0" * 64, size=1, created=datetime.now(UTC), deleted=False)
    assert tmp_path / row.path == FileStore(tmp_path, limit=1).path(upload)
