"""A GitHub of our own on loopback, as far as comments, pull requests and issues of one repository go."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-that-opens-nothing"
OURS, SOMEBODY = "github-actions[bot]", "somebody"


class Hub:
    """What is on it. `refusals` are answered first, one after another."""

    def __init__(self) -> None:
        self.url = ""
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.issues: list[dict[str, Any]] = []
        self.pulls: list[dict[str, Any]] = []
        self.refusals: list[int] = []
        self.requests: list[str] = []

    def say(self, number: int, body: str, author: str = OURS) -> dict[str, Any]:
        total = sum(map(len, self.comments.values()))
        comment = {"id": total + 1, "body": body, "user": {"login": author}, "html_url": f"{self.url}/c/{total + 1}"}
        self.comments.setdefault(number, []).append(comment)
        return comment

    def open(self, title: str, body: str, label: str, author: str = OURS) -> dict[str, Any]:
        number = len(self.issues) + 1
        issue = {"number": number, "title": title, "body": body, "labels": [label], "state": "open"}
        issue |= {"creator": author, "html_url": f"{self.url}/i/{number}"}
        self.issues.append(issue)
        return issue

    def answer(self, method: str, target: str, body: Any) -> tuple[int, Any]:
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        path = url.path.removeprefix("/repos/acme/platform")
        answer = self._of_comments(method, path, query, body) or self._of_issues(method, path, query, body)
        if path == "/pulls":
            wanted = (query["state"], query["head"])
            answer = (
                200,
                _page([each for each in self.pulls if (each["state"], each["head"]["label"]) == wanted], query),
            )
        return answer or (404, {"message": "Not Found"})

    def _of_comments(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any] | None:
        if match := re.fullmatch(r"/issues/(\d+)/comments", path):
            number = int(match[1])
            return (201, self.say(number, body["body"])) if method == "POST" else (200, self._said(number, query))
        if (match := re.fullmatch(r"/issues/comments/(\d+)", path)) and method == "PATCH":
            (comment,) = (each for said in self.comments.values() for each in said if each["id"] == int(match[1]))
            comment.update(body)
            return 200, comment
        return None

    def _said(self, number: int, query: dict[str, str]) -> list[Any]:
        return _page(self.comments.get(number, []), query)

    def _of_issues(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any] | None:
        if path == "/issues" and method == "POST":
            return 201, self.open(body["title"], body["body"], body["labels"][0])
        if path == "/issues":
            wanted = (query["state"], query["creator"])
            found = [each for each in self.issues if (each["state"], each["creator"]) == wanted]
            return 200, _page([each for each in found if query["labels"] in each["labels"]], query)
        if (match := re.fullmatch(r"/issues/(\d+)", path)) and method == "PATCH":
            self.issues[int(match[1]) - 1].update(body)
            return 200, self.issues[int(match[1]) - 1]
        return None


def _page(items: list[Any], query: dict[str, str]) -> list[Any]:
    size, page = int(query["per_page"]), int(query["page"])
    return items[size * (page - 1) : size * page]


@contextmanager
def running() -> Iterator[Hub]:
    """Serves one until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            hub.requests.append(f"{self.command} {self.path}")
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, answer = 401, {"message": "Bad credentials"}
            elif hub.refusals:
                status, answer = hub.refusals.pop(0), {"message": "not now"}
            else:
                status, answer = hub.answer(self.command, self.path, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Requests are kept, not told."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
