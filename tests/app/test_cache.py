from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import redis
from prometheus_client import REGISTRY
from pydantic import AliasGenerator, BaseModel, ConfigDict, Field

from modelcard_generator.cache.redis_cache import RedisCache
from tests.app.servers import RedisServer, eventually


class Card(BaseModel):
    name: str
    accuracy: float = math.nan
    created: datetime = datetime(2025, 1, 1, tzinfo=UTC)


class Renamed(BaseModel):
    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=str.upper, serialization_alias=str.title))

    name: str = Field(description="has three names")


@dataclass
class Row:
    id: UUID
    tags: tuple[str, ...]


def lookups(result: str) -> float:
    return REGISTRY.get_sample_value("modelcard_cache_requests_total", {"result": result}) or 0


@pytest.fixture
def cache(cache_url):
    cache = RedisCache(cache_url, timeout=5)
    yield cache
    cache.close()


def run(cache, work):
    """Runs `work` and leaves no connection behind."""

    async def whole():
        try:
            return await work
        finally:
            await cache.aclose()

    return asyncio.run(whole())


def test_a_plain_function_runs_once(cache):
    calls = []

    @cache.cache_result()
    def load(name: str, size: int = 1) -> str:
        calls.append(name)
        return name * size

    assert (load("a"), load(name="a", size=1), load("b")) == ("a", "a", "b")
    assert calls == ["a", "b"]


def test_an_async_function_runs_once(cache):
    calls = []

    @cache.cache_result()
    async def load(name: str, size: int = 1) -> str:
        calls.append(name)
        return name * size

    async def work():
        return await load("a"), await load(name="a", size=1), await load("b")

    assert run(cache, work()) == ("a", "a", "b")
    assert calls == ["a", "b"]


def test_hits_and_misses_are_counted(cache):
    @cache.cache_result()
    def load() -> int:
        return 1

    before = lookups("hit"), lookups("miss"), lookups("error")
    load(), load(), load()
    assert (lookups("hit"), lookups("miss"), lookups("error")) == (before[0] + 2, before[1] + 1, before[2])


def test_nothing_is_a_result_as_any_other(cache):
    calls = []

    @cache.cache_result()
    def find(name: str) -> str | None:
        calls.append(name)

    before = lookups("hit")
    assert (find("a"), find("a"), calls) == (None, None, ["a"])
    assert lookups("hit") == before + 1


RESULTS: list[tuple[Any, Any]] = [
    (Card, Card(name="bert", accuracy=0.5)),
    (list[Card] | None, [Card(name="bert", accuracy=0.5)]),
    (Renamed, Renamed(NAME="bert")),
    (Row, Row(UUID(int=7), ("nlp", "en"))),
    (dict[UUID, tuple[int, ...]], {UUID(int=1): (1, 2)}),
    (float, math.inf),
    (bytes, b"\xff\x00"),
    (Any, {"a": [1, 2.5, None, True, "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")]}),
]


@pytest.mark.parametrize(("annotation", "value"), RESULTS)
def test_a_hit_has_the_value_and_the_type_of_a_miss(cache, annotation, value):
    def load():
        return value

    load.__annotations__["return"] = annotation
    cached = cache.cache_result()(load)
    miss, hit = cached(), cached()
    assert (miss, type(miss)) == (hit, type(hit)) == (value, type(value))


def test_without_an_annotation_a_miss_gives_what_json_gives_as_a_hit_does(cache):
    @cache.cache_result()
    def load():
        return {"pair": (1, 2), "id": UUID(int=1)}

    assert load() == load() == {"pair": [1, 2], "id": str(UUID(int=1))}


def test_not_a_number_stays_what_it_is(cache):
    @cache.cache_result()
    def load() -> list[float]:
        return [math.nan]

    assert all(math.isnan(value) for value in load() + load())


def test_a_result_belongs_to_its_caller(cache):
    @cache.cache_result()
    async def load() -> list[int]:
        return [1]

    async def work():
        first, second = await asyncio.gather(load(), load())
        first.append(2)
        return second, await load()

    assert run(cache, work()) == ([1], [1])


