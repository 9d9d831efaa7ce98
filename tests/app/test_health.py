"""Health as probes see it: quick, cheap and honest, whatever hangs."""

import asyncio
import json
import threading
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from modelcard_generator.monitoring import health
from modelcard_generator.monitoring.check import Check, HealthStatus, one_line
from modelcard_generator.monitoring.health import HealthChecker

GiB = 1024**3


class Usage(NamedTuple):
    total: int
    used: int
    free: int


class HostMemory(NamedTuple):
    total: int
    available: int


class PoolBusy(Exception):  # noqa: N818 - its name is what counts
    """As the database's."""


async def connections():
    return 3


async def redis_answers():
    return {"memory_used_bytes": 1}


def raising(error):
    async def check():
        raise error

    return check


async def never():
    await asyncio.Event().wait()


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self):
        return self.now


def checker(tmp_path, **parts):
    """With everything well, but for `parts`."""
    well = {
        "database": connections,
        "redis": redis_answers,
        "external_apis": [],
        "paths": {"uploads": tmp_path},
        "templates": lambda: None,
        "disk_usage": lambda path: Usage(100 * GiB, 50 * GiB, 50 * GiB),
    }
    if "cgroup" not in parts:
        parts["cgroup"] = cgroup(tmp_path, used=GiB // 4, limit=GiB)
    return HealthChecker(**well | parts)


def run(checker, *questions):
    """The answers to `questions` (names of methods), one after another."""

    async def ask():
        try:
            return [await getattr(checker, question)() for question in questions]
        finally:
            await checker.aclose()

    return asyncio.run(ask())


def check(checker, name):
    """The one check's status."""

    async def ask():
        try:
            return await checker.checks[name]()
        finally:
            await checker.aclose()

    return asyncio.run(ask())


def cgroup(tmp_path, *, used, limit, inactive_file=0, active_file=0, version=2):
    """A folder as the kernel shows it to a container."""
    root = tmp_path / "cgroup"
    folder, names, prefix = {
        1: (root / "memory", ("memory.usage_in_bytes", "memory.limit_in_bytes"), "total_"),
        2: (root, ("memory.current", "memory.max"), ""),
    }[version]
    folder.mkdir(parents=True)
    for name, content in zip(names, (used, limit), strict=True):
        (folder / name).write_text(f"{content}\n")
    (folder / "memory.stat").write_text(
        f"anon 1\n{prefix}inactive_file {inactive_file}\n{prefix}active_file {active_file}\n"
    )
    return root


@asynccontextmanager
async def server(answer):
    """A real socket on loopback; `answer` gets reader and writer. Gives its URL."""
    writers = []

    async def serve(reader, writer):
        writers.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        await answer(reader, writer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for writer in writers:
            writer.close()


def answering(status):
    async def answer(reader, writer):
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    return answer


async def silent(reader, writer):
    await reader.read()


async def dribbling(reader, writer):
    """Always a byte more, so that no time-out of a single read strikes."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


# The report


def test_all_is_well(tmp_path):
    statuses, live, ready = run(checker(tmp_path), "check_all", "live", "ready")
    assert list(statuses) == ["database", "redis", "external_apis", "disk_space", "memory", "templates"]
    assert {status.status for status in statuses.values()} == {"healthy"}
    assert all(
        isinstance(status, HealthStatus) and status.timestamp.utcoffset() == timedelta(0)
        for status in statuses.values()
    )
    assert (live.live, live.ready, live.status) == (True, True, "healthy")
    assert (ready.live, ready.ready, set(ready.checks)) == (True, True, {"database", "templates"})


def test_a_report_is_json(tmp_path):
    (report,) = run(checker(tmp_path), "live")
    told = json.loads(json.dumps(report.to_dict()))
    assert set(told) == {"status", "version", "checks"}
    assert set(told["checks"]["database"]) == {"service", "status", "response_time_ms", "details", "timestamp"}
    assert told["checks"]["database"]["details"] == {"active_connections": 3, "connection_test": "passed"}


@pytest.mark.parametrize(
    ("parts", "live", "ready", "status"),
    [
        ({"database": raising(OSError("gone"))}, True, False, "unhealthy"),
        ({"database": raising(PoolBusy("busy"))}, True, True, "degraded"),
        ({"redis": raising(OSError("gone"))}, True, True, "degraded"),
        ({"external_apis": ["http://127.0.0.1:1/"]}, True, True, "degraded"),
        ({"disk_usage": lambda path: Usage(100, 99, 1)}, True, True, "unhealthy"),
        ({"templates": lambda: 1 / 0}, True, False, "unhealthy"),
        ({"serving": lambda: False}, True, False, "unhealthy"),
    ],
)
def test_what_each_failure_means(tmp_path, parts, live, ready, status):
    report, readiness = run(checker(tmp_path, **parts), "live", "ready")
    assert (report.live, report.ready, readiness.ready, report.status) == (live, ready, ready, status)


def test_only_memory_asks_for_a_restart(tmp_path):
    (report,) = run(checker(tmp_path, cgroup=cgroup(tmp_path, used=98 * GiB // 100, limit=GiB)), "live")
    assert (report.live, report.ready, report.status) == (False, True, "unhealthy")


def test_serving_is_asked_every_time(tmp_path):
    answers = iter([True, False])
    first, second = run(checker(tmp_path, serving=lambda: next(answers)), "ready", "ready")
    assert (first.ready, second.ready, second.checks["serving"].status) == (True, False, "unhealthy")


def test_probes_are_answered_in_time_though_everything_hangs(tmp_path):
    hung = threading.Event()
    hanging = checker(
        tmp_path,
        database=never,
        redis=never,
        templates=hung.wait,
        disk_usage=lambda path: hung.wait(),
    )

    async def ask():
        async with server(silent) as url:
            hanging._external_apis = [url]
            start = time.perf_counter()

            async def timed(question):
                return await question(), time.perf_counter() - start

            try:
                return await asyncio.gather(timed(hanging.ready), timed(hanging.live))
            finally:
                await hanging.aclose()

    try:
        (ready, ready_after), (live, live_after) = asyncio.run(ask())
    finally:
        hung.set()
    assert (ready_after < 3, live_after < 5) == (True, True)  # what the probes wait
    assert (ready.ready, live.live, live.checks["external_apis"].status) == (False, True, "degraded")
    assert {name: status.details["error"] for name, status in live.checks.items() if name != "memory"} == {
        "database": "no answer within 2 s",
        "redis": "no answer within 2 s",
        "templates": "no answer within 2 s",
        "disk_space": "no answer within 2 s",
        "external_apis": "no answer within 3 s",
    }


# What asking costs


def test_any_number_of_probes_costs_one_look(tmp_path):
    looks = []

    async def slow():
        looks.append(1)
        await asyncio.sleep(0.05)
        return 3

    async def ask():
        checking = checker(tmp_path, database=slow, clock=Clock())
        found = await asyncio.gather(*(checking.check_all() for _ in range(500)))
        found += await asyncio.gather(*(checking.check_all() for _ in range(500)))
        await checking.aclose()
        return found

    found = asyncio.run(ask())
    assert (len(looks), len({each["database"].timestamp for each in found})) == (1, 1)


@pytest.mark.parametrize(
    ("failing", "remembered"),
    [({}, 2.0), ({"database": raising(OSError("gone")), "redis": raising(OSError("gone"))}, 1.0)],
)
def test_what_was_seen_is_remembered_for_a_moment(tmp_path, failing, remembered):
    clock = Clock()
    checking = checker(tmp_path, clock=clock, **failing)

    async def ask():
        first = await checking.ready()
        clock.now += remembered - 0.01
        second = await checking.ready()
        clock.now += 0.02
        third = await checking.ready()
        await checking.aclose()
        return [each.checks["database"].timestamp for each in (first, second, third)]

    first, second, third = asyncio.run(ask())
    assert first == second < third


def test_the_service_is_ready_again_a_second_after_its_database(tmp_path):
    clock = Clock()
    answers = [raising(OSError("gone")), connections]

    async def database():
        return await answers.pop(0)()

    checking = checker(tmp_path, clock=clock, database=database)

    async def ask():
        gone = await checking.ready()
        clock.now += 1
        back = await checking.ready()
        await checking.aclose()
        return gone.ready, back.ready

    assert asyncio.run(ask()) == (False, True)


def test_a_client_that_leaves_does_not_stop_the_look_of_others(tmp_path):
    async def slow():
        await asyncio.sleep(0.05)
        return 3

    async def ask():
        checking = checker(tmp_path, database=slow)
        leaving = asyncio.create_task(checking.ready())
        staying = asyncio.create_task(checking.ready())
        await asyncio.sleep(0.01)
        leaving.cancel()
        report = await staying
        await checking.aclose()
        return report

    assert asyncio.run(ask()).ready


def test_a_look_that_hangs_is_ended_before_the_next():
    under_way, most = 0, 0

    async def look():
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            await never()
        finally:
            under_way -= 1

    async def ask():
        check = Check("x", look, timeout=0.02, problem_for=0)
        found = [await check() for _ in range(4)]
        await check.aclose()
        return found

    found = asyncio.run(ask())
    assert ({each.details["error"] for each in found}, most, under_way) == ({"no answer within 0.02 s"}, 1, 0)


def test_after_a_look_that_hung_the_next_is_a_fresh_one():
    looks = [never, raising(OSError("gone"))]

    async def look():
        return await looks.pop(0)()

    async def ask():
        check = Check("x", look, timeout=0.02, problem_for=0)
        return [(await check()).details["error"] for _ in range(2)]

    assert asyncio.run(ask()) == ["no answer within 0.02 s", "gone"]


def test_a_look_that_cannot_be_ended_is_not_begun_twice():
    looks = []

    async def stubborn():
        looks.append(1)
        while not done.is_set():
            try:
                await done.wait()
            except asyncio.CancelledError:
                continue
        return "healthy", {}

    async def ask():
        nonlocal done
        done = asyncio.Event()
        check = Check("x", stubborn, timeout=0.02, problem_for=0)
        hung, begun = [await check() for _ in range(3)], len(looks)
        done.set()
        return begun, {each.status for each in hung}, (await check()).status

    done = None
    assert asyncio.run(ask()) == (1, {"unhealthy"}, "healthy")


def test_a_thread_that_hangs_is_not_joined_by_a_second(tmp_path):
    hung, looks = threading.Event(), []

    def templates():
        looks.append(1)
        hung.wait()

    async def ask():
        checking = checker(tmp_path, templates=templates)
        check = checking.checks["templates"] = Check(
            "templates", checking._check_templates, timeout=0.02, problem_for=0
        )
        statuses, begun = {(await check()).status for _ in range(3)}, len(looks)
        hung.set()
        back = await check()
        await checking.aclose()
        return begun, statuses, back.status

    assert asyncio.run(ask()) == (1, {"unhealthy"}, "healthy")


def test_healthy_templates_are_looked_at_once_an_hour(tmp_path):
    clock, looks = Clock(), []
    checking = checker(tmp_path, clock=clock, templates=lambda: looks.append(threading.current_thread().name))

    async def ask():
        for _ in range(5):
            await checking.ready()
            clock.now += 900
        await checking.aclose()

    asyncio.run(ask())
    assert looks == ["health", "health"]


def test_broken_templates_are_looked_at_again(tmp_path):
    clock, answers = Clock(), [KeyError("model_card.md"), None]

    def templates():
        answer = answers.pop(0)
        if answer:
            raise answer

    checking = checker(tmp_path, clock=clock, templates=templates)

    async def ask():
        broken = await checking.checks["templates"]()
        clock.now += 1
        mended = await checking.checks["templates"]()
        await checking.aclose()
        return broken.status, mended.status

    assert asyncio.run(ask()) == ("unhealthy", "healthy")


# Single checks


@pytest.mark.parametrize("name", ["database", "redis"])
def test_what_answers_slowly_is_degraded(tmp_path, name):
    async def slow():
        await asyncio.sleep(0.11)
        return {}

    found = check(checker(tmp_path, **{name: slow}), name)
    assert (found.status, found.response_time_ms > 100) == ("degraded", True)


def test_redis_tells_how_it_is(tmp_path):
    assert check(checker(tmp_path), "redis").details == {"memory_used_bytes": 1}


def test_external_apis_are_asked_side_by_side_and_only_degrade(tmp_path, monkeypatch):
    monkeypatch.setattr(health, "EXTERNAL_TIMEOUT", 0.3)

    async def ask():
        async with (
            server(answering(200)) as well,
            server(answering(503)) as ill,
            server(silent) as mute,
            server(dribbling) as endless,
        ):
            urls = [f"{well}/a", f"{ill}/b?token=hunter2", mute, endless, "http://127.0.0.1:1/", "nonsense"]
            checking = checker(tmp_path, external_apis=urls)
            start = time.perf_counter()
            found = await checking.checks["external_apis"]()
            took = time.perf_counter() - start
            await checking.aclose()
            return found, took

    found, took = asyncio.run(ask())
    well, ill, mute, endless, closed, nonsense = found.details.values()
    assert (found.status, took * 1000 < mute["response_time_ms"] + endless["response_time_ms"]) == ("degraded", True)
    assert (well["status_code"], ill["status_code"]) == (200, 503)
    assert mute["error"] == endless["error"] == "no answer within 0.3 s"
    assert (closed["error"], "nonsense" in found.details, bool(nonsense["error"])) == (
        "All connection attempts failed",
        True,
        True,
    )
    assert "hunter2" not in str(found)
    assert well["response_time_ms"] < mute["response_time_ms"]


def test_credentials_of_an_external_api_reach_only_the_api(tmp_path, caplog):
    asked = []

    async def answer(reader, writer):
        await answering(200)(reader, writer)

    async def serve(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        await answer(reader, writer)

    async def ask():
        listening = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        checking = checker(tmp_path, external_apis=[f"http://me:hunter2@127.0.0.1:{port}/health"])
        found = await checking.checks["external_apis"]()
        await checking.aclose()
        listening.close()
        return found

    with caplog.at_level("DEBUG"):
        found = asyncio.run(ask())
    assert (found.status, b"Authorization: Basic bWU6aHVudGVyMg==" in asked[0]) == ("healthy", True)
    assert "hunter2" not in str(found) + caplog.text


def test_external_apis_are_asked_once_a_minute(tmp_path):
    clock, asked = Clock(), []

    async def answer(reader, writer):
        asked.append(1)
        await answering(503)(reader, writer)

    async def ask():
        async with server(answer) as url:
            checking = checker(tmp_path, clock=clock, external_apis=[url])
            for _ in range(7):
                await checking.live()
                clock.now += 10
            await checking.aclose()

    asyncio.run(ask())
    assert len(asked) == 2


def test_readiness_does_not_ask_external_apis(tmp_path):
    asked = []

    async def answer(reader, writer):
        asked.append(1)

    async def ask():
        async with server(answer) as url:
            checking = checker(tmp_path, external_apis=[url])
            await checking.ready()
            assert checking.checks["external_apis"]._looking is None
            await checking.aclose()

    asyncio.run(ask())
    assert asked == []


@pytest.mark.parametrize(
    ("free", "status"),
    [(50, "healthy"), (10, "healthy"), (9.9, "degraded"), (2, "degraded"), (1.9, "unhealthy"), (0, "unhealthy")],
)
def test_a_disk_that_fills_up(tmp_path, free, status):
    usage = Usage(1000 * GiB, int((1000 - 10 * free) * GiB), int(10 * free * GiB))
    found = check(checker(tmp_path, disk_usage=lambda path: usage), "disk_space")
    assert (found.status, found.details["uploads"]["free_percent"]) == (status, free)


@pytest.mark.parametrize(
    ("path", "error"), [("/proc", None), ("/nowhere/at/all", "No such file or directory"), (__file__, None)]
)
def test_a_folder_that_cannot_be_written(tmp_path, path, error):
    found = check(checker(tmp_path, paths={"logs": tmp_path, "uploads": Path(path)}), "disk_space")
    assert (found.status, "error" in found.details["logs"]) == ("unhealthy", False)
    assert found.details["uploads"]["error"].startswith(f"cannot be written: {error or ''}")


def test_looking_at_a_disk_leaves_nothing_on_it(tmp_path):
    folder = tmp_path / "uploads"
    folder.mkdir()
    real = check(checker(tmp_path, paths={"uploads": folder}, disk_usage=health.shutil.disk_usage), "disk_space")
    assert (list(folder.iterdir()), 0 <= real.details["uploads"]["free_percent"] <= 100) == ([], True)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("memory", "status", "percent"),
    [
        ({"used": 90}, "healthy", 90),
        ({"used": 91}, "degraded", 91),
        ({"used": 98}, "unhealthy", 98),
        ({"used": 98, "inactive_file": 50}, "healthy", 48),
        ({"used": 98, "active_file": 50}, "degraded", 98),  # the kernel drops it before it kills
    ],
)
def test_memory_against_the_containers_limit(tmp_path, version, memory, status, percent):
    scaled = {name: each * GiB // 100 for name, each in memory.items()}
    folder = cgroup(tmp_path, limit=GiB, version=version, **scaled)
    found = check(checker(tmp_path, cgroup=folder), "memory")
    assert (found.status, found.details["used_percent"]) == (status, pytest.approx(percent, abs=0.1))
    assert (found.details["source"], found.details["limit_bytes"]) == (f"cgroup v{version}", GiB)


@pytest.mark.parametrize("limit", ["max", 9223372036854771712])
def test_without_a_limit_the_hosts_memory_counts(tmp_path, limit):
    found = check(checker(tmp_path, cgroup=cgroup(tmp_path, used=GiB, limit=limit)), "memory")
    assert (found.details["source"], found.details["limit_bytes"]) == ("host", psutil.virtual_memory().total)


def test_a_full_host_is_no_reason_to_restart_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: HostMemory(GiB, GiB // 100))
    (report,) = run(checker(tmp_path, cgroup=tmp_path / "nothing"), "live")
    assert (report.live, report.checks["memory"].status) == (True, "degraded")


# What errors say


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("connection refused\n\tIs the server running?", "connection refused"),
        ("cannot reach postgresql://app:hunter2@db:5432/cards", "cannot reach postgresql://***@db:5432/cards"),
        ("cannot reach redis://:p@ss/word@cache:6379", "cannot reach redis://***@cache:6379"),
        ("host=db password=hunter2 user=app", "host=db password=*** user=app"),
        ("host=db password='hunter 2' user=app", "host=db password=*** user=app"),
        ("GET https://x/?api_key=hunter2&a=1", "GET https://x/?api_key=***&a=1"),
        ("", "OSError"),
        ("x" * 500, "x" * 200),
    ],
)
def test_an_error_is_one_short_line_without_secrets(said, shown):
    assert one_line(OSError(said)) == shown


def test_an_error_in_a_check_names_no_password(tmp_path):
    found = check(
        checker(tmp_path, database=raising(OSError("postgresql://app:hunter2@db/cards: no\nmore"))), "database"
    )
    assert (found.status, found.details) == ("unhealthy", {"error": "postgresql://***@db/cards: no"})
