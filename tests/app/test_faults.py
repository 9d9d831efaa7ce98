"""What breaks around the service costs what depends on it, and nothing else."""

import concurrent.futures
import os
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.app.servers import PostgresServer, RedisServer, eventually
from tests.app.service import RunningService, description


@pytest.fixture
def start(tmp_path, postgres, database_url, cache_url):
    """Starts services of this test's own, and ends them with it."""
    running = []

    def starting(database=database_url, cache=cache_url, *, ready=True, **settings):
        service = RunningService(tmp_path / str(len(running)), database, cache, **settings)
        running.append(service)
        return service.start(ready=ready)

    yield starting
    for service in running:
        service.kill()


@pytest.fixture
def own_postgres():
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def own_redis():
    server = RedisServer()
    yield server
    server.close()


def check_of(service: RunningService, name: str) -> str:
    return httpx.get(f"{service.address}/health").json()["checks"][name]["status"]


def test_postgresql_killed_and_back(start, own_postgres, cache_url):
    service = start(own_postgres.create_database("modelcard"))
    alice = service.user("alice")
    card = alice.post("/cards", json=description()).json()["id"]
    processes = {worker.pid for worker in service.workers()}

    own_postgres.kill()
    eventually(lambda: not service.is_ready())
    refused = alice.post("/cards", json=description())
    health = httpx.get(f"{service.address}/health")
    own_postgres.start()
    back = time.monotonic()
    eventually(service.is_ready, within=5)
    eventually(
        lambda: alice.post("/cards", json=description()).status_code == 201, within=5 - (time.monotonic() - back)
    )

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert "postgres@" not in refused.text
    assert (health.status_code, health.json()["checks"]["database"]["status"]) == (200, "unhealthy")
    assert alice.get(f"/cards/{card}").status_code == 200
    assert {worker.pid for worker in service.workers()} == processes


def test_a_database_that_is_not_there_yet_is_waited_for(start, own_postgres):
    database = own_postgres.create_database("modelcard")
    own_postgres.kill()
    service = start(database, ready=False)
    assert not service.is_ready()

    own_postgres.start()

    eventually(service.is_ready, within=5)
    assert service.user("alice").post("/cards", json=description()).status_code == 201


def test_redis_killed_and_back(start, own_redis):
    service = start(cache=own_redis.url)
    alice = service.user("alice")
    card = alice.post("/cards", json=description()).json()["id"]

    own_redis.kill()
    without = [alice.get(f"/cards/{card}").status_code for _ in range(5)]
    eventually(lambda: check_of(service, "redis") != "healthy")
    ready = service.is_ready()
    own_redis.start()

    assert (without, ready) == ([200] * 5, True)
    eventually(lambda: check_of(service, "redis") == "healthy")
    before = service.metric("modelcard_cache_requests_total", result="hit")
    eventually(
        lambda: alice.get(f"/cards/{card}") and service.metric("modelcard_cache_requests_total", result="hit") > before
    )


def test_a_slow_external_service_degrades_and_delays_nothing(start):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service = start(external_apis=f'["http://127.0.0.1:{silent.getsockname()[1]}/health"]')
        eventually(lambda: check_of(service, "external_apis") == "degraded")
        began = time.monotonic()
        assert service.is_ready()
        assert time.monotonic() - began < 2


def test_a_killed_worker_is_replaced_and_its_counts_stay(start):
    service = start()
    alice = service.user("alice")
    for _ in range(20):
        alice.post("/cards", json=description())
    counted = service.metric("modelcard_cards_generated_total", status="success")
    victim = service.workers()[0]

    victim.kill()
    eventually(lambda: len({each.pid for each in service.workers()} - {victim.pid}) == 2)
    eventually(lambda: alice.get("/cards").status_code == 200)

    assert counted == 20
    assert service.metric("modelcard_cards_generated_total", status="success") == 20
    # Of the gauges, what the dead process held is gone: two workers, not three.
    eventually(lambda: service.metric("modelcard_database_pool_size") == 2 * 4)


def test_sigterm_under_load_loses_no_request(start):
    service = start()
    token = service.user("alice").headers["Authorization"].removeprefix("Bearer ")
    outcomes: list[object] = []
    running = threading.Barrier(9)

    def load() -> None:
        """Like nginx: keeps its connection until it is told to close it, then comes back no more."""
        running.wait()
        with service.client(token) as client:
            for _ in range(10_000):
                try:
                    answer = client.post("/cards", json=description())
                except httpx.HTTPError as error:
                    outcomes.append(repr(error))
                    return
                outcomes.append(answer.status_code)
                if answer.headers.get("connection") == "close":
                    return

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(load) for _ in range(8)]
        running.wait()
        eventually(lambda: len(outcomes) > 40)
        status = service.terminate()
        concurrent.futures.wait(clients)

    assert (set(outcomes), status) == ({201}, 0)
    assert len(outcomes) > 48


def test_who_is_connected_when_it_ends_is_still_answered_and_told_to_leave(start):
    service = start(drain=3, workers=1)
    with httpx.Client(base_url=service.address) as connected:
        connected.get("/openapi.json")
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: connected.get("/ready").status_code == 503)
        # A new connection each time: every answer said that the old one ends.
        last = connected.get("/openapi.json")
    assert (last.status_code, last.headers["connection"]) == (200, "close")
    assert service.process.wait(timeout=30) == 0


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(start):
    service = start()
    token = service.user("alice").headers["Authorization"]
    with socket.create_connection(("127.0.0.1", service.port)) as large:
        large.sendall(
            f"POST /cards HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 9999999\r\n\r\n".encode()
        )
        large.settimeout(5)
        answer = large.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 413")