def test_a_result_that_is_not_what_was_annotated_is_named(cache):
    @cache.cache_result()
    def load() -> int:
        return "seven"  # type: ignore[return-value]

    with pytest.raises(TypeError, match=r"load returned what cannot be cached"):
        load()


def test_what_pydantic_cannot_read_back_is_refused_at_once(cache):
    def load() -> threading.Thread:
        raise NotImplementedError

    with pytest.raises(TypeError, match=r"load: what it returns cannot be cached"):
        cache.cache_result()(load)


def test_a_type_of_the_enclosing_function_is_understood(cache):
    class Local(BaseModel):
        number: int

    @cache.cache_result()
    def load() -> list[Local]:
        return [Local(number=1)]

    assert load() == load() == [Local(number=1)]


def test_two_functions_of_one_name_do_not_share_their_results(cache):
    def card_of(owner):
        def load() -> str:
            return owner

        return load

    cache.cache_result()(card_of("alice"))
    with pytest.raises(ValueError, match="cached already"):
        cache.cache_result()(card_of("bob"))
    assert cache.cache_result(key_prefix="bob")(card_of("bob"))() == "bob"


def test_an_exception_is_not_kept(cache):
    calls = []

    @cache.cache_result()
    def load() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise LookupError("not yet")
        return 7

    with pytest.raises(LookupError, match="not yet"):
        load()
    assert (load(), load(), len(calls)) == (7, 7, 2)


def test_what_is_too_large_is_returned_but_not_stored(cache_url):
    cache = RedisCache(cache_url, max_value_bytes=100)
    calls = []

    @cache.cache_result()
    def load(size: int) -> str:
        calls.append(size)
        return "x" * size

    assert [len(load(size)) for size in (98, 98, 99, 99)] == [98, 98, 99, 99]  # two more bytes are quotes
    assert calls == [98, 99, 99]


def test_a_result_is_kept_no_longer_than_its_time(cache, cache_url):
    @cache.cache_result(ttl=0.3)
    def load() -> int:
        return 1

    load()
    client = redis.Redis.from_url(cache_url)
    (key,) = [key for key in client.scan_iter("mcg:*") if not key.endswith(b":version")]
    assert 0 < client.pttl(key) <= 300
    before = lookups("miss")
    eventually(lambda: load() and lookups("miss") > before)


def test_no_lock_is_left_behind(cache, cache_url):
    @cache.cache_result()
    def load(*, fail: bool) -> int:
        return 1 // (not fail)

    load(fail=False)
    with pytest.raises(ZeroDivisionError):
        load(fail=True)
    assert list(redis.Redis.from_url(cache_url).scan_iter("*:lock")) == []


def test_invalidating_a_function_leaves_the_others(cache):
    calls = []

    @cache.cache_result()
    def cards() -> int:
        calls.append("cards")
        return 1

    @cache.cache_result()
    def users() -> int:
        calls.append("users")
        return 1

    cards(), users()
    cache.invalidate(cards)
    cards(), users()
    assert calls == ["cards", "users", "cards"]


def test_invalidating_a_prefix_takes_all_functions_under_it(cache):
    calls = []

    @cache.cache_result(key_prefix="cards")
    async def one() -> int:
        calls.append("one")
        return 1

    @cache.cache_result(key_prefix="cards")
    async def every() -> int:
        calls.append("every")
        return 1

    @cache.cache_result(key_prefix="users")
    async def user() -> int:
        calls.append("user")
        return 1

    async def work():
        await one(), await every(), await user()
        await cache.ainvalidate("cards")
        await one(), await every(), await user()

    run(cache, work())
    assert calls == ["one", "every", "user", "one", "every"]


def test_invalidating_reaches_other_processes(cache, cache_url):
    other = RedisCache(cache_url)
    calls = []

    def load() -> int:
        calls.append(1)
        return len(calls)

    here, there = cache.cache_result()(load), other.cache_result()(load)
    assert (here(), there()) == (1, 1)
    other.invalidate("mcg")
    assert (here(), there()) == (2, 2)


