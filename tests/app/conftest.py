"""What the tests of the service share: real servers, one of each a session, and a database of its own for every test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis

from tests.app.servers import PostgresServer, RedisServer


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
