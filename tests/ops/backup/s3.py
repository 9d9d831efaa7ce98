"""moto's S3 server over TLS in a process of its own, which can be told to fail.

`python -m tests.ops.backup.s3 PORT CERTIFICATE KEY`; faults are set by `PUT /__faults__` as a list of

    {"match": "PUT .*manifest", "after": 2, "times": 3, "action": "503"}

Actions: a status; `hang` holds the request until the faults change; `drop` closes the connection without an answer.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from tests.app.servers import eventually, free_port

STARTS = 90  # seconds, on a computer that has much else to do
BUCKET = "modelcard-backups-test"
SLOW_DOWN = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
)


class Faults:
    """In front of moto; counts every request that a fault matches."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.lock, self.changed = threading.Lock(), threading.Condition()
        self.faults: list[dict[str, Any]] = []
        self.log: list[str] = []

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/__faults__":
            return self._control(environ, start)
        if path == "/__fill__":
            return self._fill(environ, start)
        line = f"{environ['REQUEST_METHOD']} {path}?{environ['QUERY_STRING']}"
        action = self._due(line)
        if action == "hang":
            with self.changed:
                self.changed.wait(60)
            action = "drop"
        if action == "drop":
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        if action is not None:
            _read(environ)
            start(f"{action} Injected", [("Content-Type", "text/xml"), ("Content-Length", str(len(SLOW_DOWN)))])
            return [SLOW_DOWN]
        return self.inner(environ, start)

    def _due(self, line: str) -> str | None:
        with self.lock:
            self.log.append(line)
            for fault in self.faults:
                if re.search(fault["match"], line):
                    fault["seen"] = fault.get("seen", 0) + 1
                    if fault.get("after", 0) < fault["seen"] <= fault.get("after", 0) + fault.get("times", 10**9):
                        return str(fault["action"])
        return None

    def _fill(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Thousands of small objects at once; a request for each would take longer than the test."""
        wanted = json.loads(_read(environ))
        for key in wanted["keys"]:
            s3_backends["123456789012"]["aws"].put_object(wanted["bucket"], key, b"x")
        start("200 OK", [("Content-Length", "0")])
        return []

    def _control(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            with self.lock:
                self.faults = json.loads(_read(environ))
                self.log.clear()
            with self.changed:
                self.changed.notify_all()
        with self.lock:
            body = json.dumps({"faults": self.faults, "log": self.log}).encode()
        start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


def _read(environ: dict[str, Any]) -> bytes:
    return environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))


class Handler(MotoRequestHandler):
    def log(self, *_: Any) -> None:
        """Nobody reads it."""

    def setup(self) -> None:
        # Else each answer's body waits for the acknowledgement of its head.
        self.disable_nagle_algorithm = True
        super().setup()

    def finish(self) -> None:
        super().finish()
        # A connection that ends without a farewell is an attack to pgBackRest's TLS.
        self.connection.settimeout(1)
        with contextlib.suppress(OSError, ValueError):
            self.connection.unwrap()


def serve(port: int, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    application = Faults(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=Handler, ssl_context=context)
    server.serve_forever()


class S3:
    """The server as a test sees it."""

    def __init__(self, authority: Path, certificate: Path, key: Path) -> None:
        self.port, self.authority = free_port(), authority
        self.endpoint = f"https://localhost:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self.port), str(certificate), str(key)], stderr=subprocess.DEVNULL
        )
        context = ssl.create_default_context(cafile=authority)
        self.http = httpx.Client(verify=context, timeout=90)
        self.client = boto3.client(
            "s3", endpoint_url=self.endpoint, verify=str(authority), region_name="us-east-1",
            aws_access_key_id="test", aws_secret_access_key="test", config=Config(s3={"addressing_style": "path"}),
        )  # fmt: skip
        eventually(lambda: self.http.get(f"{self.endpoint}/__faults__").status_code == 200, within=STARTS)

    def create_bucket(self, name: str = BUCKET, *, versioned: bool = True) -> str:
        self.client.create_bucket(Bucket=name)
        if versioned:
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    @contextlib.contextmanager
    def failing(self, *faults: dict[str, Any]) -> Iterator[None]:
        self.set_faults(*faults)
        try:
            yield
        finally:
            self.set_faults()

    def set_faults(self, *faults: dict[str, Any]) -> None:
        self.http.put(f"{self.endpoint}/__faults__", content=json.dumps(faults)).raise_for_status()

    def fill(self, keys: list[str], bucket: str = BUCKET) -> None:
        content = json.dumps({"bucket": bucket, "keys": keys})
        self.http.put(f"{self.endpoint}/__fill__", content=content).raise_for_status()

    def requests(self) -> list[str]:
        """Since the faults were set last."""
        log: list[str] = self.http.get(f"{self.endpoint}/__faults__").json()["log"]
        return log

    def hits(self) -> int:
        """How often the first fault matched."""
        return int(self.http.get(f"{self.endpoint}/__faults__").json()["faults"][0].get("seen", 0))

    def keys(self, bucket: str = BUCKET, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def read(self, key: str, bucket: str = BUCKET) -> bytes:
        return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def flip(self, key: str, bucket: str = BUCKET) -> None:
        """One bit in the middle of an object."""
        body = bytearray(self.read(key, bucket))
        body[len(body) // 2] ^= 1
        self.client.put_object(Bucket=bucket, Key=key, Body=bytes(body))

    def close(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], sys.argv[3])