def test_a_body_that_does_not_say_how_large_it_is_is_refused_as_it_comes(start):
    service = start()
    answer = service.user("alice").post("/cards", content=iter([b" " * 600_000] * 2))
    assert (answer.status_code, answer.json()["title"]) == (413, "Too large")


def test_full_disks_lose_neither_the_service_nor_a_record(start, tmp_path):
    service = start()
    alice = service.user("alice")
    # A limit of the file size is to the process what a full disk is, and needs no root.
    for worker in service.workers():
        worker.rlimit(psutil.RLIMIT_FSIZE, (64 * 1024, 64 * 1024))
    card = alice.post("/cards", json=description()).json()["id"]

    answer = alice.post(f"/cards/{card}/files", params={"name": "big"}, content=os.urandom(300_000))

    assert (answer.status_code, answer.json()["title"]) == (507, "Insufficient storage")
    assert [path for path in service.uploads.rglob("*") if path.is_file()] == []
    assert alice.get(f"/cards/{card}/files").json() == []


def test_a_log_folder_that_cannot_be_written_is_told_once_and_records_go_to_the_output(start):
    service = start(workers=1)
    alice = service.user("alice")
    for log in ("audit.log", "security.log"):
        path = service.logs / log
        path.unlink(missing_ok=True)
        path.symlink_to("/dev/full")

    for _ in range(3):
        assert alice.post("/cards", json=description()).status_code == 201

    lines = service.stdout.read_text().splitlines()
    assert len([line for line in lines if '"event_type":"card_generation"' in line]) == 3
    assert len([line for line in lines if not line.startswith("{")]) == 1
    assert service.metric("modelcard_log_records_lost_total", log="audit") == 3


def test_a_slow_upload_is_told_that_it_is_slow(start):
    service = start(request_timeout=1)
    token = service.user("alice").headers["Authorization"]
    with socket.create_connection(("127.0.0.1", service.port)) as slow:
        slow.sendall(
            f"POST /cards HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 9\r\n\r\n{{".encode()
        )
        slow.settimeout(10)
        answer = slow.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 408")


def test_a_file_that_is_larger_than_it_says_is_refused_and_nothing_is_left(start):
    service = start(upload_limit=100_000)
    alice = service.user("alice")
    card = alice.post("/cards", json=description()).json()["id"]

    answer = alice.post(f"/cards/{card}/files", params={"name": "a"}, content=iter([b"x" * 60_000] * 2))

    assert (answer.status_code, answer.json()["title"]) == (413, "Too large")
    assert [path for path in service.uploads.rglob("*") if path.is_file()] == []


def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_nothing(start):
    service = start()
    alice = service.user("alice")
    card = alice.post("/cards", json=description()).json()["id"]
    with socket.create_connection(("127.0.0.1", service.port)) as leaving:
        leaving.sendall(
            f"POST /cards/{card}/files?name=a HTTP/1.1\r\nHost: a\r\n"
            f"Authorization: {alice.headers['Authorization']}\r\nContent-Length: 9000000\r\n\r\n".encode()
            + b"x" * 2_000_000
        )
        eventually(lambda: list(service.uploads.rglob("*.partial")))
    eventually(lambda: not [path for path in service.uploads.rglob("*") if path.is_file()])
    assert alice.get(f"/cards/{card}/files").json() == []


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("MCG_WORKERS", "none", "MCG_WORKERS"),
        ("MCG_SECRETS_DIR", "/nowhere", "MCG_DATABASE_URL"),
        ("MCG_DRAIN", "-1", "MCG_DRAIN"),
    ],
)
def test_a_mistake_in_the_environment_ends_in_one_line(tmp_path, database_url, cache_url, variable, value, word):
    service = RunningService(tmp_path, database_url, cache_url)
    service.environment[variable] = value
    service.process = None
    with pytest.raises(httpx.ConnectError):
        service.start(ready=False).is_ready()
    assert service.process.wait() == 2
    assert word in service.stdout.read_text()
    assert "Traceback" not in service.stdout.read_text()


def test_a_port_that_is_taken_ends_in_one_line(tmp_path, database_url, cache_url):
    service = RunningService(tmp_path, database_url, cache_url)
    with socket.create_server(("127.0.0.1", service.port)):
        import subprocess
        import sys

        done = subprocess.run(
            [sys.executable, "-m", "modelcard_generator.api", "--port", str(service.port)],
            env=service.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"port {service.port}" in done.stderr


def test_nothing_grows_with_the_number_of_requests(start):
    service = start(workers=1)
    alice = service.user("alice")
    card = alice.post("/cards", json=description()).json()["id"]
    (worker,) = service.workers()

    def requests(count: int) -> None:
        for number in range(count):
            alice.get(f"/cards/{card}")
            if number % 5 == 0:
                alice.get(f"/cards/{card}", params={"output": "html"})
                alice.get(f"/nothing/{number}")
                alice.post("/cards", content=b"{")

    requests(400)
    before, memory = (worker.num_fds(), len(worker.net_connections())), worker.memory_info().rss
    requests(800)

    assert (worker.num_fds(), len(worker.net_connections())) == before
    assert worker.memory_info().rss - memory < 4 * 1024 * 1024


def test_the_supervisor_leaves_nothing_behind(start):
    service = start()
    temporary = Path(service.environment["TMPDIR"])
    assert service.terminate() == 0
    assert (list(temporary.iterdir()), service.process.returncode) == ([], 0)
    assert signal.SIGTERM
