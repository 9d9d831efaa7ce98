"""Whether the service, and what it depends on, is well.

A probe costs nothing: however many ask at once or one after another, each check looks once, and what it saw is
remembered for a moment. No check waits longer than its time-out, and none is started beside one that still hangs.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from modelcard_generator import __version__
from modelcard_generator.monitoring.check import (
    Check,
    Found,
    HealthStatus,
    InThread,
    Status,
    no_answer,
    one_line,
    shown,
    since,
)
from modelcard_generator.monitoring.memory import CGROUP, of_cgroup, of_host

# All in seconds. The probes wait 3 s for /ready and 5 s for /health (infra/components/app.py).
EXTERNAL_TIMEOUT = 5.0  # of an external API
HEALTH_WITHIN = 3.0  # /health does not wait for external APIs that are slower
REMEMBERED_EXTERNAL = 60.0  # whatever it is: nobody wants to be asked by every probe of every pod
REMEMBERED_TEMPLATES = 3600.0  # healthy ones: they are part of the image
SLOW = 0.1  # the seed's "healthy if response_time < 100" milliseconds

DISK_DEGRADED, DISK_UNHEALTHY = 10.0, 2.0  # percent free; the first is the seed's alert LowDiskSpace
MEMORY_DEGRADED, MEMORY_UNHEALTHY = 90.0, 97.0  # percent used

REQUIRED = ("database", "templates")  # to serve a request
OPTIONAL = {"redis", "external_apis"}  # without them the service is slower or less complete, and serves


@dataclass(frozen=True, kw_only=True)
class Report:
    """What probes decide by: `live` is whether to leave this process alone, `ready` whether to send it requests."""

    live: bool
    ready: bool
    status: Status
    checks: Mapping[str, HealthStatus]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        checks = {name: status.to_dict() for name, status in self.checks.items()}
        return {"status": self.status, "version": __version__, "checks": checks}


class HealthChecker:
    """Looks after one process and what it depends on.

    `database` returns how many connections are active, or raises; an exception named `PoolBusy` says that there is a
    database and no connection to spare. `redis` returns details, or raises. `external_apis` are URLs. `paths` are the
    folders that are written to. `templates` renders them all, or raises; it may block. `serving` is whether there is
    another reason to send no requests here: the schema is not migrated yet, or the process is about to end.
    """

    def __init__(  # noqa: PLR0913 - what there is to look after
        self,
        *,
        database: Callable[[], Awaitable[int]],
        redis: Callable[[], Awaitable[Mapping[str, Any]]],
        external_apis: Sequence[str],
        paths: Mapping[str, Path],
        templates: Callable[[], Any],
        serving: Callable[[], bool] = lambda: True,
        disk_usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
        cgroup: Path = CGROUP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._redis = redis
        self._external_apis = external_apis
        self._paths = paths
        self._serving = serving
        self._disk_usage = disk_usage
        self._cgroup = cgroup
        self._templates = InThread(templates)
        self._disks = InThread(self._look_at_disks)
        self._client = httpx.AsyncClient(timeout=EXTERNAL_TIMEOUT)
        self.checks: dict[str, Check] = {
            "database": Check("database", self._check_database, clock=clock, slow=SLOW),
            "redis": Check("redis", self._check_redis, clock=clock, slow=SLOW),
            "external_apis": Check(
                "external_apis",
                self._check_external_apis,
                clock=clock,
                timeout=EXTERNAL_TIMEOUT + 1,
                healthy_for=REMEMBERED_EXTERNAL,
                problem_for=REMEMBERED_EXTERNAL,
                at_worst="degraded",
            ),
            "disk_space": Check("disk_space", self._check_disk_space, clock=clock),
            "memory": Check("memory", self._check_memory, clock=clock),
            "templates": Check("templates", self._check_templates, clock=clock, healthy_for=REMEMBERED_TEMPLATES),
        }

    async def check_all(self) -> dict[str, HealthStatus]:
        """All checks, side by side. Never raises; takes as long as the slowest, at most 6 s."""
        return await self._look(self.checks)

    async def live(self) -> Report:
        """The whole report, within 3 s."""
        return self._report(await self._look(self.checks, within=HEALTH_WITHIN))

    async def ready(self) -> Report:
        """A report on what requests cannot do without, within 2 s."""
        return self._report(await self._look(REQUIRED))

    async def aclose(self) -> None:
        """Ends what is under way."""
        await asyncio.gather(*(check.aclose() for check in self.checks.values()))
        await self._client.aclose()

    async def _look(self, names: Collection[str], *, within: float | None = None) -> dict[str, HealthStatus]:
        found = await asyncio.gather(*(self.checks[name](within=within) for name in names))
        return dict(zip(names, found, strict=True))

    def _report(self, checks: dict[str, HealthStatus]) -> Report:
        ready = all(checks[name].status != "unhealthy" for name in REQUIRED)
        if not self._serving():
            ready = False
            why = "no requests should come here: the schema is not migrated yet, or this process is about to end"
            checks["serving"] = HealthStatus("serving", "unhealthy", 0, {"error": why})
        # A restart brings back neither a database nor a disk; it does give back memory that leaked.
        live = "memory" not in checks or checks["memory"].status != "unhealthy"
        return Report(live=live, ready=ready, status=_overall(checks), checks=checks)

    async def _check_database(self) -> Found:
        try:
            active = await self._database()
        except Exception as error:
            if type(error).__name__ != "PoolBusy":
                raise
            return "degraded", {"error": one_line(error)}
        return "healthy", {"active_connections": active, "connection_test": "passed"}

    async def _check_redis(self) -> Found:
        return "healthy", dict(await self._redis())

    async def _check_external_apis(self) -> Found:
        answers = await asyncio.gather(*(self._ask(url) for url in self._external_apis))
        well = all(answer.get("status_code", 500) < 400 for answer in answers)
        return "healthy" if well else "degraded", dict(zip(map(shown, self._external_apis), answers, strict=True))

    async def _ask(self, address: str) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        start = time.perf_counter()
        try:
            url = httpx.URL(address)
            # Apart from the URL, which httpx logs.
            auth = httpx.BasicAuth(url.username, url.password) if url.userinfo else None
            async with (
                asyncio.timeout(EXTERNAL_TIMEOUT),
                self._client.stream("GET", url.copy_with(userinfo=b""), auth=auth) as response,
            ):
                answer["status_code"] = response.status_code
        except (TimeoutError, httpx.TimeoutException):
            answer["error"] = no_answer(EXTERNAL_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is theirs
            answer["error"] = one_line(error)
        return answer | {"response_time_ms": since(start)}

    async def _check_disk_space(self) -> Found:
        return await self._disks()

    def _look_at_disks(self) -> Found:
        found = {name: self._look_at_disk(path) for name, path in self._paths.items()}
        return _worst(status for status, _ in found.values()), {name: details for name, (_, details) in found.items()}

    def _look_at_disk(self, path: Path) -> Found:
        try:
            total, _, free = self._disk_usage(path)
            percent = 100 * free / total
            details = {"free_percent": round(percent, 1), "free_bytes": free, "total_bytes": total}
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            return "unhealthy", {"error": f"cannot be written: {error.strerror or one_line(error)}"}
        return _grade(100 - percent, degraded=100 - DISK_DEGRADED, unhealthy=100 - DISK_UNHEALTHY), details

    async def _check_memory(self) -> Found:
        memory = of_cgroup(self._cgroup) or of_host()
        percent = 100 * memory.used / memory.limit
        status = _grade(percent, degraded=MEMORY_DEGRADED, unhealthy=MEMORY_UNHEALTHY)
        if status == "unhealthy" and 100 * memory.lost / memory.limit <= MEMORY_UNHEALTHY:
            status = "degraded"
        return status, {
            "source": memory.source,
            "used_bytes": memory.used,
            "limit_bytes": memory.limit,
            "used_percent": round(percent, 1),
        }

    async def _check_templates(self) -> Found:
        found = await self._templates()
        return "healthy", dict(found) if isinstance(found, Mapping) else {}


def _grade(percent: float, *, degraded: float, unhealthy: float) -> Status:
    return "unhealthy" if percent > unhealthy else "degraded" if percent > degraded else "healthy"


def _worst(statuses: Iterable[Status]) -> Status:
    order: tuple[Status, ...] = ("healthy", "degraded", "unhealthy")
    return max(statuses, key=order.index, default="healthy")


def _overall(checks: Mapping[str, HealthStatus]) -> Status:
    return _worst(
        "degraded" if name in OPTIONAL and check.status == "unhealthy" else check.status
        for name, check in checks.items()
    )