def test_what_was_being_loaded_when_it_was_invalidated_is_not_kept_and_nobody_joins_it(cache, cache_url):
    other = RedisCache(cache_url)  # of another process: what is invalidated there must be noticed here
    truth = "old"

    @cache.cache_result()
    async def load() -> str:
        loaded = truth
        if loaded == "old":
            started.set()
            await released.wait()
        return loaded

    async def work():
        nonlocal truth, started, released
        await cache.ainvalidate("mcg")  # so that there are tokens to tell the two by
        await cache.ainvalidate(load)
        first = asyncio.create_task(load())
        await started.wait()
        truth = "new"
        await other.ainvalidate(load)
        second = await asyncio.wait_for(load(), 10)
        released.set()
        result = await first, second, await load()
        await other.aclose()
        return result

    started, released = asyncio.Event(), asyncio.Event()
    assert run(cache, work()) == ("old", "new", "new")


def test_only_what_is_cached_can_be_invalidated(cache):
    with pytest.raises(TypeError, match="is not cached"):
        cache.invalidate(len)


def test_versions_that_were_lost_make_everything_a_miss_once(cache, cache_url):
    calls = []

    @cache.cache_result()
    def load() -> int:
        calls.append(1)
        return 1

    load()
    client = redis.Redis.from_url(cache_url)
    assert client.delete(*client.scan_iter("*:version")) == 2
    load(), load()
    assert len(calls) == 2


@pytest.mark.parametrize("poison", ["garbage", "header and garbage", "header and another type", "list"])
def test_a_poisoned_value_is_replaced(cache, cache_url, poison):
    calls = []

    @cache.cache_result()
    async def load() -> int:
        calls.append(1)
        return 7

    client = redis.Redis.from_url(cache_url)

    async def work():
        await load()
        (key,) = [key for key in client.scan_iter("mcg:*") if not key.endswith(b":version")]
        stored = client.get(key)
        client.delete(key)
        header = stored[: -len(b"7")]
        match poison:
            case "garbage":
                client.set(key, b"\xff\x00{")
            case "header and garbage":
                client.set(key, header + b"\xff\x00{")
            case "header and another type":
                client.set(key, header + b'{"a": 1}')
            case "list":
                client.rpush(key, "a")
        return [await load() for _ in range(3)]

    assert (run(cache, work()), len(calls)) == ([7, 7, 7], 2)


@pytest.mark.parametrize("poison", [b"", b"\xff.\x00", None])
def test_a_poisoned_version_is_a_version_or_replaced(cache, cache_url, poison):
    calls = []

    @cache.cache_result()
    def load() -> int:
        calls.append(1)
        return 7

    load()
    client = redis.Redis.from_url(cache_url)
    for key in list(client.scan_iter("*:version")):
        client.delete(key)
        client.rpush(key, "a") if poison is None else client.set(key, poison)
    assert ([load() for _ in range(3)], len(calls)) == ([7, 7, 7], 2)


def test_one_cache_serves_one_event_loop_after_another(cache):
    @cache.cache_result()
    async def load() -> int:
        return 7

    before = lookups("hit"), lookups("error")
    assert [asyncio.run(load()), asyncio.run(load()), run(cache, load())] == [7, 7, 7]
    assert (lookups("hit"), lookups("error")) == (before[0] + 2, before[1])


def test_the_health_check_learns_how_much_memory_is_used(cache):
    answer = run(cache, cache.ping())
    assert answer["memory_used_bytes"] > 100_000
    assert answer["memory_limit_bytes"] == 0
    assert 0 < answer["seconds"] < 5


def test_the_platforms_role_may_do_all_that_the_cache_does():
    server = RedisServer()
    try:
        # As in infra/components/cache.py.
        redis.Redis.from_url(server.url).execute_command(
            "ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-@admin", "-@dangerous", "+info"
        )
        cache = RedisCache(f"redis://app:secret@127.0.0.1:{server.port}/0", timeout=5)
        calls = []

        @cache.cache_result()
        async def load() -> int:
            calls.append(1)
            return len(calls)

        async def work():
            return await load(), await load(), await cache.ainvalidate(load), await load(), bool(await cache.ping())

        before = lookups("error")
        assert run(cache, work()) == (1, 1, None, 2, True)
        assert lookups("error") == before
    finally:
        server.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:6379"])
def test_what_is_no_url_of_redis_is_refused_at_once(url):
    with pytest.raises(ValueError, match="scheme"):
        RedisCache(url)
