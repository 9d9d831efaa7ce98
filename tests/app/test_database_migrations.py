from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from modelcard_generator.database import migrations, pool
from modelcard_generator.database.migrations import Migration, MigrationError, apply_migrations, read_migrations
from modelcard_generator.database.pool import Database
from modelcard_generator.errors import Unavailable
from tests.app.servers import eventually

ROOT = Path(__file__).parents[2]
MIGRATOR = """
import asyncio, sys
from pathlib import Path
from psycopg import AsyncConnection
from modelcard_generator.database.migrations import apply_migrations, read_migrations

async def main(url, folder):
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        await apply_migrations(connection, read_migrations(Path(folder)))

asyncio.run(main(*sys.argv[1:]))
"""
TABLE = Migration(1, "0001_table.sql", "CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 3);")


async def migrate(url: str, wanted: tuple[Migration, ...] | None = None) -> list[str]:
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        return await apply_migrations(connection, wanted)


def rows(url: str, query: str) -> list[tuple]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query).fetchall()


def test_each_migration_is_applied_once(database_url):
    files = [each.file for each in read_migrations()]
    assert asyncio.run(migrate(database_url)) == files
    assert asyncio.run(migrate(database_url)) == []
    assert [file for (file,) in rows(database_url, "SELECT file FROM schema_migrations ORDER BY version")] == files


def test_what_a_login_makes_belongs_to_the_owner_of_the_database(database_url):
    database = conninfo_to_dict(database_url)["dbname"]
    owner, login = f"owner_{database}", f"login_{database}"
    rows_of = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f'CREATE ROLE "{owner}"; CREATE ROLE "{login}" LOGIN IN ROLE "{owner}"')
        connection.execute(f'ALTER DATABASE "{database}" OWNER TO "{owner}"')
        asyncio.run(migrate(make_conninfo(database_url, user=login)))
        assert connection.execute(rows_of).fetchall() == [(owner,)]


