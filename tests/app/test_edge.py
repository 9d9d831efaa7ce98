"""nginx, as declared, in front of an application whose pods come and go."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from infra.components import app, edge
from tests.app.servers import eventually, free_port
from tests.conftest import platform_of
from tests.system.nginx import nginx
from tests.system.pods import container_process


class Application(ThreadingHTTPServer):
    """Answers every second request; to the others it is a pod that has just ended, or one that says `refusal`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refusal: int | None = None
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                application.asked.append(self.command)
                status = application.refusal if len(application.asked) % 2 else 200
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def application() -> Iterator[Application]:
    application = Application()
    yield application
    application.shutdown()
    application.server_close()


@pytest.fixture
def client(application: Application) -> Iterator[httpx.Client]:
    front = free_port()
    here = {
        f"listen {edge.PORT}": f"listen 127.0.0.1:{front}",
        "127.0.0.1:8081": f"127.0.0.1:{free_port()}",
        f"{app.WORKLOAD.name}:{app.PORT}": f"127.0.0.1:{application.server_port}",
    }
    # pytest's own folder cannot be entered by nginx's workers.
    with tempfile.TemporaryDirectory(prefix="modelcard-edge-") as folder:
        Path(folder).chmod(0o755)
        server = container_process(platform_of("prod"), edge.WORKLOAD.name, Path(folder), replace=here)
        server.command[0] = str(nginx())
        server.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{front}") as client:
                eventually(lambda: client.get("/edge/ready").status_code == 200)
                yield client
        finally:
            server.kill()


def test_what_a_pod_does_not_answer_at_its_end_another_one_is_asked(application: Application, client: httpx.Client):
    assert [client.get("/cards").status_code for _ in range(20)] == [200] * 20
    assert len(application.asked) == 40


def test_nothing_is_done_twice(application: Application, client: httpx.Client):
    assert client.post("/cards").status_code == 502
    assert application.asked == ["POST"]


def test_an_answer_is_an_answer(application: Application, client: httpx.Client):
    """Whoever has too much to do is not given it twice."""
    application.refusal = 503
    assert client.get("/cards").status_code == 503
    assert len(application.asked) == 1
