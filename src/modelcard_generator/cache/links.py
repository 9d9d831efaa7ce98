"""How Redis is reached: `AsyncLink` from an event loop, `PlainLink` from threads, with the same methods.

Connections are redis-py's; its clients and their pools are left out, which cost as much as all the rest of a hit.
The coroutines of a `PlainLink` never suspend, so what is written once for both runs to its end in `finish`.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import redis
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from modelcard_generator.cache.outage import Outage

CONNECTIONS = 16  # at once, of one process: 64 workers stay far below Redis' maxclients of 10000
NOT_ASKED = "Redis did not answer a moment ago"

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, T]]


class Link(Protocol):
    """One process' way to Redis."""

    async def ask(self, *command: str | bytes | int) -> Any:
        """Redis' reply, bytes undecoded. Raises RedisError whatever went wrong, and at once during an outage.

        ResponseError is Redis' own refusal; any other begins an outage.
        """

    async def pause(self, seconds: float) -> None:
        """Lets others work."""

    async def once(self, key: Hashable, work: Work[T]) -> T:
        """The result of `work`, or its exception: of the one that is under way for `key`, if there is one."""

    def forget_work(self) -> None:
        """Nobody joins any more what is under way now."""


def connection_settings(url: str, authority_file: Path | None) -> dict[str, Any]:
    """For both. RESP2 has all that is needed, in a handshake less; nothing is tried twice unless it is said here."""
    tls = {"ssl_cert_reqs": "required", "ssl_check_hostname": True} if urlsplit(url).scheme == "rediss" else {}
    if tls and authority_file is not None:
        tls["ssl_ca_certs"] = str(authority_file)
    return {"protocol": 2, "driver_info": None, **tls}


class AsyncLink:
    """For the tasks of one event loop."""

    def __init__(self, url: str, authority_file: Path | None, timeout: float, outage: Outage) -> None:
        self.loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._outage = outage
        # The time limit is around the whole command instead: redis-py makes a task for each write that it limits.
        settings = connection_settings(url, authority_file)
        self._pool: Any = redis.asyncio.ConnectionPool.from_url(
            url, socket_timeout=None, socket_connect_timeout=timeout, **settings
        )
        self._idle: list[Any] = []
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def ask(self, *command: str | bytes | int) -> Any:
        """See `Link`."""
        # Room first: who has waited for it learns that the others failed.
        async with self._room:
            if not self._outage.may_ask():
                raise RedisError(NOT_ASKED)
            try:
                reply = await self.talk(*command)
            except ResponseError:
                raise
            except RedisError as error:
                self._outage.failed(error)
                raise
            self._outage.answered()
            return reply

    async def talk(self, *command: str | bytes | int) -> Any:
        """Redis' reply, asked in any case. Raises RedisError after the timeout at the latest."""
        try:
            async with asyncio.timeout(self._timeout):
                connection = self._idle.pop() if self._idle else self._pool.make_connection()
                try:
                    # Whoever has something to read now was closed by Redis, or told what nobody asked.
                    if connection.is_connected and await connection.can_read():
                        await connection.disconnect(nowait=True)
                    await connection.connect()
                    await connection.send_command(*command)
                    reply = await connection.read_response()
                except ResponseError:
                    self._idle.append(connection)
                    raise
                except BaseException:
                    # The answer may still come, and must not be taken for another's.
                    await connection.disconnect(nowait=True)
                    raise
                self._idle.append(connection)
                return reply
        except RedisError:
            raise
        except TimeoutError:
            raise RedisTimeoutError(f"no answer within {self._timeout} s") from None
        except Exception as error:  # what is no Redis at all fails in many ways, such as ValueError
            raise RedisConnectionError(f"{type(error).__name__}: {error}") from error

    async def pause(self, seconds: float) -> None:
        """See `Link`."""
        await asyncio.sleep(seconds)

    async def once(self, key: Hashable, work: Work[T]) -> T:
        """See `Link`."""
        task = self._under_way.get(key)
        if task is None:
            # A task of its own: who gives up waiting does not take the work from the others.
            task = self._under_way[key] = asyncio.create_task(work())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    def _done(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._under_way.get(key) is task:
            del self._under_way[key]

    def forget_work(self) -> None:
        """See `Link`."""
        self._under_way.clear()

    async def aclose(self) -> None:
        """Stops the work that is under way and closes the connections."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._idle:
            await self._idle.pop().disconnect(nowait=True)


class PlainLink:
    """For the threads of one process."""

    def __init__(self, url: str, authority_file: Path | None, timeout: float, outage: Outage) -> None:
        self.process = os.getpid()
        self._timeout = timeout
        self._outage = outage
        settings = connection_settings(url, authority_file)
        self._pool: Any = redis.ConnectionPool.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, **settings
        )
        self._idle: list[Any] = []
        self._room = threading.Semaphore(CONNECTIONS)
        self._under_way: dict[Hashable, Future[Any]] = {}
        self._lock = threading.Lock()

    async def ask(self, *command: str | bytes | int) -> Any:
        """See `Link`."""
        with self._room:
            if not self._outage.may_ask():
                raise RedisError(NOT_ASKED)
            try:
                reply = self._talk(*command)
            except ResponseError:
                raise
            except RedisError as error:
                self._outage.failed(error)
                raise
            self._outage.answered()
            return reply

    def _talk(self, *command: str | bytes | int) -> Any:
        connection = self._free_connection()
        try:
            if connection.is_connected and _is_stale(connection):
                connection.disconnect()
            connection.connect()
            connection.send_command(*command)
            reply = connection.read_response()
        except ResponseError:
            self._idle.append(connection)
            raise
        except BaseException as error:
            connection.disconnect()
            if isinstance(error, RedisError) or not isinstance(error, Exception):
                raise
            raise RedisConnectionError(f"{type(error).__name__}: {error}") from error
        self._idle.append(connection)
        return reply

    def _free_connection(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            return self._pool.make_connection()

    async def pause(self, seconds: float) -> None:
        """See `Link`."""
        time.sleep(seconds)

    async def once(self, key: Hashable, work: Work[T]) -> T:
        """See `Link`."""
        with self._lock:
            joined: Future[T] | None = self._under_way.get(key)
            if joined is None:
                own: Future[T] = Future()
                self._under_way[key] = own
        if joined is not None:
            return joined.result()
        try:
            result = await work()
        except BaseException as error:
            self._done(key, own)
            own.set_exception(error)
            raise
        self._done(key, own)
        own.set_result(result)
        return result

    def _done(self, key: Hashable, work: Future[Any]) -> None:
        with self._lock:
            if self._under_way.get(key) is work:
                del self._under_way[key]

    def forget_work(self) -> None:
        """See `Link`."""
        with self._lock:
            self._under_way.clear()

    def close(self) -> None:
        """Closes the connections."""
        while self._idle:
            self._idle.pop().disconnect()


def _is_stale(connection: Any) -> bool:
    try:
        return bool(connection.can_read())
    except RedisError:  # where an event loop's connection says True
        return True


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that never suspends. Raises RuntimeError if it does."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a plain function's cache has waited for an event loop")
