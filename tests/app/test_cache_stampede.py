from __future__ import annotations

import asyncio
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from modelcard_generator.cache.redis_cache import RedisCache
from tests.app.servers import eventually

MANY = 200
PROCESSES = 4
TIMEOUT = 15  # s; a slow machine is no outage
spawned = multiprocessing.get_context("spawn")


def slowly(cache: RedisCache, url: str, *, seconds: float = 0.1) -> Any:
    """A cached function that counts in Redis how often it runs."""
    counter = redis.Redis.from_url(url)

    @cache.cache_result()
    async def load(key: str) -> int:
        loads = counter.incr(f"loads:{key}")
        await asyncio.sleep(seconds)
        return loads

    return load


def loads(url: str, key: str) -> int:
    return int(redis.Redis.from_url(url).get(f"loads:{key}") or 0)


def test_of_many_tasks_one_loads(cache_url):
    async def work():
        cache = RedisCache(cache_url, timeout=TIMEOUT)
        load = slowly(cache, cache_url)
        results = await asyncio.gather(*(load("a") for _ in range(MANY)))
        await cache.aclose()
        return results

    assert asyncio.run(work()) == [1] * MANY
    assert loads(cache_url, "a") == 1


def test_of_many_threads_one_loads(cache_url):
    cache = RedisCache(cache_url, timeout=TIMEOUT)
    together = threading.Barrier(MANY)
    runs = []

    @cache.cache_result()
    def load() -> int:
        runs.append(1)
        threading.Event().wait(0.1)
        return len(runs)

    def call(_: int) -> int:
        together.wait()
        return load()

    with ThreadPoolExecutor(MANY) as threads:
        results = list(threads.map(call, range(MANY)))
    cache.close()
    assert (results, len(runs)) == ([1] * MANY, 1)


def call_many(url: str, together: Any, results: Any) -> None:
    """One process."""

    async def work():
        cache = RedisCache(url, timeout=TIMEOUT)
        load = slowly(cache, url)
        together.wait()
        found = await asyncio.gather(*(load("a") for _ in range(MANY // PROCESSES)))
        await cache.aclose()
        return found

    results.put(asyncio.run(work()))


def test_of_many_processes_one_loads(cache_url):
    together, results = spawned.Barrier(PROCESSES), spawned.Queue()
    processes = [spawned.Process(target=call_many, args=(cache_url, together, results)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert found == [[1] * (MANY // PROCESSES)] * PROCESSES
    assert loads(cache_url, "a") == 1


def hold(url: str) -> None:
    """One process that is to be killed while it loads."""
    asyncio.run(slowly(RedisCache(url, timeout=TIMEOUT, lock_timeout=1), url, seconds=60)("a"))


async def call_twenty(url: str, *, lock_timeout: float) -> list[int]:
    cache = RedisCache(url, timeout=TIMEOUT, lock_timeout=lock_timeout)
    load = slowly(cache, url)
    results = await asyncio.gather(*(load("a") for _ in range(20)))
    await cache.aclose()
    return results


def test_one_of_those_who_wait_for_a_killed_process_takes_its_lock(cache_url):
    holder = spawned.Process(target=hold, args=(cache_url,))
    holder.start()
    eventually(lambda: loads(cache_url, "a") == 1)
    holder.kill()
    holder.join()
    assert len(list(redis.Redis.from_url(cache_url).scan_iter("*:lock"))) == 1

    assert asyncio.run(asyncio.wait_for(call_twenty(cache_url, lock_timeout=60), 30)) == [2] * 20
    assert loads(cache_url, "a") == 2


def test_who_has_waited_long_enough_loads_without_a_lock(cache_url):
    async def work():
        other = RedisCache(cache_url, timeout=TIMEOUT, lock_timeout=60)
        endless = asyncio.create_task(slowly(other, cache_url, seconds=60)("a"))
        while loads(cache_url, "a") == 0:
            await asyncio.sleep(0.01)
        results = await asyncio.wait_for(call_twenty(cache_url, lock_timeout=0.2), 30)
        await other.aclose()
        await asyncio.wait([endless])
        return results

    assert asyncio.run(work()) == [2] * 20


def test_an_exception_reaches_all_who_wait(cache_url):
    async def work():
        cache = RedisCache(cache_url, timeout=TIMEOUT)
        runs = []

        @cache.cache_result()
        async def load() -> int:
            runs.append(1)
            await asyncio.sleep(0.1)
            raise LookupError("gone")

        results = await asyncio.gather(*(load() for _ in range(50)), return_exceptions=True)
        await cache.aclose()
        return runs, {repr(result) for result in results}

    assert asyncio.run(work()) == ([1], {"LookupError('gone')"})


def test_an_exception_reaches_all_threads_that_wait(cache_url):
    cache = RedisCache(cache_url, timeout=TIMEOUT)
    together = threading.Barrier(20)
    runs = []

    @cache.cache_result()
    def load() -> int:
        runs.append(1)
        threading.Event().wait(0.2)
        raise LookupError("gone")

    def call(_: int) -> str:
        together.wait()
        with pytest.raises(LookupError) as raised:
            load()
        return str(raised.value)

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(call, range(20))) == {"gone"}
    cache.close()
    assert len(runs) == 1


def test_who_gives_up_waiting_does_not_take_it_from_the_others(cache_url):
    async def work():
        cache = RedisCache(cache_url, timeout=TIMEOUT)
        started, released, runs = asyncio.Event(), asyncio.Event(), []

        @cache.cache_result()
        async def load() -> int:
            runs.append(1)
            started.set()
            await released.wait()
            return 7

        first = asyncio.create_task(load())
        await started.wait()
        others = [asyncio.create_task(load()) for _ in range(5)]
        first.cancel()
        await asyncio.wait([first])
        released.set()
        results = await asyncio.gather(*others), await load()
        await cache.aclose()
        return first.cancelled(), runs, results

    assert asyncio.run(work()) == (True, [1], ([7] * 5, 7))


def test_closing_stops_what_is_being_loaded_and_gives_up_its_lock(cache_url):
    async def work():
        cache = RedisCache(cache_url, timeout=TIMEOUT)
        started = asyncio.Event()

        @cache.cache_result()
        async def load() -> int:
            started.set()
            await asyncio.Event().wait()
            return 7

        waiter = asyncio.create_task(load())
        await started.wait()
        await cache.aclose()
        await asyncio.wait([waiter])
        return waiter.cancelled()

    assert asyncio.run(work())
    assert list(redis.Redis.from_url(cache_url).scan_iter("*:lock")) == []


def test_a_forked_process_has_connections_of_its_own(cache_url):
    cache = RedisCache(cache_url, timeout=TIMEOUT)

    @cache.cache_result()
    def echo(number: int) -> int:
        return number

    numbers = list(range(200))
    assert [echo(number) for number in numbers] == numbers

    def child(results: Any) -> None:
        results.put([echo(number) for number in numbers])

    forked = multiprocessing.get_context("fork")
    results = forked.Queue()
    process = forked.Process(target=child, args=(results,))
    process.start()
    here = [echo(number) for number in numbers]
    there = results.get(timeout=30)
    process.join()
    cache.close()
    assert here == there == numbers
