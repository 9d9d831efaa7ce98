"""Every metric of the service, once: `CATALOGUE` is what is exposed and what `docs/metrics.md` lists.

With several worker processes each writes to files of its own in `PROMETHEUS_MULTIPROC_DIR`, and whichever answers a
scrape adds them up (prometheus_client documentation, "Multiprocess Mode"; `monitoring/exposition.py`). The first eight,
with their labels and buckets, are the seed's (operational-excellence.md, "Core Business Metrics").
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import time
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar, cast

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import mark_process_dead

P = ParamSpec("P")
R = TypeVar("R")

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
OUTCOMES = ("success", "error", "cancelled")  # of a generation

# One worker exposes the same series as several, which never have the time at which a series began.
disable_created_metrics()
if MULTIPROCESS_DIR in os.environ:
    # A process that was given the pid of a dead one would continue the dead one's gauges.
    mark_process_dead(os.getpid())

cards_generated_total = Counter(
    "modelcard_cards_generated_total", "Total number of model cards generated", ["format", "template", "status"]
)
card_generation_duration = Histogram(
    "modelcard_generation_duration_seconds",
    "Time spent generating model cards",
    ["format", "template"],
    buckets=[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf")],
)
validation_errors_total = Counter(
    "modelcard_validation_errors_total", "Total validation errors", ["error_type", "section"]
)
active_users = Gauge(
    "modelcard_active_users",
    "Number of active users in the last 5 minutes, over all replicas: take the maximum, not the sum",
    multiprocess_mode="mostrecent",
)
http_requests_total = Counter("http_requests_total", "Total HTTP requests", ["method", "endpoint", "status"])
http_request_duration = Histogram(
    "http_request_duration_seconds",
    "HTTP request duration",
    ["method", "endpoint"],
    buckets=[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf")],
)
database_queries_total = Counter("database_queries_total", "Total database queries", ["operation", "table"])
database_query_duration = Histogram(
    "database_query_duration_seconds", "Database query duration", ["operation", "table"]
)
database_pool_in_use = Gauge(
    "modelcard_database_pool_in_use", "Connections of the pool that are working", multiprocess_mode="livesum"
)
database_pool_size = Gauge(
    "modelcard_database_pool_size", "Connections that the pool may open", multiprocess_mode="livesum"
)
database_pool_waiting = Gauge(
    "modelcard_database_pool_waiting", "Requests that wait for a connection of the pool", multiprocess_mode="livesum"
)
cache_requests_total = Counter(
    "modelcard_cache_requests_total", "Look-ups in the cache: hit, miss, or error when Redis did not answer", ["result"]
)
log_records_lost_total = Counter(
    "modelcard_log_records_lost_total", "Records that could not be written to their log file", ["log"]
)
build_info = Gauge(
    "modelcard_build_info", "Always 1; the version that runs", ["version"], multiprocess_mode="mostrecent"
)

CATALOGUE: tuple[MetricWrapperBase, ...] = (
    cards_generated_total,
    card_generation_duration,
    validation_errors_total,
    active_users,
    http_requests_total,
    http_request_duration,
    database_queries_total,
    database_query_duration,
    database_pool_in_use,
    database_pool_size,
    database_pool_waiting,
    cache_requests_total,
    log_records_lost_total,
    build_info,
)


def expect(metric: MetricWrapperBase, **values: Iterable[str]) -> None:
    """Makes the children of all combinations of label values, so that each is exposed as 0 before it happens.

    Raises `ValueError` if the names are not those of the metric's labels.
    """
    for combination in itertools.product(*values.values()):
        metric.labels(**dict(zip(values, combination, strict=True)))


def monitor_generation(format_type: str, template: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Counts and times (in seconds) the decorated function, plain or async, as the generation of one card.

    Whatever it raises passes through and counts as `error`; only being cancelled, because the client left or its time
    was up, counts as `cancelled`. The duration is of all three.
    """
    duration = card_generation_duration.labels(format=format_type, template=template)
    outcomes = {
        outcome: cards_generated_total.labels(format=format_type, template=template, status=outcome)
        for outcome in OUTCOMES
    }

    def done(outcome: str, start: float) -> None:
        outcomes[outcome].inc()
        duration.observe(time.perf_counter() - start)

    def decorator(func: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(func):

            @wraps(func)
            async def waiting(*args: P.args, **kwargs: P.kwargs) -> object:
                start, outcome = time.perf_counter(), "error"
                try:
                    result: object = await func(*args, **kwargs)
                except asyncio.CancelledError:
                    outcome = "cancelled"
                    raise
                else:
                    outcome = "success"
                    return result
                finally:
                    done(outcome, start)

            return cast(Callable[P, R], waiting)

        @wraps(func)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            start, outcome = time.perf_counter(), "error"
            try:
                result = func(*args, **kwargs)
                outcome = "success"
                return result
            finally:
                done(outcome, start)

        return wrapper

    return decorator
