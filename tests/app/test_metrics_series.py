"""How many series one replica gives Prometheus: few, and no more whatever is asked of it."""

from __future__ import annotations

from collections import Counter

import httpx
from prometheus_client.parser import text_string_to_metric_families

from modelcard_generator.cards.formats import FORMATS
from tests.app.service import RunningService, description

BOUND = 1000  # 900 in all routes, formats and tables of today; `benchmarks.rules` measures with more


def series(service: RunningService) -> Counter[str]:
    """Number of series by the name of their metric."""
    families = text_string_to_metric_families(httpx.get(f"{service.address}/metrics").text)
    return Counter(family.name for family in families for _ in family.samples)


def use(client: httpx.Client, name: str) -> None:
    """Something of everything, with an address, a method and a card that only this `name` has."""
    for format_type in FORMATS:
        assert client.post("/cards", json=description(format_type)).status_code == 201
        assert client.post("/cards", json=description(format_type) | {name: name}).status_code == 422
    for method, path in (("GET", f"/cards/{name}"), ("GET", f"/{name}"), (name.upper(), "/cards"), ("GET", "/docs")):
        client.request(method, path)


def test_a_replica_has_few_series_and_gets_no_more_by_being_used(service, users):
    alice, bob = users
    use(alice, "first")
    first = series(service)
    for number in range(5):
        use(bob, f"again{number}")
    assert series(service) == first
    assert first.total() <= BOUND, f"{first.total()} series: {dict(first.most_common())}"
