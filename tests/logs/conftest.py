"""What the tests of the logs share: one OpenSearch a session, set up as the Job sets Elasticsearch up."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from modelcard_ops.logs.apply import Clients, Target, apply
from modelcard_ops.logs.streams import BUILT_IN, USERS, Retention
from tests.logs.elasticsearch import Stack
from tests.logs.opensearch import OpenSearch

TARGET = Target(
    stack="test",
    retention=Retention(app=7, audit=400, security=90),
    passwords={name: f"password-of-{name}" for name in ("setup", *USERS, *BUILT_IN)},
    bucket="modelcard-backups",
)


def clients(stack: Stack) -> Clients:
    """Three clients of one stack."""

    def client(url: str, user: str) -> httpx.Client:
        return httpx.Client(base_url=url, auth=(user, TARGET.passwords[user]), transport=stack)

    return Clients(
        elasticsearch=client("https://elasticsearch:9200", "setup"),
        kibana=client("https://kibana:5601", "setup"),
        snapshots=client("https://elasticsearch:9200", "log_snapshot"),
    )


@pytest.fixture(scope="session")
def search() -> Iterator[OpenSearch]:
    """A real engine."""
    engine = OpenSearch()
    try:
        engine.wait()
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="session")
def applied(search: OpenSearch) -> Stack:
    """The engine after `mcops logs apply`."""
    stack = Stack(search)
    apply(TARGET, clients(stack), lambda text: None)
    return stack
