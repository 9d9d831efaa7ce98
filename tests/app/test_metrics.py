"""The metrics themselves: their names are a contract, and a generation counts once whatever becomes of it."""

import asyncio
import math

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from modelcard_generator.monitoring import catalogue, metrics
from modelcard_generator.monitoring.metrics import CATALOGUE, expect, monitor_generation

# operational-excellence.md, "Core Business Metrics"
SEED = [
    ("modelcard_cards_generated_total", Counter, ("format", "template", "status")),
    ("modelcard_generation_duration_seconds", Histogram, ("format", "template")),
    ("modelcard_validation_errors_total", Counter, ("error_type", "section")),
    ("modelcard_active_users", Gauge, ()),
    ("http_requests_total", Counter, ("method", "endpoint", "status")),
    ("http_request_duration_seconds", Histogram, ("method", "endpoint")),
    ("database_queries_total", Counter, ("operation", "table")),
    ("database_query_duration_seconds", Histogram, ("operation", "table")),
]
SEED_BUCKETS = {
    "modelcard_generation_duration_seconds": (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf),
    "http_request_duration_seconds": (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf),
    "database_query_duration_seconds": Histogram.DEFAULT_BUCKETS,
}


def value(metric, suffix="", **labels):
    """Of one child, 0 if there is none."""
    samples = (sample for family in metric.collect() for sample in family.samples)
    return next((each.value for each in samples if each.name.endswith(suffix) and each.labels == labels), 0)


def generations(template):
    counts = {
        status: value(metrics.cards_generated_total, "_total", format="markdown", template=template, status=status)
        for status in metrics.OUTCOMES
    }
    timed = value(metrics.card_generation_duration, "_count", format="markdown", template=template)
    return counts | {"timed": timed}


def test_the_seeds_metrics_have_its_names_types_and_labels():
    assert [(catalogue.name(each), type(each), catalogue.labels(each)) for each in CATALOGUE[:8]] == SEED


def test_the_seeds_histograms_have_its_buckets():
    histograms = [each for each in CATALOGUE if isinstance(each, Histogram)]
    assert {catalogue.name(each): catalogue.buckets(each) for each in histograms} == SEED_BUCKETS


def test_the_catalogue_has_every_metric_that_is_defined():
    assert {id(each) for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)} == set(
        map(id, CATALOGUE)
    )


def test_the_committed_table_is_what_the_catalogue_says():
    assert catalogue.main(["--check"]) == 0


def test_a_stale_table_is_one_clear_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(catalogue, "FILE", tmp_path / "metrics.md")
    catalogue.FILE.write_text("old")
    assert catalogue.main(["--check"]) == 1
    assert capsys.readouterr().err == f"docs/metrics.md is stale: run `{catalogue.COMMAND}`\n"


def test_writing_the_table_makes_it_current(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "FILE", tmp_path / "metrics.md")
    assert [catalogue.main(["--check"]), catalogue.main([]), catalogue.main(["--check"])] == [1, 0, 0]


def test_what_is_expected_is_exposed_as_zero():
    metric = Counter("expected", "…", ["one", "two"], registry=None)
    expect(metric, two=["x"], one="ab")
    assert {tuple(each.labels.values()) for each in metric.collect()[0].samples} == {("a", "x"), ("b", "x")}


def test_a_wrong_label_is_not_expected():
    with pytest.raises(ValueError, match="label"):
        expect(metrics.cache_requests_total, outcome=["hit"])


def test_the_outcomes_of_a_generation_are_exposed_before_the_first():
    monitor_generation("markdown", "expected")
    samples = metrics.cards_generated_total.collect()[0].samples
    assert {each.labels["status"] for each in samples if each.labels["template"] == "expected"} == set(metrics.OUTCOMES)


def test_a_generation_counts_once():
    @monitor_generation("markdown", "plain")
    def generate(x, *, y):
        return x + y

    before = generations("plain")
    assert generate(1, y=2) == 3
    assert generations("plain") == before | {"success": before["success"] + 1, "timed": before["timed"] + 1}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_generation_that_fails_is_an_error(error):
    @monitor_generation("markdown", "failing")
    def generate():
        raise error

    before = generations("failing")
    with pytest.raises(error):
        generate()
    assert generations("failing") == before | {"error": before["error"] + 1, "timed": before["timed"] + 1}


def test_an_async_generation_is_timed_until_it_is_done():
    @monitor_generation("markdown", "async")
    async def generate():
        await asyncio.sleep(0.02)
        return "card"

    labels = {"format": "markdown", "template": "async"}
    before, seconds = generations("async"), value(metrics.card_generation_duration, "_sum", **labels)
    assert asyncio.run(generate()) == "card"
    assert generations("async") == before | {"success": before["success"] + 1, "timed": before["timed"] + 1}
    assert value(metrics.card_generation_duration, "_sum", **labels) - seconds >= 0.02


def test_an_async_generation_that_fails_is_an_error():
    @monitor_generation("markdown", "async-failing")
    async def generate():
        raise ValueError

    before = generations("async-failing")
    with pytest.raises(ValueError):  # noqa: PT011 - our own
        asyncio.run(generate())
    assert generations("async-failing") == before | {"error": before["error"] + 1, "timed": before["timed"] + 1}


def test_a_generation_that_is_cancelled_is_neither_success_nor_error():
    @monitor_generation("markdown", "cancelled")
    async def generate():
        await asyncio.Event().wait()

    before = generations("cancelled")
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(generate(), 0.01))
    assert generations("cancelled") == before | {"cancelled": before["cancelled"] + 1, "timed": before["timed"] + 1}


def test_the_decorated_function_keeps_its_name_and_kind():
    @monitor_generation("markdown", "kind")
    async def generate():
        """Doc."""

    assert (generate.__name__, generate.__doc__, asyncio.iscoroutinefunction(generate)) == ("generate", "Doc.", True)
