"""One check: looked at once for all who ask, remembered for a moment, and never waited for too long."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import re
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
Status = Literal["healthy", "degraded", "unhealthy"]
Found = tuple[Status, dict[str, Any]]

# All in seconds.
TIMEOUT = 2.0  # of a check; the readiness probe waits 3 s (infra/components/app.py)
REMEMBERED = 2.0  # what is healthy
REMEMBERED_PROBLEM = 1.0  # what is not, so that the service is ready again soon after its database


@dataclass(frozen=True)
class HealthStatus:
    """What one check saw: `timestamp` is when (UTC), `details` is fit for JSON and holds no secrets."""

    service: str
    status: Status
    response_time_ms: float
    details: dict[str, Any] = field(default_factory=dict)
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))

    def to_dict(self) -> dict[str, Any]:
        """As JSON; the time in ISO 8601."""
        return {
            "service": self.service,
            "status": self.status,
            "response_time_ms": round(self.response_time_ms, 3),
            "details": self.details,
            "timestamp": self.timestamp.isoformat(),
        }


class Check:
    """One look at a time, shared by all who ask while it lasts and, for a while, by those who ask after it.

    `look` returns what it found or raises, which is `at_worst`; so is no answer within `timeout` seconds. What took
    longer than `slow` seconds is degraded. What is found is remembered for `healthy_for` seconds, or `problem_for`.
    """

    def __init__(  # noqa: PLR0913 - what tells one check from another
        self,
        service: str,
        look: Callable[[], Coroutine[Any, Any, Found]],
        *,
        clock: Callable[[], float] = time.monotonic,
        timeout: float = TIMEOUT,
        healthy_for: float = REMEMBERED,
        problem_for: float = REMEMBERED_PROBLEM,
        slow: float = math.inf,
        at_worst: Status = "unhealthy",
    ) -> None:
        self.service = service
        self._look = look
        self._clock = clock
        self._timeout = timeout
        self._healthy_for = healthy_for
        self._problem_for = problem_for
        self._slow = slow
        self._at_worst: Status = at_worst
        self._seen: HealthStatus | None = None
        self._until = -math.inf
        self._looking: asyncio.Task[None] | None = None
        self._work: asyncio.Task[Found] | None = None

    async def __call__(self, *, within: float | None = None) -> HealthStatus:
        """What was found, or what was found before if it takes longer than `within` seconds. Never raises."""
        if self._clock() >= self._until:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._renew())
            await asyncio.wait({self._looking}, timeout=within)
        if self._seen is None:
            waited = self._timeout if within is None else within
            return HealthStatus(self.service, self._at_worst, waited * 1000, {"error": no_answer(waited)})
        return self._seen

    async def aclose(self) -> None:
        """Ends a look that is under way; waits a second for it."""
        tasks = [task for task in (self._looking, self._work) if task is not None and task.cancel()]
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    async def _renew(self) -> None:
        start = time.perf_counter()
        status, details = await self._found()
        took = since(start)
        if status == "healthy" and took > self._slow * 1000:
            status = "degraded"
        self._seen = HealthStatus(self.service, status, took, details)
        self._until = self._clock() + (self._healthy_for if status == "healthy" else self._problem_for)

    async def _found(self) -> Found:
        # What was cancelled and has not ended yet is waited for once more, not done twice.
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._look())
            self._work.add_done_callback(lambda work: work.cancelled() or work.exception())
        work = self._work
        await asyncio.wait({work}, timeout=self._timeout)
        if not work.done():
            work.cancel()
            return self._at_worst, {"error": no_answer(self._timeout)}
        try:
            return work.result()
        except asyncio.CancelledError:  # by itself, or a moment ago by the look before this one
            return self._at_worst, {"error": no_answer(self._timeout)}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what was found
            return self._at_worst, {"error": one_line(error)}


class InThread(Generic[T]):
    """Work that blocks, in a thread of its own, which does not keep the process from ending.

    A thread cannot be stopped: who asks while it hangs waits for the same one.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._running: concurrent.futures.Future[T] | None = None

    async def __call__(self) -> T:
        """Starts it, or joins what is under way; raises what it raises."""
        if self._running is None or self._running.done():
            self._running = concurrent.futures.Future()
            self._running.set_running_or_notify_cancel()  # whoever stops waiting for it does not cancel it
            threading.Thread(target=self._run, args=(self._running,), name="health", daemon=True).start()
        return await asyncio.wrap_future(self._running)

    def _run(self, future: concurrent.futures.Future[T]) -> None:
        try:
            future.set_result(self._work())
        except BaseException as error:  # noqa: BLE001 - for who waits
            future.set_exception(error)


def no_answer(within: float) -> str:
    """What is said of something that hangs; seconds."""
    return f"no answer within {within:g} s"


def since(start: float) -> float:
    """Milliseconds since `start`, a reading of `time.perf_counter`."""
    return round((time.perf_counter() - start) * 1000, 3)


def shown(url: str) -> str:
    """Without what may be secret: credentials and the query."""
    return _CREDENTIALS.sub("//", url).partition("?")[0]


def one_line(error: BaseException) -> str:
    """The first line of what an error says, without passwords, of at most 200 characters."""
    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return _PASSWORD.sub(r"\1=***", _CREDENTIALS.sub("//***@", said))[:200]


_CREDENTIALS = re.compile(r"//[^\s'\"]*@")
_PASSWORD = re.compile(r"(?i)\b(\w*(?:password|passwd|secret|token|key))\s*=\s*(?:'[^']*'|[^\s&]+)")
