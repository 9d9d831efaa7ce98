"""How large the log stack must be, from how much is logged: the formula behind `mcenv sizing logs`.

Elasticsearch's disks = rate x line x 86,400 x retention x EXPANSION x copies / DISK_USED
memory of a node      = disk of a node / DISK_PER_MEMORY
Logstash's volume     = rate x line x outage x QUEUED / replicas / share of the volume that is queue
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.components.logstash import QUEUE
from infra.quantities import Memory

MIB, GIB = 2**20, 2**30
DAY, HOUR = 86_400, 3_600
# Bytes on disk of a line and its index, per byte of the line: tests/logs measures 0.61 on OpenSearch.
EXPANSION = 0.75
# Elasticsearch moves shards away at 85 % (cluster.routing.allocation.disk.watermark.low), and merges need some of it.
DISK_USED = 0.75
# Of disk per memory, for indices that are written to (Elastic, "Benchmarking and sizing your Elasticsearch cluster").
DISK_PER_MEMORY = 30
LEAST_MEMORY = 2 * GIB
# Logstash keeps events, not lines: with their fields and the names of these.
QUEUED = 1.8
# What a kubelet keeps of a container: containerLogMaxSize x containerLogMaxFiles, 10 MiB x 5 where nobody says more.
KUBELET_KEEPS = 50 * MIB


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is logged. `rate` in lines a second, `line` in bytes, `retention` in days, `outage` in hours."""

    rate: float
    line: int
    retention: int
    outage: float
    nodes: int
    shippers: int
    replicas: int


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """What it takes, with the setting that says so. `kept_by_node` in seconds, of each pod."""

    daily: Memory
    elasticsearch_storage: Memory
    elasticsearch_memory: Memory
    logstash_storage: Memory
    kept_by_node: int

    @property
    def settings(self) -> dict[str, str]:
        """Setting to value, as a stack file has them."""
        return {
            "logging.elasticsearch.storage.size": str(self.elasticsearch_storage),
            "logging.elasticsearch.resources.memory_limit": str(self.elasticsearch_memory),
            "logging.logstash.storage.size": str(self.logstash_storage),
        }


def sizing(load: Load) -> Sizing:
    """The formula above."""
    raw = load.rate * load.line
    copies = 2 if load.nodes > 1 else 1
    disks = raw * DAY * load.retention * EXPANSION * copies / DISK_USED
    node = disks / load.nodes
    queue = raw * HOUR * load.outage * QUEUED / load.replicas / (QUEUE / 100)
    return Sizing(
        daily=_rounded(raw * DAY, unit=MIB),
        elasticsearch_storage=_rounded(node, unit=GIB),
        elasticsearch_memory=_rounded(max(node / DISK_PER_MEMORY, LEAST_MEMORY), unit=GIB),
        logstash_storage=_rounded(queue, unit=GIB),
        kept_by_node=int(KUBELET_KEEPS / (raw / load.shippers)),
    )


def _rounded(amount: float, *, unit: int) -> Memory:
    """Up to a whole one of the unit."""
    return Memory(f"{max(1, -int(-amount // unit))}{'Gi' if unit == GIB else 'Mi'}")
