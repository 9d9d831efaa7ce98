from __future__ import annotations

import asyncio
import ipaddress
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modelcard_generator.database import pool
from modelcard_generator.database.pool import Database
from modelcard_generator.errors import Unavailable


def certificate() -> tuple[bytes, bytes]:
    """Of 127.0.0.1, signed by itself: PEM of the certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "database")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return signed.public_bytes(serialization.Encoding.PEM), private


class TlsFront(socketserver.BaseRequestHandler):
    """PostgreSQL's way into TLS (protocol documentation, 55.2.10), for a server that was built without it."""

    tls: ssl.SSLContext
    port: int

    def handle(self) -> None:
        assert self.request.recv(8) == struct.pack("!II", 8, 80877103)  # SSLRequest
        self.request.sendall(b"S")
        try:
            client = self.tls.wrap_socket(self.request, server_side=True)
        except ssl.SSLError:
            return  # it did not like the certificate
        with client, socket.create_connection(("127.0.0.1", self.port)) as server:
            answers = threading.Thread(target=pump, args=(server, client))
            answers.start()
            pump(client, server)
            answers.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of them is gone, and the other notices


@pytest.fixture
def secured(database_url, tmp_path) -> Iterator[tuple[str, Path]]:
    """The URL of a server with TLS, and the file of who signed its certificate."""
    authority, key = tmp_path / "server.crt", tmp_path / "server.key"
    for path, content in zip((authority, key), certificate(), strict=True):
        path.write_bytes(content)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority, key)
    server = urlsplit(database_url)
    handler = type("Handler", (TlsFront,), {"tls": tls, "port": server.port})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as front:
        threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield database_url.replace(f":{server.port}/", f":{front.server_address[1]}/"), authority
        front.shutdown()


def test_the_servers_certificate_is_verified(secured):
    url, authority = secured

    async def run():
        async with (
            Database(url, pool_size=1, authority_file=authority) as database,
            database.connection() as connection,
        ):
            return connection.pgconn.ssl_in_use

    assert asyncio.run(run())


async def refusal(url: str, authority: Path) -> str:
    async with Database(url, pool_size=1, authority_file=authority) as database:
        with pytest.raises(Unavailable):
            async with database.connection():
                pass
        assert database.problem is not None
        return database.problem


def test_a_server_that_another_authority_signed_for_is_not_talked_to(secured, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "WAIT", 0.3)
    other = tmp_path / "other.crt"
    other.write_bytes(certificate()[0])
    assert "certificate verify failed" in asyncio.run(refusal(secured[0], other))


def test_a_server_with_the_certificate_of_another_host_is_not_talked_to(secured, monkeypatch):
    monkeypatch.setattr(pool, "WAIT", 0.3)
    url, authority = secured
    assert "does not match host name" in asyncio.run(refusal(url.replace("127.0.0.1", "localhost"), authority))
