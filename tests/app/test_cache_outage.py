from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import socket
import socketserver
import ssl
import threading
import time

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import REGISTRY

from modelcard_generator.cache.redis_cache import RedisCache
from tests.app.servers import RedisServer, eventually, free_port


def lookups(result: str) -> float:
    return REGISTRY.get_sample_value("modelcard_cache_requests_total", {"result": result}) or 0


@pytest.fixture
def server():
    server = RedisServer()
    yield server
    server.close()


@contextlib.contextmanager
def listening(handler):
    """A TCP server of loopback; its port."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), handler) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        yield listener.server_address[1]
        listener.shutdown()


class Silence(socketserver.BaseRequestHandler):
    """Reads, and never answers."""

    def handle(self):
        while self.request.recv(4096):
            pass


class WebServer(socketserver.BaseRequestHandler):
    """Answers, but is no Redis."""

    def handle(self):
        while self.request.recv(4096):
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n" + b"x" * 100_000)


class Nonsense(socketserver.BaseRequestHandler):
    """Answers nearly as Redis does."""

    def handle(self):
        while self.request.recv(4096):
            self.request.sendall(b"*many\r\n")


class HalfAnswer(socketserver.BaseRequestHandler):
    """Begins a reply and goes away."""

    def handle(self):
        self.request.recv(4096)
        self.request.sendall(b"*3\r\n$16\r\nabc")


HANDLERS = {"never answers": Silence, "no Redis": WebServer, "nonsense": Nonsense, "half an answer": HalfAnswer}
KINDS = ["refuses", "unknown host", "never accepts", "wrong password", "no password", *HANDLERS]


def squares(cache, calls):
    @cache.cache_result()
    async def square(number: int) -> int:
        calls.append(number)
        return number * number

    return square


def cubes(cache, calls):
    @cache.cache_result()
    def cube(number: int) -> int:
        calls.append(number)
        return number**3

    return cube


def impatient(url):
    """A cache that leaves Redis alone for less than the usual second."""
    cache = RedisCache(url)
    cache.asking.pause = cache.storing.pause = 0.2
    return cache


@contextlib.contextmanager
def out_of_order(kind):
    """The URL of something that does not work as Redis."""
    match kind:
        case "refuses":
            yield f"redis://127.0.0.1:{free_port()}/0"
        case "unknown host":
            yield "redis://nowhere.invalid:6379/0"
        case "never accepts":
            with contextlib.ExitStack() as stack:
                full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
                for _ in range(4):
                    waiting = stack.enter_context(socket.socket())
                    waiting.setblocking(False)
                    waiting.connect_ex(full.getsockname())
                yield f"redis://127.0.0.1:{full.getsockname()[1]}/0"
        case "wrong password" | "no password":
            server = RedisServer()
            redis.Redis.from_url(server.url).config_set("requirepass", "right")
            yield server.url.replace("//", "//:wrong@" if kind == "wrong password" else "//")
            server.close()
        case _:
            with listening(HANDLERS[kind]) as port:
                yield f"redis://127.0.0.1:{port}/0"


@pytest.mark.parametrize("kind", KINDS)
def test_without_redis_all_is_loaded_soon_and_the_log_says_so_once(kind, caplog):
    caplog.set_level(logging.WARNING, "cache")
    calls = []

    async def work(url):
        cache = RedisCache(url, timeout=0.2)
        square = squares(cache, calls)
        began = time.monotonic()
        results = await asyncio.gather(*(square(number) for number in range(50)))
        results += [await square(number) for number in range(50)]
        await cache.ainvalidate(square)
        seconds = time.monotonic() - began
        await cache.aclose()
        return results, seconds

    with out_of_order(kind) as url:
        before = lookups("error")
        results, seconds = asyncio.run(work(url))
    assert results == [number * number for number in range(50)] * 2
    assert len(calls) == 100
    assert seconds < 3  # 100 times 0.2 s if each had waited
    assert lookups("error") - before == 100
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "Redis does not answer, the service goes on without"
    ]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "unknown host"])  # a thread waits for its resolver
def test_threads_do_without_redis_too(kind):
    calls = []
    with out_of_order(kind) as url:
        cache = RedisCache(url, timeout=0.2)
        cube = cubes(cache, calls)
        began = time.monotonic()
        assert [cube(number) for number in range(50)] == [number**3 for number in range(50)]
        assert time.monotonic() - began < 3
        cache.close()
    assert len(calls) == 50


def test_health_is_told_that_redis_does_not_answer():
    async def work(url):
        cache = RedisCache(url, timeout=0.2)
        try:
            await cache.ping()
        finally:
            await cache.aclose()

    with out_of_order("never answers") as url, pytest.raises(redis.RedisError, match=r"no answer within 0.2 s"):
        asyncio.run(work(url))


def test_a_redis_that_was_killed_and_came_back_is_used_again(server, caplog):
    caplog.set_level(logging.WARNING, "cache")

    async def work():
        cache, calls = RedisCache(server.url), []
        square = squares(cache, calls)
        assert [await square(2), await square(2), len(calls)] == [4, 4, 1]
        server.kill()
        assert [await square(2), await square(2), len(calls)] == [4, 4, 3]
        server.start()
        before = lookups("hit")
        async with asyncio.timeout(20):
            while lookups("hit") == before:
                assert await square(2) == 4
                await asyncio.sleep(0.05)
        await cache.aclose()

    asyncio.run(work())
    assert [record.message[:28] for record in caplog.records] == [
        "Redis does not answer, the s",
        "Redis does not answer: over ",
    ]


def test_threads_use_a_redis_again_that_was_killed_and_came_back(server):
    cache, calls = impatient(server.url), []
    cube = cubes(cache, calls)
    assert [cube(2), cube(2), len(calls)] == [8, 8, 1]
    server.kill()
    assert [cube(2), cube(2), len(calls)] == [8, 8, 3]
    server.start()
    before = lookups("hit")
    eventually(lambda: cube(2) == 8 and lookups("hit") > before)
    cache.close()


def test_connections_that_redis_closed_meanwhile_are_no_outage(server, caplog):
    cache, calls = RedisCache(server.url), []
    square, cube = squares(cache, calls), cubes(cache, calls)

    async def work():
        await square(2), cube(2)
        redis.Redis.from_url(server.url).client_kill_filter(_type="normal")  # as `timeout 300` does
        await asyncio.sleep(0.05)
        results = await square(2), cube(2)
        await cache.aclose()
        return results

    assert (asyncio.run(work()), len(calls), caplog.records) == ((4, 8), 2, [])


def refuse_to_store(client, kind):
    if kind == "full":
        client.config_set("maxmemory", 1)
    else:
        client.replicaof("127.0.0.1", free_port())


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_redis_that_does_not_store_still_gives_what_it_has(server, kind, caplog):
    caplog.set_level(logging.WARNING, "cache")
    cache, calls = RedisCache(server.url), []
    cube = cubes(cache, calls)
    assert cube(1) == 1
    refuse_to_store(redis.Redis.from_url(server.url), kind)
    assert [cube(2), cube(3), cube(2), cube(1), cube(1)] == [8, 27, 8, 1, 1]
    assert calls == [1, 2, 3, 2]
    assert [record.message[:22] for record in caplog.records] == ["Redis does not store, "]
    cache.close()


@pytest.mark.parametrize("kind", ["full", "read-only", "killed"])
def test_what_redis_could_not_be_told_is_invalid_is_not_used(server, kind):
    cache, calls = impatient(server.url), []
    cube = cubes(cache, calls)
    assert cube(1) == 1
    client = redis.Redis.from_url(server.url)
    if kind == "killed":
        cache.asking.failed(ConnectionError("a network that is interrupted, and keeps what Redis has"))
    else:
        refuse_to_store(client, kind)
    cache.invalidate(cube)
    assert [cube(1), cube(1)] == [1, 1]
    assert calls == [1, 1, 1]
    client.config_set("maxmemory", 0)
    client.replicaof("NO", "ONE")
    before = lookups("hit")
    eventually(lambda: cube(1) and lookups("hit") > before)
    assert len(calls) >= 4
    cache.close()


def authority():
    key = ec.generate_private_key(ec.SECP256R1())
    return key, certificate("authority", key, "authority", key, authority=True)


def certificate(name, key, issuer, issuer_key, *, authority=False):
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def pem(*certificates):
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


@pytest.fixture
def encrypted(redis_server, cache_url, tmp_path):
    """A port where Redis speaks TLS, with a certificate for `localhost`, and its authority's file."""
    authority_key, authority_certificate = authority()
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "authority.pem").write_bytes(pem(authority_certificate))
    (tmp_path / "server.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + pem(certificate("localhost", key, "authority", authority_key))
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem")

    class Forward(socketserver.BaseRequestHandler):
        def handle(self):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", redis_server.port)) as backend:
                client = context.wrap_socket(self.request, server_side=True)
                while request := client.recv(65536):
                    backend.sendall(request)
                    client.sendall(backend.recv(65536))

    with listening(Forward) as port:
        yield port, tmp_path / "authority.pem"


@pytest.mark.parametrize(
    ("host", "trusted", "result"),
    [("localhost", True, "hit"), ("127.0.0.1", True, "error"), ("localhost", False, "error")],
)
def test_only_a_server_with_its_name_in_a_trusted_certificate_is_used(encrypted, tmp_path, host, trusted, result):
    port, authority_file = encrypted
    if not trusted:
        authority_file = tmp_path / "another.pem"
        authority_file.write_bytes(pem(authority()[1]))
    cache, calls = RedisCache(f"rediss://{host}:{port}/0", authority_file=authority_file, timeout=5), []
    square, cube = squares(cache, calls), cubes(cache, calls)

    async def work():
        results = [await square(2), await square(2), cube(2), cube(2)]
        await cache.aclose()
        return results

    before = lookups(result)
    assert asyncio.run(work()) == [4, 4, 8, 8]
    assert lookups(result) - before == (2 if result == "hit" else 4)
