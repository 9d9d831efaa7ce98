"""A receiver of the protocol of Beats on loopback, over TLS with certificates on both sides, that can be slow or away.

Source: elastic/go-lumber, "Lumberjack Protocol v2": frames of version, type and content; a window is acknowledged by
the number of its last event.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.app.servers import free_port

VERSION = b"2"


class Receiver:
    """Keeps every event of every window that it acknowledged, and those of windows that it did not."""

    def __init__(self, tls: Path) -> None:
        self.port = free_port()
        self.events: list[dict[str, Any]] = []
        self.unacknowledged = 0
        # Open: acknowledges at once. Closed: takes events and says nothing.
        self.gate = threading.Event()
        self.gate.set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(tls / "server.crt", tls / "server.key")
        self._context.load_verify_locations(tls / "ca.crt")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listener: socket.socket | None = None
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listens, at the same port each time."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=16)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self) -> None:
        """Is gone, with every connection."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def messages(self) -> list[str]:
        """Of the events so far; an empty one is left out of its event."""
        with self._lock:
            return [event.get("message", "") for event in self.events]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with suppress(OSError, EOFError, ssl.SSLError):
            connection = self._context.wrap_socket(raw, server_side=True)
            self._connections.append(connection)
            stream = connection.makefile("rb")
            while True:
                count = self._window(stream)
                events: list[dict[str, Any]] = []
                last = 0
                while len(events) < count:
                    last = self._frame(stream, events)
                with self._lock:
                    self.unacknowledged += len(events)
                self.gate.wait()
                connection.sendall(VERSION + b"A" + struct.pack(">I", last))
                with self._lock:
                    self.unacknowledged -= len(events)
                    self.events += events

    @staticmethod
    def _window(stream: Any) -> int:
        assert _read(stream, 2) == VERSION + b"W"
        return int(struct.unpack(">I", _read(stream, 4))[0])

    def _frame(self, stream: Any, events: list[dict[str, Any]]) -> int:
        kind = _read(stream, 2)
        if kind == VERSION + b"C":
            (size,) = struct.unpack(">I", _read(stream, 4))
            return _parse(zlib.decompress(_read(stream, size)), events)
        assert kind == VERSION + b"J", kind
        number, size = struct.unpack(">II", _read(stream, 8))
        events.append(json.loads(_read(stream, size)))
        return int(number)


def _parse(data: bytes, events: list[dict[str, Any]]) -> int:
    position = number = 0
    while position < len(data):
        assert data[position : position + 2] == VERSION + b"J"
        number, size = struct.unpack(">II", data[position + 2 : position + 10])
        events.append(json.loads(data[position + 10 : position + 10 + size]))
        position += 10 + size
    return number


def _read(stream: Any, size: int) -> bytes:
    data: bytes = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