def test_many_pods_at_once_apply_each_migration_once(database_url):
    async def run():
        return await asyncio.gather(*(migrate(database_url) for _ in range(12)))

    applied = [file for each in asyncio.run(run()) for file in each]
    assert applied == [each.file for each in read_migrations()]
    assert rows(database_url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


@pytest.mark.parametrize(
    "slow",
    [
        "CREATE TABLE u (n int);\nSELECT slow(n) FROM t;\n",
        "-- no transaction\nDROP INDEX CONCURRENTLY IF EXISTS i;\nCREATE INDEX CONCURRENTLY i ON t (slow(n));\n",
    ],
    ids=["in a transaction", "without a transaction"],
)
def test_another_pod_finishes_what_a_killed_one_began(database_url, tmp_path, slow):
    # The second migration is as slow as the table `patience` says.
    (tmp_path / "0001_table.sql").write_text(
        "CREATE TABLE t (n int);\nINSERT INTO t VALUES (1);\nCREATE TABLE patience (seconds int);\n"
        "INSERT INTO patience VALUES (60);\n"
        "CREATE FUNCTION slow(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN\n"
        "  PERFORM pg_sleep(seconds) FROM public.patience; RETURN n; END $$;\n"
    )
    (tmp_path / "0002_slow.sql").write_text(slow)
    pod = subprocess.Popen([sys.executable, "-c", MIGRATOR, database_url, tmp_path], cwd=ROOT)
    active = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    eventually(lambda: rows(database_url, active))
    pod.send_signal(signal.SIGKILL)
    pod.wait()
    rows(database_url, "UPDATE patience SET seconds = 0 RETURNING 1")
    ((pid,),) = rows(database_url, active)
    # A server notices by itself within `client_connection_check_interval`, which `Database` sets.
    rows(database_url, f"SELECT pg_terminate_backend({pid})")

    assert asyncio.run(migrate(database_url, read_migrations(tmp_path))) == ["0002_slow.sql"]
    assert rows(database_url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_a_vanished_pods_locks_are_given_back_by_the_server(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database, database.connection() as connection:
            cursor = await connection.execute("SHOW client_connection_check_interval")
            return await cursor.fetchone()

    assert asyncio.run(run()) == ("2s",)


def test_a_migration_that_fails_leaves_nothing_and_is_tried_again(database_url):
    broken = Migration(2, "0002_broken.sql", "CREATE TABLE u (n int); INSERT INTO u VALUES ('x');")
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        asyncio.run(migrate(database_url, (TABLE, broken)))
    assert rows(database_url, "SELECT to_regclass('t')::text, to_regclass('u')::text") == [("t", None)]

    repaired = Migration(2, "0002_broken.sql", "CREATE TABLE u (n int);")
    assert asyncio.run(migrate(database_url, (TABLE, repaired))) == ["0002_broken.sql"]


def test_a_changed_migration_is_refused_by_name(database_url):
    asyncio.run(migrate(database_url, (TABLE,)))
    changed = Migration(1, "0001_table.sql", TABLE.sql + "\n-- a comment")
    with pytest.raises(MigrationError, match=r"0001_table\.sql is not what was applied"):
        asyncio.run(migrate(database_url, (changed,)))


def test_a_newer_schema_is_fine(database_url):
    newer = Migration(9999, "9999_newer.sql", "CREATE TABLE newer (n int);")
    asyncio.run(migrate(database_url, (*read_migrations(), newer)))
    assert asyncio.run(migrate(database_url)) == []


def test_a_migration_that_comes_late_is_applied(database_url):
    third = Migration(3, "0003_third.sql", "CREATE TABLE third (n int);")
    asyncio.run(migrate(database_url, (TABLE, third)))
    second = Migration(2, "0002_second.sql", "CREATE TABLE second (n int);")
    assert asyncio.run(migrate(database_url, (TABLE, second, third))) == ["0002_second.sql"]


def test_a_table_in_use_is_not_queued_for_without_end(database_url, monkeypatch):
    monkeypatch.setattr(migrations, "TIMEOUTS", migrations.TIMEOUTS.replace("'3s'", "'0.1s'"))
    asyncio.run(migrate(database_url, (TABLE,)))
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT * FROM t")
        alter = Migration(2, "0002_alter.sql", "ALTER TABLE t ADD COLUMN m int;")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            asyncio.run(migrate(database_url, (TABLE, alter)))


def test_a_pod_that_migrates_for_long_is_reported_to_the_others(database_url, monkeypatch):
    monkeypatch.setattr(migrations, "LOCK_WAIT", 0.2)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (migrations.LOCK,))
        with pytest.raises(MigrationError, match="another pod"):
            asyncio.run(migrate(database_url))


def test_a_database_with_a_changed_migration_serves_nobody_and_says_why(database_url, monkeypatch, caplog):
    changed = Migration(1, "0001_schema.sql", "CREATE TABLE users (id int);")
    asyncio.run(migrate(database_url, (changed,)))
    monkeypatch.setattr(pool, "WAIT", 0.3)

    async def run():
        async with Database(database_url, pool_size=1) as database:
            with pytest.raises(Unavailable, match="not ready yet"):
                async with database.connection():
                    pass
            return database.migrated, database.problem

    migrated, problem = asyncio.run(run())
    assert not migrated
    assert problem.startswith("0001_schema.sql is not what was applied")
    assert problem in caplog.text


def test_the_services_role_needs_no_more_than_its_database(database_url):
    name = database_url.rpartition("/")[2]
    role = name.replace("test-", "role_")
    with psycopg.connect(database_url) as connection:
        connection.execute(f'CREATE ROLE {role} LOGIN NOSUPERUSER; ALTER DATABASE "{name}" OWNER TO {role}')

    async def run():
        async with Database(database_url.replace("postgres@", f"{role}@"), pool_size=2) as database:
            async with database.connection() as connection:
                cursor = await connection.execute("SELECT usesuper FROM pg_user WHERE usename = current_user")
                superuser = await cursor.fetchone()
            return superuser, database.migrated, await database.check()

    assert asyncio.run(run()) == ((False,), True, 1)


@pytest.mark.parametrize(
    ("names", "complaint"),
    [(["1_first.sql"], "is named like"), (["0001_one.sql", "0001_two.sql"], "0001_one.sql has the same number")],
)
def test_files_without_a_number_of_their_own_are_refused(tmp_path, names, complaint):
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError, match=complaint):
        read_migrations(tmp_path)
