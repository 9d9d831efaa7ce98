from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from modelcard_generator.database import pool
from modelcard_generator.database.pool import Database, PoolBusy
from modelcard_generator.errors import InvalidInput, Unavailable
from modelcard_generator.monitoring import metrics
from modelcard_generator.settings import SettingsError
from tests.app.servers import PostgresServer, eventually, free_port


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresServer]:
    """A server to kill; whoever kills it starts it again."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def database_url(postgres) -> str:
    """One for all of these tests: they leave nothing in it."""
    return postgres.create_database(f"test-{uuid.uuid4().hex}")


@pytest.fixture
def impatient(monkeypatch):
    """Requests that give up sooner than in production."""
    monkeypatch.setattr(pool, "WAIT", 0.3)
    monkeypatch.setattr(pool, "CHECK_WAIT", 0.3)


async def answer(database: Database, query: str = "SELECT 1") -> object:
    async with database.connection() as connection:
        row = await (await connection.execute(query)).fetchone()
        return row and row[0]


async def until_answered(database: Database, within: float) -> float:
    """Asks as requests do, one after the other; seconds until one was answered."""
    began = time.monotonic()
    while True:
        try:
            await answer(database)
            return time.monotonic() - began
        except Unavailable:
            assert time.monotonic() - began < within
            await asyncio.sleep(0.02)


async def all_connections(database: Database, count: int) -> list[int]:
    """Their process ids, taken at the same time."""
    async with AsyncExitStack() as stack:
        taken = [await stack.enter_async_context(database.connection()) for _ in range(count)]
        return [each.info.backend_pid for each in taken]


def gauges() -> dict[str, float]:
    every = {
        "size": metrics.database_pool_size,
        "in use": metrics.database_pool_in_use,
        "waiting": metrics.database_pool_waiting,
    }
    return {name: gauge._value.get() for name, gauge in every.items()}


def terminate(url: str, pids: list[int]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s) pid", (pids,))
    eventually(lambda: not running(url, pids))


def running(url: str, pids: list[int]) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,)).fetchone()
    assert row
    return row[0]


def connected(url: str) -> bool:
    """Whether a pool has a connection."""
    with psycopg.connect(url) as connection:
        query = "SELECT FROM pg_stat_activity WHERE application_name = 'modelcard-generator' AND datname = 'late'"
        return connection.execute(query).rowcount > 0


def test_a_server_that_was_killed_is_used_within_five_seconds_of_its_return(mortal, impatient):
    url = mortal.create_database("killed")

    async def run():
        async with Database(url, pool_size=4) as database:
            await all_connections(database, 4)
            mortal.kill()
            with pytest.raises(Unavailable, match="cannot be reached"):
                await answer(database)
            await asyncio.to_thread(mortal.start)
            assert await until_answered(database, within=5) < 5
            assert len(set(await all_connections(database, 4))) == 4

    asyncio.run(run())


def test_a_process_that_starts_before_its_server_is_ready_within_five_seconds_of_it(mortal):
    url = mortal.create_database("late")
    mortal.kill()

    async def run():
        async with Database(url, pool_size=4) as database:
            await asyncio.sleep(2.5)  # longer than psycopg_pool's patience
            assert not database.migrated
            await asyncio.to_thread(mortal.start)
            await asyncio.to_thread(eventually, lambda: connected(url), within=5)  # though nobody asked for one
            await until_answered(database, within=5)
            assert database.migrated
            assert database.problem is None

    asyncio.run(run())


def test_opening_does_not_wait_for_a_server_and_asking_does_only_for_a_moment(impatient, caplog):
    async def run():
        began = time.monotonic()
        async with Database(f"postgresql://me:s3cret@127.0.0.1:{free_port()}/x", pool_size=2) as database:
            opened = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                await answer(database)
            return opened - began, time.monotonic() - opened, caught.value.detail, database.problem

    opening, asking, detail, problem = asyncio.run(run())
    assert opening < 0.5
    assert asking < 2
    assert detail == "the database is not ready yet: try again in a moment"
    assert "refused" in problem
    assert "s3cret" not in problem + caplog.text


def test_connections_that_died_idle_reach_nobody(database_url):
    async def run():
        async with Database(database_url, pool_size=4) as database:
            before = await all_connections(database, 4)
            await asyncio.to_thread(terminate, database_url, before)
            began = time.monotonic()
            answers = await asyncio.gather(*(answer(database) for _ in range(8)))
            return answers, time.monotonic() - began

    answers, seconds = asyncio.run(run())
    assert answers == [1] * 8
    assert seconds < 1


def test_a_connection_that_dies_in_its_query_is_unavailable_and_the_next_is_not(database_url):
    async def run():
        async with Database(database_url, pool_size=2) as database:
            with pytest.raises(Unavailable, match="was lost"):
                await answer(database, "SELECT pg_terminate_backend(pg_backend_pid())")
            return await answer(database)

    assert asyncio.run(run()) == 1


def test_a_busy_pool_refuses_in_bounded_time_and_shows_who_waits(database_url, impatient):
    before = gauges()

    def moved() -> dict[str, float]:
        return {name: value - before[name] for name, value in gauges().items()}

    async def run():
        async with Database(database_url, pool_size=1) as database, AsyncExitStack() as stack:
            await stack.enter_async_context(database.connection())
            assert moved() == {"size": 1, "in use": 1, "waiting": 0}
            began = time.monotonic()
            waiting = asyncio.create_task(answer(database))
            await asyncio.sleep(0)
            assert moved() == {"size": 1, "in use": 1, "waiting": 1}
            with pytest.raises(PoolBusy, match="busy"):
                await waiting
            assert 0.2 < time.monotonic() - began < 2
            await stack.aclose()
            assert moved() == {"size": 1, "in use": 0, "waiting": 0}
            assert await answer(database) == 1

    asyncio.run(run())
    assert gauges() == before


def test_a_request_gets_the_connection_that_another_gives_back(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            return await asyncio.gather(*(answer(database, "SELECT 1 FROM pg_sleep(0.01)") for _ in range(10)))

    assert asyncio.run(run()) == [1] * 10


def test_the_queue_for_a_connection_is_bounded(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            async with database.connection():
                queue = [asyncio.create_task(answer(database)) for _ in range(pool.WAITING_PER_CONNECTION)]
                await asyncio.sleep(0)
                began = time.monotonic()
                with pytest.raises(PoolBusy):
                    await answer(database)
                refused = time.monotonic() - began
            return refused, await asyncio.gather(*queue)

    refused, answers = asyncio.run(run())
    assert refused < 1
    assert answers == [1] * pool.WAITING_PER_CONNECTION


def test_cancelled_requests_keep_no_connection(database_url):
    async def run():
        async with Database(database_url, pool_size=2) as database:
            await answer(database)
            for delay in [n / 2000 for n in range(60)]:
                requests = [asyncio.create_task(answer(database, "SELECT pg_sleep(0.005)")) for _ in range(4)]
                await asyncio.sleep(delay)
                for _ in range(3):  # as a server does whose client hung up: at every await
                    for request in requests:
                        request.cancel()
                    await asyncio.sleep(0)
                await asyncio.gather(*requests, return_exceptions=True)
            return await all_connections(database, 2), gauges()["in use"]

    before = gauges()["in use"]
    pids, in_use = asyncio.run(run())
    assert len(set(pids)) == 2
    assert in_use == before


def test_a_request_that_is_cancelled_while_it_gives_its_connection_back_gives_it_back(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            has_it, done = asyncio.Event(), asyncio.Event()
            request = asyncio.create_task(hold(database, has_it, done))
            await has_it.wait()
            async with database._pool._lock:  # as another request does for a moment
                done.set()
                for _ in range(5):
                    await asyncio.sleep(0)
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
            return await answer(database)

    async def hold(database: Database, has_it: asyncio.Event, done: asyncio.Event) -> None:
        async with database.connection():
            has_it.set()
            await done.wait()

    assert asyncio.run(run()) == 1


def test_a_statement_that_takes_too_long_is_ended(database_url, monkeypatch):
    monkeypatch.setitem(pool._SESSION, "statement_timeout", 100)

    async def run():
        async with Database(database_url, pool_size=1) as database:
            with pytest.raises(Unavailable, match="did not answer within 10 s"):
                await answer(database, "SELECT pg_sleep(20)")
            return await answer(database)

    assert asyncio.run(run()) == 1


def test_a_lock_that_somebody_holds_is_not_waited_for_without_end(database_url, monkeypatch):
    monkeypatch.setitem(pool._SESSION, "lock_timeout", 100)

    async def run():
        async with (
            Database(database_url, pool_size=2) as database,
            database.connection() as connection,
            connection.transaction(),
        ):
            await connection.execute("LOCK TABLE users")
            with pytest.raises(Unavailable, match="changing the same data"):
                await answer(database, "SELECT count(*) FROM users")

    asyncio.run(run())


def test_the_session_has_limits_and_a_name(database_url):
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "application_name")

    async def run():
        async with Database(database_url, pool_size=1) as database:
            return [await answer(database, f"SHOW {name}") for name in names]

    assert asyncio.run(run()) == ["10s", "3s", "10s", "modelcard-generator"]


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_text_that_cannot_be_stored_is_the_senders_mistake(database_url, text):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            with pytest.raises(InvalidInput, match="cannot be stored"):
                async with database.connection() as connection:
                    await connection.execute("SELECT %s::text", (text,))
            return await answer(database)

    assert asyncio.run(run()) == 1


def test_a_mistake_in_a_query_is_not_hidden(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            await answer(database, "SELECT nothing")

    with pytest.raises(psycopg.errors.UndefinedColumn):
        asyncio.run(run())


def test_the_check_counts_connections_at_work(database_url):
    async def run():
        async with Database(database_url, pool_size=2) as database:
            await all_connections(database, 2)
            idle = await database.check()
            async with database.connection() as connection:
                sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(0.5)"))
                await asyncio.sleep(0.1)
                busy = await database.check()
                await sleeping
            return busy - idle

    # Other tests' connections have the same role, but none is at work meanwhile.
    assert asyncio.run(run()) == 1


def test_the_check_tells_a_busy_pool_from_a_server_that_is_gone(mortal, impatient):
    url = mortal.create_database("checked")

    async def run():
        async with Database(url, pool_size=1) as database:
            async with database.connection():
                with pytest.raises(PoolBusy):
                    await database.check()
            mortal.kill()
            with pytest.raises(Unavailable) as caught:
                await database.check()
            assert not isinstance(caught.value, PoolBusy)

    try:
        asyncio.run(run())
    finally:
        mortal.start()


def test_a_closed_database_says_so(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            await answer(database)
        with pytest.raises(Unavailable, match="starts or stops"):
            await answer(database)

    asyncio.run(run())


def test_a_url_that_cannot_be_read_is_not_repeated():
    with pytest.raises(SettingsError) as caught:
        Database("postgresqll://me:s3cret@host/x", pool_size=1)
    assert str(caught.value) == "MCG_DATABASE_URL: libpq cannot read this URL"


def test_the_log_of_a_failed_query_names_its_code(database_url, caplog):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            await answer(database, "SELECT pg_terminate_backend(pg_backend_pid())")

    with caplog.at_level(logging.WARNING, "modelcard_generator"), pytest.raises(Unavailable):
        asyncio.run(run())
    assert "AdminShutdown 57P01" in caplog.text
