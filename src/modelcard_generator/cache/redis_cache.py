"""Results of functions, kept in Redis for all processes.

A hit costs one round trip. Of many who miss at once one loads, the others wait for what it loads. Without Redis every
call loads, and nothing else changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import random
import secrets
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from redis.exceptions import RedisError, ResponseError

from modelcard_generator.cache.keys import Keys
from modelcard_generator.cache.links import AsyncLink, Link, PlainLink, Work, finish
from modelcard_generator.cache.outage import Outage, logger
from modelcard_generator.cache.scripts import BEGIN, END, HEADER
from modelcard_generator.cache.values import Values
from modelcard_generator.monitoring import metrics

MIB = 1024 * 1024
POLL = 0.01, 0.1  # s; the first and the longest pause of who waits for another process to load

P = ParamSpec("P")
R = TypeVar("R")


class RedisCache:
    """The cache of one process.

    `url`: `redis://`, or `rediss://` for TLS: the server's certificate must be signed by `authority_file` (PEM; without
    it, by one of the system's authorities) and bear the host's name. `max_value_bytes`: what is larger is returned, but
    not stored. `timeout`, in seconds, of one command, connecting included; in threads of each of its steps, the look-up
    of the host's name excepted. `lock_timeout`, in seconds: how long the others wait for who loads, who may have died,
    before they load themselves.

    Connections are made when they are first needed. Raises ValueError for what is no URL of Redis.
    """

    def __init__(
        self,
        url: str,
        *,
        authority_file: Path | None = None,
        max_value_bytes: int = MIB,
        timeout: float = 0.5,
        lock_timeout: float = 5.0,
    ) -> None:
        self.max_value_bytes = max_value_bytes
        self.lock_timeout = lock_timeout
        # Two, because a server that is full or read-only still has what it has.
        self.asking = Outage("Redis does not answer")
        self.storing = Outage("Redis does not store")
        self._reach = (url, authority_file, timeout, self.asking)
        self._async_link: AsyncLink | None = None
        self._plain_link = PlainLink(*self._reach)
        self._functions: set[str] = set()
        self._owed: dict[str, str] = {}  # version key: the token that Redis has yet to be told
        metrics.expect(metrics.cache_requests_total, result=("hit", "miss", "error"))
        self.hits, self.misses, self.errors = (
            metrics.cache_requests_total.labels(result=result) for result in ("hit", "miss", "error")
        )

    def cache_result(
        self, ttl: float = 3600, key_prefix: str = "mcg", version: int = 1
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Keeps what the decorated function, plain or async, returns; for `ttl` seconds, under `key_prefix`.

        For functions and bound methods: `cached = cache.cache_result(ttl=60)(repository.card)`. A closure's free
        variables and a bound method's object are not part of the key. `version` is to be raised when the meaning of the
        function or of what it returns changes, but its parameters do not. Whether it hits or misses, a caller gets a
        value of its own that went through JSON as the return annotation says (Any without one); None is a value as any
        other.

        An async function runs in a task of its own, so that a caller who gives up does not take it from the others; its
        exception reaches all who wait for it, and is not kept.

        Raises TypeError for a method that is not bound and for an annotation that pydantic cannot read; when called,
        for an argument that cannot be part of a key and a result that is not what was annotated. ValueError if another
        function of the same name is cached under `key_prefix`.
        """

        def decorator(function: Callable[P, R]) -> Callable[P, R]:
            cached = Cached(self, function, ttl, key_prefix, version)
            if cached.name in self._functions:
                raise ValueError(f"{cached.name} is cached already: give this one another key_prefix")
            self._functions.add(cached.name)
            if inspect.iscoroutinefunction(function):

                @wraps(function)
                async def waiting(*args: P.args, **kwargs: P.kwargs) -> object:
                    return await cached.answer(self.async_link(), args, kwargs)

                wrapper = cast(Callable[P, R], waiting)
            else:

                @wraps(function)
                def plain(*args: P.args, **kwargs: P.kwargs) -> R:
                    return cast(R, finish(cached.answer(self.plain_link(), args, kwargs)))

                wrapper = plain
            wrapper.cached_as = cached.name  # type: ignore[attr-defined]
            return wrapper

        return decorator

    async def ainvalidate(self, what: str | Callable[..., object]) -> None:
        """Makes all that is kept of a cached function, or under a whole key prefix, a miss.

        What is being loaded now is not kept either, and who calls from now on does not get it. An outage is no error:
        this process uses nothing of Redis before it has told it; others may, until then or for the rest of the ttl.
        Raises TypeError for a function that is not cached.
        """
        await self._invalidate(self.async_link(), what)

    def invalidate(self, what: str | Callable[..., object]) -> None:
        """`ainvalidate` for threads."""
        finish(self._invalidate(self.plain_link(), what))

    async def _invalidate(self, link: Link, what: str | Callable[..., object]) -> None:
        name = what if isinstance(what, str) else getattr(what, "cached_as", None)
        if name is None:
            raise TypeError(f"{what!r} is not cached")
        self._owed[version_key(name)] = new_token()
        self._plain_link.forget_work()
        if self._async_link is not None:
            self._async_link.forget_work()
        with contextlib.suppress(RedisError):
            await self._settle(link)

    async def _settle(self, link: Link) -> None:
        if not self.storing.may_ask():
            raise RedisError("Redis has yet to be told of an invalidation")
        try:
            for key, token in tuple(self._owed.items()):
                await link.ask("SET", key, token)
                if self._owed.get(key) == token:
                    del self._owed[key]
        except ResponseError as error:
            self.storing.failed(error)
            raise
        self.storing.answered()

    async def ask_by(self, link: Link, *command: str | bytes | int) -> Any:
        """Redis' reply, after it has been told of what was invalidated. Raises as `Link.ask`."""
        if self._owed:
            await self._settle(link)
        return await link.ask(*command)

    async def ask(self, *command: str | bytes | int) -> Any:
        """One command that is no look-up; its reply, undecoded. Raises RedisError, at once during an outage."""
        return await self.async_link().ask(*command)

    async def ping(self) -> dict[str, float]:
        """Asks Redis how it is, also during an outage. Raises RedisError if it does not answer.

        Seconds to its answer, and bytes of memory that it uses and may use (0: all there is).
        """
        began = time.perf_counter()
        reply: bytes = await self.async_link().talk("INFO", "memory")
        seconds = time.perf_counter() - began
        memory = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
        return {
            "seconds": seconds,
            "memory_used_bytes": int(memory["used_memory"]),
            "memory_limit_bytes": int(memory["maxmemory"]),
        }

    def async_link(self) -> AsyncLink:
        """For the running event loop; connections belong to the loop that made them."""
        link = self._async_link
        if link is None or link.loop is not asyncio.get_running_loop():
            link = self._async_link = AsyncLink(*self._reach)
        return link

    def plain_link(self) -> PlainLink:
        """For threads; a forked process must not use its parent's connections."""
        if self._plain_link.process != os.getpid():
            self._plain_link = PlainLink(*self._reach)
        return self._plain_link

    async def aclose(self) -> None:
        """Stops what is being loaded and closes all connections; a call makes new ones."""
        link, self._async_link = self._async_link, None
        if link is not None:
            await link.aclose()
        self.close()

    def close(self) -> None:
        """Closes the connections of threads; a call makes new ones."""
        self._plain_link.close()


