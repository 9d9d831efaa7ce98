"""`mcops backup exporter`: reads the bucket and tells Prometheus. It keeps nothing, so it may be killed at any time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from modelcard_ops.backup import metrics
from modelcard_ops.backup.bucket import Bucket
from modelcard_ops.backup.catalog import BackupSet, Catalog
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.manifest import Copied, Drill, FilesPart, Manifest, parse
from modelcard_ops.backup.metrics import Metric
from modelcard_ops.backup.run import COPIED
from modelcard_ops.backup.settings import Settings

FRESH = 60.0  # seconds for which an answer is repeated: sets come by the hour, scrapes by the second
TEXT = "text/plain; version=0.0.4; charset=utf-8"
Samples = Mapping[Metric, Mapping[tuple[str, ...], float]]


class BackupCollector(Collector):
    """All metrics of the catalogue, whether or not there is a set."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._samples: Samples = {}
        self._until = 0.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One answer for all who ask within a minute. A bucket that cannot be read says so, and nothing else."""
        with self._lock:
            if time.monotonic() > self._until:
                self._samples = self._read()
                self._until = time.monotonic() + FRESH
            samples = self._samples
        for metric, values in samples.items():
            family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family

    def _read(self) -> Samples:
        try:
            catalog = Catalog(Bucket(self._settings))
            found = samples(catalog.sets(), catalog.drills(), _copied(catalog.bucket), self._settings)
        except BackupError as error:
            print(f"mcops: {error}", flush=True)
            return {metrics.READABLE: {(): 0}}
        return {metrics.READABLE: {(): 1}, **found}


def samples(sets: Sequence[BackupSet], drills: Sequence[Drill], copied: datetime | None, settings: Settings) -> Samples:
    """The values of the catalogue."""
    manifests = [each.manifest for each in sets if each.manifest is not None]
    complete = [each for each in manifests if each.complete]
    verified = [each.verification for each in sets if each.counts and each.verification is not None]
    found = [each.verification for each in sets if each.verification is not None]
    newest = manifests[-1] if manifests else None
    drill = drills[-1] if drills else None
    usable = [each.manifest.database.stopped for each in sets if each.manifest is not None and each.state != "bad"]
    states = {state: sum(each.state == state for each in sets) for state in metrics.STATES}
    missing = newest.missing if newest else {}
    last_copied = max(filter(None, (copied, newest.started if newest else None)), default=None)
    return {
        metrics.SETS: {(state,): float(count) for state, count in states.items()},
        metrics.LAST_SUCCESS: {(): _seconds(complete[-1].finished if complete else None)},
        metrics.LAST_PARTIAL: {(part,): float(part in missing) for part in metrics.PARTS},
        metrics.LAST_VERIFIED: {(): _seconds(max((each.at for each in verified), default=None))},
        metrics.VERIFICATION_PROBLEMS: {(): float(len(found[-1].problems)) if found else 0.0},
        metrics.DURATION: {(): newest.duration if newest else 0.0},
        metrics.SIZE: {(part,): size for part, (size, _) in _sizes(newest).items()},
        metrics.STORED: {(part,): stored for part, (_, stored) in _sizes(newest).items()},
        metrics.RECOVERABLE_FROM: {(): _seconds(min(usable, default=None))},
        metrics.COPIED: {(): _seconds(last_copied)},
        metrics.DRILL: {(): _seconds(drill.at if drill else None)},
        metrics.DRILL_PASSED: {(): float(drill is not None and drill.passed)},
        metrics.DRILL_PROBLEMS: {(): float(len(drill.problems)) if drill else 0.0},
        metrics.RTO: {(): drill.rto if drill else 0.0},
        metrics.RPO: {(): drill.rpo if drill else 0.0},
        metrics.RTO_OBJECTIVE: {(): float(settings.rto)},
        metrics.RPO_OBJECTIVE: {(): float(settings.rpo)},
    }


def _sizes(manifest: Manifest | None) -> dict[str, tuple[float, float]]:
    """Bytes of each part and what it added."""
    sizes = dict.fromkeys(metrics.PARTS, (0.0, 0.0))
    if manifest is not None:
        sizes["database"] = (float(manifest.database.size), float(manifest.database.stored))
        for name in ("uploads", "prometheus"):
            part = getattr(manifest, name)
            if isinstance(part, FilesPart):
                sizes[name] = (float(part.size), float(part.uploaded))
        if manifest.cluster is not None:
            sizes["cluster"] = (float(manifest.cluster.objects.size), float(manifest.cluster.objects.size))
    return sizes


def _copied(bucket: Bucket) -> datetime | None:
    stored = bucket.get(COPIED)
    return parse(stored.body, Copied, bucket.address(COPIED)).at if stored else None


def _seconds(at: datetime | None) -> float:
    return at.timestamp() if at is not None else 0.0


def app(settings: Settings) -> ASGIApp:
    """`/metrics`, and `/health` for the probes, which never waits for the bucket."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BackupCollector(settings))

    def metrics_page(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=TEXT)

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(routes=[Route("/metrics", metrics_page), Route("/health", health)])


def serve(served: ASGIApp, settings: Settings) -> None:
    """By TLS, until it is told to stop."""
    settings.need("certificate_file", "key_file")
    for file in (settings.certificate_file, settings.key_file):
        if not isinstance(file, Path) or not file.is_file():
            raise BackupError(f"{file}: is not a file: name the server's certificate and key")
    uvicorn.run(
        served,
        host="0.0.0.0",  # noqa: S104 - in a pod; who may connect is the network policy's
        port=settings.port,
        ssl_certfile=str(settings.certificate_file),
        ssl_keyfile=str(settings.key_file),
        access_log=False,
        log_level="warning",
        server_header=False,
    )
