from __future__ import annotations

import asyncio
import math

import pytest
import redis
from prometheus_client import REGISTRY

from modelcard_generator.cache.redis_cache import RedisCache
from modelcard_generator.monitoring.active_users import KEY, ActiveUsers
from tests.app.servers import RedisServer, free_port


class Clock:
    """Of one replica: its zero is its own, and tests move it."""

    def __init__(self, now: float = 0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def counted(url, use):
    """What `use` returns, called with two replicas that have a clock each."""

    async def work():
        caches = RedisCache(url, timeout=5), RedisCache(url, timeout=5)
        clocks = Clock(), Clock(1_000_000)
        try:
            replicas = [ActiveUsers(cache, clock=clock) for cache, clock in zip(caches, clocks, strict=True)]
            return await use(*replicas, *clocks)
        finally:
            for cache in caches:
                await cache.aclose()

    return asyncio.run(work())


def gauge() -> float:
    return REGISTRY.get_sample_value("modelcard_active_users") or 0


def test_each_user_counts_once_over_all_replicas(cache_url):
    async def use(one, other, *_):
        for user in ("alice", "bob", "alice"):
            one.seen(user)
        for user in ("bob", "carol"):
            other.seen(user)
        await one.count()
        return await other.count(), await one.count()

    assert counted(cache_url, use) == (3, 3)
    assert gauge() == 3


@pytest.mark.parametrize(("seconds", "expected"), [(0, 1), (299, 1), (299.99, 1), (300, 0), (301, 0)])
def test_a_user_counts_for_five_minutes(cache_url, seconds, expected):
    async def use(one, _, clock, __):
        one.seen("alice")
        clock.now += seconds
        return await one.count()

    assert counted(cache_url, use) == expected


def test_who_was_told_of_is_forgotten_after_five_minutes(cache_url):
    async def use(one, *_):
        one.seen("alice")
        await one.count()
        client = redis.Redis.from_url(cache_url)
        (member,) = client.zrange(KEY, 0, -1)
        counts = []
        for age in (-298, -4):
            client.zincrby(KEY, age, member)  # as if Redis' clock had moved on
            counts.append(await one.count())
        return counts, client.exists(KEY)

    assert counted(cache_url, use) == ([1, 0], 0)


def test_who_was_seen_long_ago_by_one_replica_and_now_by_the_other_is_active(cache_url):
    async def use(one, other, clock, _):
        one.seen("alice")
        clock.now += 200
        other.seen("alice")
        await other.count()
        await one.count()  # tells of something older
        client = redis.Redis.from_url(cache_url)
        now = client.time()
        ((_, score),) = client.zrange(KEY, 0, -1, withscores=True)
        return now[0] - score

    assert counted(cache_url, use) < 100


def test_redis_forgets_all_when_nobody_tells_it_any_more(cache_url):
    async def use(one, *_):
        one.seen("alice")
        await one.count()

    counted(cache_url, use)
    assert 290 < redis.Redis.from_url(cache_url).ttl(KEY) <= 300


def test_no_name_is_kept(cache_url):
    async def use(one, *_):
        one.seen("alice@example.org")
        await one.count()

    counted(cache_url, use)
    (member,) = redis.Redis.from_url(cache_url).zrange(KEY, 0, -1)
    assert len(member) == 16


def test_without_redis_the_number_is_not_known_and_nobody_is_forgotten():
    server = RedisServer()

    async def work():
        cache = RedisCache(server.url, timeout=5)
        users = ActiveUsers(cache)
        users.seen("alice")
        server.kill()
        unknown = await users.count()
        assert math.isnan(gauge())
        users.seen("bob")
        server.start()
        async with asyncio.timeout(20):
            while math.isnan(known := await users.count()):
                await asyncio.sleep(0.05)
        await cache.aclose()
        return unknown, known

    unknown, known = asyncio.run(work())
    server.close()
    assert math.isnan(unknown)
    assert known == 2


def test_in_a_long_outage_only_five_minutes_are_remembered():
    async def use(one, _, clock, __):
        for user in range(10):
            one.seen(str(user))
            clock.now += 100
            await one.count()
        return len(one._seen)

    assert counted(f"redis://127.0.0.1:{free_port()}/0", use) == 2  # 100 s and 200 s ago


def test_it_tells_by_itself_and_once_more_at_the_end(cache_url):
    async def work():
        cache = RedisCache(cache_url, timeout=5)
        users = ActiveUsers(cache, interval=0.01)
        client = redis.Redis.from_url(cache_url)
        await users.start()
        users.seen("alice")
        async with asyncio.timeout(20):
            while client.zcard(KEY) == 0:
                await asyncio.sleep(0.01)
        slow = ActiveUsers(cache, interval=3600)
        await slow.start()
        await asyncio.sleep(0.05)
        slow.seen("bob")
        await slow.aclose()
        await users.aclose()
        await cache.aclose()
        return client.zcard(KEY)

    assert asyncio.run(work()) == 2


def test_closing_what_never_began_is_harmless(cache_url):
    async def use(one, *_):
        await one.aclose()

    counted(cache_url, use)