class Cached:
    """One cached function. The same steps for plain and async: see `links`."""

    def __init__(
        self, cache: RedisCache, function: Callable[..., Any], ttl: float, key_prefix: str, version: int
    ) -> None:
        self._cache = cache
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)
        self._life = max(1, round(ttl * 1000))  # ms
        self._keys = Keys(function, key_prefix, version)
        self._values = Values(function)
        self.name = self._keys.prefix
        self._versions = (version_key(key_prefix), version_key(self.name))

    async def answer(self, link: Link, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the function returns, kept or loaded."""
        cache = self._cache
        key = self._keys.of(args, kwargs)
        seen: object = None
        try:
            *tokens, stored = await cache.ask_by(link, "MGET", *self._versions, key)
        except RedisError as error:
            if isinstance(error, ResponseError):
                cache.asking.failed(error)
            cache.errors.inc()
        else:
            if None in tokens:
                seen = await self._store(link, HEADER, self._versions, new_token())
            else:
                seen = header = b"%b.%b." % tuple(tokens)
                if stored is not None and stored.startswith(header):
                    try:
                        value = self._values.unpack(stored[len(header) :])
                    except ValueError:
                        await self._drop(link, key)
                    else:
                        cache.hits.inc()
                        return value
            cache.misses.inc()

        async def load() -> bytes:
            result = self._function(*args, **kwargs)
            return self._values.pack(await result if self._is_async else result)

        # Who saw another version must not join those who began before it.
        return self._values.unpack(await link.once((key, seen), lambda: self._fill(link, key, load)))

    async def _drop(self, link: Link, key: str) -> None:
        logger.warning("%s holds what was not stored by this version of the service", key)
        with contextlib.suppress(RedisError):
            await link.ask("UNLINK", key)

    async def _fill(self, link: Link, key: str, load: Work[bytes]) -> bytes:
        """The packed value: loaded under the key's lock and stored, or loaded meanwhile by who holds the lock."""
        keys = (*self._versions, key, f"{key}:lock")
        lock = new_token()
        deadline = time.monotonic() + self._cache.lock_timeout
        pause, longest = POLL
        while time.monotonic() < deadline:
            began = await self._store(link, BEGIN, keys, new_token(), lock, round(self._cache.lock_timeout * 1000))
            if began is None:
                break
            header, stored, locked = began
            if locked:
                return await self._load_and_store(link, keys, (header, lock), load)
            if stored is not None:
                packed: bytes = stored[len(header) :]
                try:
                    self._values.unpack(packed)
                except ValueError:
                    break
                return packed
            await link.pause(pause * random.uniform(0.5, 1))  # noqa: S311 - so that many do not ask at once
            pause = min(2 * pause, longest)
        return await load()

    async def _load_and_store(
        self, link: Link, keys: tuple[str, ...], held: tuple[bytes, str], load: Work[bytes]
    ) -> bytes:
        packed = b""
        try:
            packed = await load()
        finally:
            fits = len(packed) <= self._cache.max_value_bytes
            await self._store(link, END, keys, *held, packed if fits else b"", self._life)
        return packed

    async def _store(self, link: Link, script: str, keys: tuple[str, ...], *arguments: str | bytes | int) -> Any:
        """The script's reply; None if Redis cannot be asked."""
        storing = self._cache.storing
        if not storing.may_ask():
            return None
        try:
            reply = await self._cache.ask_by(link, "EVAL", script, len(keys), *keys, *arguments)
        except ResponseError as error:
            storing.failed(error)
            return None
        except RedisError:
            return None
        storing.answered()
        return reply


def version_key(name: str) -> str:
    """Where the token of a prefix, or of a function, is kept."""
    return f"{name}:version"


def new_token() -> str:
    """Never the same twice."""
    return secrets.token_hex(8)
