"""What a hit costs, as a ratio to the least that any cache on Redis could cost: GET and json.loads of the same value.

Usage: `.venv/bin/python -m benchmarks.cache`. Fails if a ratio is over `LIMIT`, or if more than one of many loads.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio

from modelcard_generator.cache.redis_cache import RedisCache
from tests.app.servers import RedisServer

LIMIT = 1.3
SIZES = {"1 kB": 1_000, "50 kB": 50_000}
ROUNDS, CALLS = 500, 5
MISSES = 200
Times = dict[str, list[float]]


def document(size: int) -> dict[str, Any]:
    """A card's description of about `size` bytes of JSON."""
    section = {"name": "bert-base-uncased", "accuracy": 0.8731, "tags": ["nlp"], "text": "Trained on Wikipedia. " * 6}
    return {"sections": [section] * round(size / len(json.dumps(section)))}


async def take_turns(**calls: Callable[[], Awaitable[object]]) -> Times:
    """Seconds of each call, so that a noisy machine is noisy for all."""
    times: Times = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                await call()
            times[name].append((time.perf_counter() - began) / CALLS)
    return times


def take_turns_plainly(**calls: Callable[[], object]) -> Times:
    """As above: awaiting would cost the quicker one more than its share."""
    times: Times = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            times[name].append((time.perf_counter() - began) / CALLS)
    return times


def ratio(title: str, times: Times) -> float:
    """Of the medians; printed."""
    hit, bare = statistics.median(times["hit"]), statistics.median(times["bare"])
    print(f"{title:13} hit {hit * 1e6:5.0f} us  GET and json.loads {bare * 1e6:5.0f} us  ratio {hit / bare:.2f}")
    return hit / bare


async def async_ratio(url: str, title: str, size: int) -> float:
    """Of a hit of an async function."""
    value, cache, client = document(size), RedisCache(url), redis.asyncio.Redis.from_url(url)

    @cache.cache_result(key_prefix=f"async {size}")
    async def load(owner: str, number: int, *, language: str = "en") -> dict[str, Any]:
        del owner, number, language
        return value

    async def bare() -> object:
        return json.loads(await client.get("bare"))

    await client.set("bare", json.dumps(value))
    assert await load("alice", 7) == await load("alice", number=7, language="en") == await bare()  # noqa: S101
    times = await take_turns(hit=lambda: load("alice", number=7), bare=bare)
    await client.aclose()
    await cache.aclose()
    return ratio(f"async, {title}", times)


def plain_ratio(url: str, title: str, size: int) -> float:
    """Of a hit of a plain function."""
    value, cache, client = document(size), RedisCache(url), redis.Redis.from_url(url)

    @cache.cache_result(key_prefix=f"plain {size}")
    def load(owner: str, number: int, *, language: str = "en") -> dict[str, Any]:
        del owner, number, language
        return value

    def bare() -> object:
        return json.loads(client.get("bare"))

    client.set("bare", json.dumps(value))
    assert load("alice", 7) == load("alice", number=7, language="en") == bare()  # noqa: S101
    times = take_turns_plainly(hit=lambda: load("alice", number=7), bare=bare)
    client.close()
    cache.close()
    return ratio(f"plain, {title}", times)


async def loads_of_many_misses(url: str) -> int:
    """How often the function runs when many ask at once for what is not there."""
    cache, loads = RedisCache(url), 0

    @cache.cache_result(key_prefix="misses")
    async def load() -> int:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.05)
        return loads

    await asyncio.gather(*(load() for _ in range(MISSES)))
    await cache.aclose()
    return loads


def main() -> None:
    """Prints the ratios; exit status 1 if the target is missed."""
    server = RedisServer()
    try:
        ratios = [asyncio.run(async_ratio(server.url, title, size)) for title, size in SIZES.items()]
        ratios += [plain_ratio(server.url, title, size) for title, size in SIZES.items()]
        loads = asyncio.run(loads_of_many_misses(server.url))
    finally:
        server.close()
    print(f"{MISSES} concurrent misses, {loads} load")
    sys.exit(max(ratios) > LIMIT or loads != 1)


if __name__ == "__main__":
    main()
