"""The live database: at which point of its log it had how many rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.settings import Settings

ATTEMPTS = 5
PATIENCE = "1s"  # for how long writers may have to wait behind us while we wait for one of them
CONNECT = 10  # seconds


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of the log, by the database's clock. `rows` are exact, or None."""

    lsn: str
    at: datetime
    timeline: int
    rows: Mapping[str, int] | None


def connect(settings: Settings) -> psycopg.Connection:
    """To the live database. Raises `BackupError` without the password."""
    options: dict[str, str | int] = {"connect_timeout": CONNECT}
    if settings.authority_file:
        options["sslrootcert"] = str(settings.authority_file)
    try:
        return psycopg.connect(make_conninfo(settings.secret("database_url"), **options), autocommit=True)
    except psycopg.Error as error:
        raise BackupError(f"the database cannot be reached: {_line(error)}") from None


def point(settings: Settings) -> Point:
    """Where the log is now. Writers wait for a moment, so that what is counted is what had been committed there."""
    with connect(settings) as counting, connect(settings) as holding:
        try:
            for _ in range(ATTEMPTS):
                if found := _counted(counting, holding):
                    return found
            return _here(counting, None)
        except psycopg.Error as error:
            raise BackupError(f"the database: {_line(error)}") from None


def _counted(counting: psycopg.Connection, holding: psycopg.Connection) -> Point | None:
    """One connection holds writers off until the other has its snapshot, which then counts at leisure."""
    names = tables(holding)
    try:
        with counting.transaction():
            counting.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            with holding.transaction(force_rollback=True):
                holding.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
                for name in names:
                    holding.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(identifier(name)))
                here = _here(counting, None)
            return Point(lsn=here.lsn, at=here.at, timeline=here.timeline, rows=count(counting, names))
    except psycopg.errors.LockNotAvailable:
        return None


def _here(connection: psycopg.Connection, rows: Mapping[str, int] | None) -> Point:
    row = connection.execute(
        "SELECT pg_current_wal_insert_lsn()::text, clock_timestamp(), timeline_id FROM pg_control_checkpoint()"
    ).fetchone()
    if row is None:
        raise BackupError("the database does not say where its log is")
    return Point(lsn=row[0], at=row[1].astimezone(UTC), timeline=row[2], rows=rows)


def tables(connection: psycopg.Connection) -> list[str]:
    """All that hold rows of ours, as `schema.table`."""
    found = connection.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' "
        "AND n.nspname <> 'information_schema' "
        "ORDER BY 1"
    )
    return [row[0] for row in found]


def count(connection: psycopg.Connection, names: list[str]) -> dict[str, int]:
    """The rows of tables, all in one snapshot if the connection is in a transaction that has one."""
    counted = {}
    for name in names:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(identifier(name))).fetchone()
        counted[name] = int(row[0]) if row else 0
    return counted


def newest(connection: psycopg.Connection, before: datetime) -> datetime | None:
    """When the newest row was made of all that say when they were, up to a moment."""
    columns = connection.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.columns "
        "WHERE column_name = 'created_at' AND table_schema !~ '^pg_' ORDER BY 1"
    ).fetchall()
    latest = None
    for (name,) in columns:
        row = connection.execute(
            sql.SQL("SELECT max(created_at) FROM {} WHERE created_at <= %s").format(identifier(name)), (before,)
        ).fetchone()
        if row is not None and row[0] is not None and (latest is None or row[0] > latest):
            latest = row[0]
    return latest


def identifier(name: str) -> sql.Composed:
    """`schema.table`, quoted."""
    schema, _, table = name.partition(".")
    return sql.SQL("{}.{}").format(sql.Identifier(schema), sql.Identifier(table))


def _line(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
