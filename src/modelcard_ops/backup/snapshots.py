"""`mcops backup snapshots`: in Prometheus' pod, hands out the files of its snapshots and removes them.

Prometheus can only make a snapshot on its own disk. This serves nothing else of that disk: one folder, by TLS, with the
monitoring's login.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import shutil
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from modelcard_ops.backup.blobs import digest_of
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.files import safe, scan
from modelcard_ops.backup.settings import Settings

NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]+")  # as Prometheus names them


def app(settings: Settings) -> ASGIApp:
    """What is served."""
    settings.need("prometheus_user", "prometheus_password")
    root = settings.snapshots_dir

    def folder(request: Request) -> Path | None:
        name = request.path_params["name"]
        found = root / name
        return found if NAME.fullmatch(name) and found.is_dir() and not found.is_symlink() else None

    async def names(_: Request) -> Response:
        found = sorted(path.name for path in root.glob("*") if NAME.fullmatch(path.name)) if root.is_dir() else []
        return JSONResponse(found)

    async def listing(request: Request) -> Response:
        found = folder(request)
        return _absent() if found is None else JSONResponse(await run_in_threadpool(_listed, found))

    async def file(request: Request) -> Response:
        found = folder(request)
        try:
            path = found / safe(request.path_params["path"], "the request") if found else None
        except BackupError:
            path = None
        if path is None or found is None or not path.is_file() or not path.resolve().is_relative_to(found.resolve()):
            return _absent()
        return FileResponse(path, media_type="application/octet-stream")

    async def remove(request: Request) -> Response:
        found = folder(request)
        if found is None:
            return _absent()
        await run_in_threadpool(shutil.rmtree, found, ignore_errors=True)
        return JSONResponse({"removed": found.name})

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    routes = [
        Route("/health", health),
        Route("/snapshots", names),
        Route("/snapshots/{name}", listing),
        Route("/snapshots/{name}", remove, methods=["DELETE"]),
        Route("/snapshots/{name}/{path:path}", file),
    ]
    login = f"{settings.text('prometheus_user')}:{settings.secret('prometheus_password')}".encode()
    return _Login(Starlette(routes=routes), login)


class _Login:
    """Basic authentication for everything but the probe."""

    def __init__(self, app: ASGIApp, login: bytes) -> None:
        self._app, self._login = app, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health" and not self._knows(Request(scope)):
            refused = PlainTextResponse("log in\n", status_code=401, headers={"WWW-Authenticate": "Basic"})
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _knows(self, request: Request) -> bool:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return False
        return kind.lower() == "basic" and hmac.compare_digest(given, self._login)


def _listed(folder: Path) -> list[dict[str, object]]:
    found = []
    for path in scan(folder):
        blob = digest_of(path)
        found.append({"path": path.relative_to(folder).as_posix(), "size": blob.size, "sha256": blob.sha256})
    return found


def _absent() -> Response:
    return PlainTextResponse("there is no such snapshot\n", status_code=404)
