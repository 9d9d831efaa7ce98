"""How many series one replica gives Prometheus: few, and no more whatever is asked of it."""

from __future__ import annotations

import uuid
from collections import Counter

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelcard_generator.cards.formats import FORMATS
from modelcard_generator.monitoring.middleware import METHODS
from tests.app.service import RunningService, description

BOUND = (
    1200  # all routes, formats and tables of today, each asked by every method; `benchmarks.rules` measures with more
)


@pytest.fixture
def fresh_service(postgres, redis_server, tmp_path):
    """One that nobody has asked anything: what others asked for would count as well."""
    database = postgres.create_database(f"series-{uuid.uuid4().hex}")
    running = RunningService(tmp_path, database, redis_server.url).start()
    yield running
    running.kill()


def series(service: RunningService) -> Counter[str]:
    """Number of series by the name of their metric."""
    families = text_string_to_metric_families(httpx.get(f"{service.address}/metrics").text)
    return Counter(family.name for family in families for _ in family.samples)


def use(client: httpx.Client, name: str) -> None:
    """Something of everything, with an address, a method and a card that only this `name` has."""
    for format_type in FORMATS:
        assert client.post("/cards", json=description(format_type)).status_code == 201
        assert client.post("/cards", json=description(format_type) | {name: name}).status_code == 422
    for path in ("/cards", f"/cards/{name}", f"/files/{name}", f"/{name}", "/docs", "/health"):
        for method in (*METHODS - {"CONNECT"}, name.upper()):
            client.request(method, path)


def test_a_replica_has_few_series_and_gets_no_more_by_being_used(fresh_service):
    with fresh_service.user("alice") as alice, fresh_service.user("bob") as bob:
        use(alice, "first")
        first = series(fresh_service)
        for number in range(5):
            use(bob, f"again{number}")
    assert series(fresh_service) == first
    assert first.total() <= BOUND, f"{first.total()} series: {dict(first.most_common())}"
