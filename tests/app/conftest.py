"""What the tests of the service share: real servers, one of each a session, and a database for every test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest
import redis

from tests.app.servers import PostgresServer, RedisServer
from tests.app.service import RunningService


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Shared: a test that kills a server starts one of its own."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Shared: a test that kills a server starts one of its own."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    """An empty database."""
    return postgres.create_database(f"test-{uuid.uuid4().hex}")


@pytest.fixture
def cache_url(redis_server: RedisServer) -> str:
    """An empty Redis."""
    redis.Redis.from_url(redis_server.url).flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def service(
    postgres: PostgresServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Shared by tests that break nothing."""
    database = postgres.create_database(f"service-{uuid.uuid4().hex}")
    running = RunningService(tmp_path_factory.mktemp("service"), database, redis_server.url).start()
    yield running
    running.kill()


@pytest.fixture(scope="session")
def users(service: RunningService) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two users of the shared service."""
    alice, bob = service.user("alice"), service.user("bob")
    yield alice, bob
    alice.close()
    bob.close()
