"""The connections of one process to PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from modelcard_generator.database import optimization
from modelcard_generator.database.migrations import MigrationError, apply_migrations
from modelcard_generator.errors import InvalidInput, Unavailable
from modelcard_generator.monitoring import metrics
from modelcard_generator.settings import SettingsError

logger = logging.getLogger(__name__)

WAIT = 3.0  # seconds that a request waits for a connection
CHECK_WAIT = 1.0  # seconds that the health check waits for one
WAITING_PER_CONNECTION = 16  # requests; each may take 3 s / 16 = 190 ms before the last one gives up
STATEMENT_TIMEOUT = 10  # seconds; a third of the request's
PATIENCE = 2.0  # seconds; psycopg_pool tries after 1 s and 2 s, then `check` makes it begin anew, for ever
RETRY = 1.0  # seconds between attempts to migrate

# Of libpq (PostgreSQL documentation, 34.1.2). A server that vanished without a word is noticed after
# 5 s with something to send, and after 5 + 3 * 2 = 11 s of silence.
_LINK = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}
# Of the session, in ms (20.11.1). A client that vanished gives back its locks within 2 s.
_SESSION = {
    "statement_timeout": STATEMENT_TIMEOUT * 1000,
    "lock_timeout": 3000,
    "idle_in_transaction_session_timeout": 10_000,
    "client_connection_check_interval": 2000,
}


class PoolBusy(Unavailable):
    """All connections work for somebody and nobody gave one back in time: the database is there, too much is asked."""


class Database:
    """A pool of at most `pool_size` connections, which outlives restarts of PostgreSQL.

    Queries longer than `slow_query` seconds are logged; `authority_file` is a PEM file of who signs PostgreSQL's
    certificate. Connections are in autocommit: a read is one round trip, and `async with connection.transaction()`
    makes one of several statements.

    The gauges of the pool move by one where a request begins to wait, gets its connection and gives it back; nothing
    polls.
    """

    def __init__(
        self, url: str, *, pool_size: int, authority_file: Path | None = None, slow_query: float = 1.0
    ) -> None:
        """Raises `SettingsError` if libpq cannot read the URL."""
        self._link = _LINK | _authority(url, authority_file)
        self._url = url
        self._pool_size = pool_size
        self._slow_query = slow_query
        self._pool = AsyncConnectionPool(
            self._conninfo("modelcard-generator"),
            kwargs={"autocommit": True},
            min_size=1,
            max_size=pool_size,
            open=False,
            name="database",
            reconnect_timeout=PATIENCE,
            # Giving up takes the connection off the pool's books; `check` puts a new one on them.
            reconnect_failed=AsyncConnectionPool.check,
        )
        self._in_use = 0
        self._waiting = 0
        self._prepared = asyncio.Event()
        self._preparation: asyncio.Task[None] | None = None
        self.problem: str | None = None  # why `migrated` is not true yet, for operators

    @property
    def migrated(self) -> bool:
        """Whether the schema is at least as new as this code: requests can be served."""
        return self._prepared.is_set()

    async def open(self) -> None:
        """Returns at once; connects and migrates in the background, however long PostgreSQL is away."""
        optimization.log_slower_than(self._slow_query)
        metrics.database_pool_size.inc(self._pool_size)
        await self._pool.open()
        self._preparation = asyncio.create_task(self._prepare())

    async def close(self) -> None:
        """Closes the connections; those that are in use when they are given back."""
        if self._preparation is None:
            return
        self._preparation.cancel()
        await asyncio.gather(self._preparation, return_exceptions=True)
        self._preparation = None
        await self._pool.close()
        metrics.database_pool_size.dec(self._pool_size)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """A connection for as long as the block lasts; `connection.cursor(row_factory=class_row(Card))` gives rows.

        Raises `Unavailable` if there is none within 3 s, and whenever PostgreSQL fails during the block: it went away,
        took longer than 10 s, or ran out of something. `PoolBusy` says that only the pool was too small. What
        PostgreSQL cannot store, such as text with a NUL, is `InvalidInput`.
        """
        async with self._lent(WAIT, prepared=True) as connection:
            yield connection

    async def check(self) -> int:
        """How many of this role's connections run a statement, this one included, over all its processes.

        Raises `PoolBusy` if this pool has no connection to spare for the question, otherwise `Unavailable`.
        """
        async with self._lent(CHECK_WAIT, prepared=False) as connection:
            with optimization.query_timer("check", operation="select", table="pg_stat_activity"):
                cursor = await connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename = current_user"
                )
                row = await cursor.fetchone()
        assert row is not None  # noqa: S101 - count(*) has always one
        return int(row[0])

    @asynccontextmanager
    async def _lent(self, wait: float, *, prepared: bool) -> AsyncIterator[AsyncConnection[TupleRow]]:
        connection = await self._take(wait, prepared=prepared)
        self._in_use += 1
        metrics.database_pool_in_use.inc()
        try:
            yield connection
        except (psycopg.DataError, UnicodeEncodeError) as error:
            raise InvalidInput("what was sent holds a value that cannot be stored, such as a NUL character") from error
        except psycopg.Error as error:
            if not (connection.closed or isinstance(error, psycopg.OperationalError)):
                raise
            sentence = _sentence(error, lost=connection.closed)
            logger.warning("%s (%s %s)", sentence, type(error).__name__, error.sqlstate)
            raise Unavailable(sentence) from error
        finally:
            self._in_use -= 1
            metrics.database_pool_in_use.dec()
            await self._give_back(connection)

    async def _take(self, wait: float, *, prepared: bool) -> AsyncConnection[TupleRow]:
        if self._waiting >= WAITING_PER_CONNECTION * self._pool_size:
            raise self._refusal()
        deadline = time.monotonic() + wait
        self._waiting += 1
        metrics.database_pool_waiting.inc()
        try:
            if prepared and not self.migrated:
                await asyncio.wait_for(self._prepared.wait(), wait)
            while True:
                connection = await self._pool.getconn(deadline - time.monotonic())
                try:
                    alive = await _alive(connection)
                except BaseException:
                    await self._give_back(connection)
                    raise
                if alive:
                    return connection
                await self._give_back(connection)
        except (PoolTimeout, TimeoutError):
            raise self._refusal() from None
        except PoolClosed:
            raise Unavailable("the service is not connected to its database: it starts or stops") from None
        finally:
            self._waiting -= 1
            metrics.database_pool_waiting.dec()

    async def _give_back(self, connection: AsyncConnection[TupleRow]) -> None:
        # A request that is cancelled twice would otherwise keep its connection for ever.
        await asyncio.shield(self._pool.putconn(connection))

    def _refusal(self) -> Unavailable:
        if self._in_use >= self._pool_size:
            return PoolBusy("all connections to the database are busy: try again in a moment")
        if not self.migrated:
            return Unavailable("the database is not ready yet: try again in a moment")
        return Unavailable("the database cannot be reached: try again in a moment")

    async def _prepare(self) -> None:
        while not self.migrated:
            try:
                async with await AsyncConnection.connect(
                    self._conninfo("modelcard-generator migrations"), autocommit=True
                ) as connection:
                    await apply_migrations(connection)
            except (psycopg.Error, MigrationError) as error:
                problem = " ".join(str(error).split())
                if problem != self.problem:
                    logger.warning("the database is not ready yet: %s", problem)
                self.problem = problem
                await asyncio.sleep(RETRY)
            else:
                self.problem = None
                self._prepared.set()

    def _conninfo(self, application: str) -> str:
        options = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
        return make_conninfo(self._url, application_name=application, options=options, **self._link)


def _authority(url: str, authority_file: Path | None) -> dict[str, str]:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq's message quotes the URL with its password.
        raise SettingsError("MCG_DATABASE_URL: libpq cannot read this URL") from None
    if authority_file is None:
        return {}
    return {"sslrootcert": str(authority_file), "sslmode": str(given.get("sslmode") or "verify-full")}


async def _alive(connection: AsyncConnection[TupleRow]) -> bool:
    """Whether PostgreSQL still holds this connection; asks only if there is something to read, as after a goodbye."""
    poll = select.poll()
    try:
        poll.register(connection.fileno(), select.POLLIN)
        if poll.poll(0):
            await connection.execute("")
    except psycopg.OperationalError:
        await connection.close()
        return False
    return True


def _sentence(error: psycopg.Error, *, lost: bool) -> str:
    match error:
        case _ if lost:
            return "the connection to the database was lost: try again in a moment"
        case psycopg.errors.QueryCanceled():
            return f"the database did not answer within {STATEMENT_TIMEOUT} s"
        case psycopg.errors.LockNotAvailable() | psycopg.errors.DeadlockDetected():
            return "somebody else is changing the same data: try again in a moment"
        case _:
            return "the database cannot answer now: try again in a moment"
