"""Which metrics exist and with which labels: the application's by its own catalogue, others' as they were scraped.

`rules/metrics/<job>.yml` holds what an exporter exposes, sorted by name; a histogram or summary is there once:

    redis_up: {type: gauge, labels: []}

Labels are those of the exporter; what Prometheus adds to every series of a job stands here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Histogram

from infra.monitoring.rules import Located, Problem, read
from modelcard_generator.monitoring.catalogue import labels as labels_of
from modelcard_generator.monitoring.catalogue import name as name_of
from modelcard_generator.monitoring.metrics import CATALOGUE

APP = "modelcard-generator"
FOLDER = "rules/metrics"
# Seconds between two scrapes of each job.
JOBS: Mapping[str, int] = {
    APP: 10,
    "alertmanager": 15,
    "backup": 15,
    "blackbox": 15,
    "cadvisor": 15,
    "elasticsearch": 15,
    "grafana": 15,
    "incidents": 15,
    "kube-state-metrics": 15,
    "kubelet": 15,
    "nginx": 15,
    "node": 15,
    "postgresql": 15,
    "probe": 15,
    "prometheus": 15,
    "prometheus-adapter": 15,
    "redis": 15,
}
TARGET_LABELS = frozenset({"job", "instance", "namespace", "pod", "node"})
JOB_LABELS: Mapping[str, frozenset[str]] = {"probe": frozenset({"probe"})}
# What Prometheus itself writes about each target (prometheus.io, "Jobs and instances").
OF_EVERY_TARGET = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One name that a query may ask for, as one job has it. `labels` include those of the target."""

    name: str
    job: str
    labels: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Known:
    """All metrics by name, and the jobs of which nobody has recorded any."""

    metrics: Mapping[str, tuple[Metric, ...]]
    missing: tuple[str, ...] = ()


def load(root: Path) -> tuple[Known, list[Problem]]:
    """The application's catalogue and those below `rules/metrics`."""
    metrics = [*_of_app(), *(each for job in JOBS for each in _of_target(job))]
    missing, problems = [], []
    for job in sorted(JOBS.keys() - {APP}):
        file = f"{FOLDER}/{job}.yml"
        if not (root / file).exists():
            missing.append(job)
            continue
        content, broken = read(root / file, file)
        problems += broken
        metrics += _recorded(content or Located(1), job)
    by_name: dict[str, tuple[Metric, ...]] = {}
    for metric in metrics:
        by_name[metric.name] = (*by_name.get(metric.name, ()), metric)
    return Known(metrics=by_name, missing=tuple(missing)), problems


def _of_app() -> Iterator[Metric]:
    for metric in CATALOGUE:
        kind = "histogram" if isinstance(metric, Histogram) else "other"
        yield from _series(name_of(metric), kind, labels_of(metric), APP)


def _recorded(content: Located, job: str) -> Iterator[Metric]:
    for name, metric in content.items():
        yield from _series(name, metric.get("type", ""), tuple(metric.get("labels") or ()), job)


def _of_target(job: str) -> Iterator[Metric]:
    for name in OF_EVERY_TARGET:
        yield from _series(name, "gauge", (), job)


def _series(name: str, kind: str, labels: tuple[str, ...], job: str) -> Iterator[Metric]:
    """The names under which a metric is stored: a histogram's are three."""
    own = frozenset(labels) | TARGET_LABELS | JOB_LABELS.get(job, frozenset())
    if kind in {"histogram", "summary"}:
        yield Metric(name=f"{name}_sum", job=job, labels=own)
        yield Metric(name=f"{name}_count", job=job, labels=own)
    if kind == "histogram":
        yield Metric(name=f"{name}_bucket", job=job, labels=own | {"le"})
    else:
        yield Metric(name=name, job=job, labels=own | ({"quantile"} if kind == "summary" else set()))
