"""The schema, step by step: `migrations/NNNN_name.sql`, each applied once, whichever pod comes first.

A file is one transaction unless its first line is `-- no transaction`; then its statements run one by one, and again
from the first if a pod died in between. Old pods keep running on the new schema, so a file only adds, and
`migration_safety` tells what it may not do. A schema with steps that this code does not know is a newer pod's: fine.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from modelcard_generator.database import statements

FOLDER = Path(__file__).parent / "migrations"
FILE = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
NO_TRANSACTION = "-- no transaction"
LOCK = 0x6D6367  # "mcg": of PostgreSQL's advisory locks, whose keys are ours to choose
LOCK_WAIT = 60.0  # seconds until another pod's migration is reported; `Database` then asks again
LOCK_POLL = 0.1  # seconds
# A statement may queue for a table that long, and every query of old pods behind it; then hold it that long.
TIMEOUTS = "SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '60s'"
# CREATE INDEX CONCURRENTLY takes as long as the table is large; nobody waits for it meanwhile.
NO_TIMEOUTS = "SET lock_timeout = 0; SET statement_timeout = 0"


class MigrationError(Exception):
    """What is wrong with the files or with what was applied, in one line."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: int
    file: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        """Whether all of it or nothing is applied."""
        return not self.sql.startswith(f"{NO_TRANSACTION}\n")


def read_migrations(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """All files in order. Raises `MigrationError` for a name without a number of its own."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = FILE.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: a migration is named like 0001_what_it_does.sql")
        version = int(match["version"])
        if version in found:
            raise MigrationError(f"{path.name}: {found[version].file} has the same number")
        found[version] = Migration(version, path.name, path.read_text(encoding="utf-8"))
    return tuple(found.values())


async def apply_migrations(
    connection: AsyncConnection[TupleRow], migrations: Sequence[Migration] | None = None
) -> list[str]:
    """Applies what is missing, and returns the names of those files.

    `connection` is in autocommit, and afterwards of no other use: its timeouts are changed. Raises `MigrationError` if
    a file is not what was applied, or if another pod migrates for longer than `LOCK_WAIT`.
    """
    wanted = read_migrations() if migrations is None else migrations
    if not await _missing(connection, wanted):
        return []  # nearly every start: no lock, no wait
    async with _alone(connection):
        await _become_owner(connection)
        await connection.execute(
            """
            CREATE TABLE IF NOT EXISTS schema_migrations (
                version integer PRIMARY KEY,
                file text NOT NULL,
                sha256 text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        missing = await _missing(connection, wanted)
        for migration in missing:
            await _apply(connection, migration)
    return [migration.file for migration in missing]


async def _become_owner(connection: AsyncConnection[TupleRow]) -> None:
    # Logins take turns; what is made belongs to none of them.
    cursor = await connection.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    )
    (owner,) = await cursor.fetchone() or ()
    await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))


async def _missing(connection: AsyncConnection[TupleRow], wanted: Sequence[Migration]) -> list[Migration]:
    cursor = await connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")
    if await cursor.fetchone() == (False,):
        return list(wanted)
    cursor = await connection.execute("SELECT version, sha256 FROM schema_migrations")
    applied: dict[int, str] = dict(await cursor.fetchall())
    for migration in wanted:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{migration.file} is not what was applied under its number: put it back, and add a new file"
            )
    return [migration for migration in wanted if migration.version not in applied]


@asynccontextmanager
async def _alone(connection: AsyncConnection[TupleRow]) -> AsyncIterator[None]:
    # Asked again and again: CREATE INDEX CONCURRENTLY waits for every statement older than itself, and a statement
    # that waits for the lock would wait for it in turn.
    deadline = time.monotonic() + LOCK_WAIT
    while await (await connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))).fetchone() != (True,):
        if time.monotonic() > deadline:
            raise MigrationError(f"another pod has been migrating for more than {LOCK_WAIT:.0f} s")
        await asyncio.sleep(LOCK_POLL)
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


async def _apply(connection: AsyncConnection[TupleRow], migration: Migration) -> None:
    if migration.in_transaction:
        async with connection.transaction():
            await connection.execute(TIMEOUTS)
            await _run(connection, migration)
    else:
        await connection.execute(NO_TIMEOUTS)
        await _run(connection, migration)


async def _run(connection: AsyncConnection[TupleRow], migration: Migration) -> None:
    for statement in statements.split(migration.sql):
        await connection.execute(statement)
    await connection.execute(
        "INSERT INTO schema_migrations (version, file, sha256) VALUES (%s, %s, %s)",
        (migration.version, migration.file, migration.checksum),
    )
