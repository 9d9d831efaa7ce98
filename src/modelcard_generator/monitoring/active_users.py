"""How many people used the service in the last five minutes, over all its replicas."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from modelcard_generator.cache.redis_cache import RedisCache
from modelcard_generator.monitoring import metrics

WINDOW = 300.0  # s; the metric's "last 5 minutes"
KEY = "mcg:active_users"

# A sorted set: who, by when they were last seen, in seconds of Redis' clock. It is the one clock that all replicas
# share: each says how long ago it saw somebody, which needs no more than a clock that runs at the right speed.
# KEYS: the set. ARGV: the window in s, then age in s and member by turns. Returns how many were seen in the window.
RECORD = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'GT', string.format('%.6f', now - ARGV[i]), ARGV[i + 1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now - ARGV[1]))
redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[1]))
return redis.call('ZCARD', KEYS[1])
"""


class ActiveUsers:
    """Notes who is seen, and every `interval` seconds tells Redis and sets `metrics.active_users`.

    `clock` must never go back; seconds. What Redis keeps is a hash of each user's name.
    """

    def __init__(
        self, cache: RedisCache, *, interval: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cache = cache
        self._interval = interval
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def seen(self, user_id: str) -> None:
        """Somebody made a request."""
        self._seen[user_id] = self._clock()

    async def count(self) -> float:
        """Tells Redis who was seen, and returns how many were, by all replicas; NaN if Redis does not answer.

        Nobody is forgotten then: the next call tells. Sets the metric.
        """
        seen, self._seen = self._seen, {}
        now = self._clock()
        # A copy: another thread may still be writing to it.
        recent = {user: at for user, at in tuple(seen.items()) if now - at < WINDOW}
        members = [part for user, at in recent.items() for part in (f"{now - at:.6f}", member(user))]
        try:
            number = float(await self._cache.ask("EVAL", RECORD, 1, KEY, str(WINDOW), *members))
        except BaseException as error:
            self._seen = recent | self._seen
            if not isinstance(error, RedisError):
                raise
            number = math.nan
        metrics.active_users.set(number)
        return number

    async def start(self) -> None:
        """Begins to tell Redis, in a task of the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self.count()
            await asyncio.sleep(self._interval)

    async def aclose(self) -> None:
        """Tells Redis for the last time."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.count()


def member(user_id: str) -> bytes:
    """Of the sorted set: as long for everybody, and no name."""
    return hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).digest()[:16]
