"""Whether the service grows: half an hour of a pod's usual traffic (10 requests a second), as fast as it goes.

Prints memory, files and connections of the worker after warm-up and in the end; the exit status is 1 if they grew.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import httpx
import psutil

from tests.app.servers import PostgresServer, RedisServer
from tests.app.service import RunningService, description

REQUESTS = 10 * 30 * 60
WARM_UP = 2000
POOL = 4  # connections (`Settings.database_pool_size`)
GROWTH = 4 * 1024 * 1024  # bytes; what an allocator's arenas come to, not what a leak of 1 kB a request does


def load(client: httpx.Client, card: str, count: int) -> None:
    """`count` requests of all kinds: cached, rendered, stored, refused and lost."""
    for number in range(count):
        match number % 8:
            case 0:
                client.post("/cards", json=description()).raise_for_status()
            case 1:
                client.get(f"/cards/{card}", params={"output": "html"}).raise_for_status()
            case 2:
                client.get("/cards", params={"limit": 10}).raise_for_status()
            case 3:
                client.post(f"/cards/{card}/files", params={"name": "a"}, content=b"x" * 1000).raise_for_status()
            case 4:
                client.post("/cards", content=b"{")
            case 5:
                client.get(f"/nothing/{number}")
            case _:
                client.get(f"/cards/{card}").raise_for_status()


def held(worker: psutil.Process) -> tuple[int, int, int]:
    """Bytes, files and connections."""
    return worker.memory_info().rss, worker.num_fds(), len(worker.net_connections())


def main() -> int:
    """Runs it."""
    postgres, redis = PostgresServer(), RedisServer()
    with tempfile.TemporaryDirectory() as folder:
        service = RunningService(Path(folder), postgres.create_database("modelcard"), redis.url, workers=1).start()
        try:
            client = service.user("alice")
            card = client.post("/cards", json=description()).json()["id"]
            (worker,) = service.workers()
            load(client, card, WARM_UP)
            before = held(worker)
            for part in range(10):
                load(client, card, REQUESTS // 10)
                print(f"{(part + 1) * REQUESTS // 10:6d} requests, {worker.memory_info().rss / 1e6:.1f} MB", flush=True)
            after = held(worker)
        finally:
            service.kill()
            redis.close()
            postgres.close()
    for name, first, last in zip(("bytes", "files", "connections"), before, after, strict=True):
        print(f"{name}: {first} after warm-up, {last} in the end, ratio {last / first:.3f}")
    # The pool may have opened the rest of its connections meanwhile.
    grown = [last - first for first, last in zip(before, after, strict=True)]
    return int(grown[0] > GROWTH or max(grown[1:]) > POOL)


if __name__ == "__main__":
    sys.exit(main())
