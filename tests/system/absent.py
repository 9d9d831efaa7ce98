"""What exporters say whose bucket or cluster is not here: all is well. Their pages look as the real ones do."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest

from infra.settings import Settings as Stack
from modelcard_ops.backup import metrics
from modelcard_ops.backup.exporter import BackupCollector, Samples, samples
from modelcard_ops.backup.manifest import Drill
from modelcard_ops.backup.settings import Settings
from tests.ops.backup.sets import made

GRAFANA = """\
grafana_build_info{version="0.0.0"} 1
grafana_http_request_duration_seconds_count{handler="/",method="GET",status_code="200"} 1
"""
# As elasticsearch_exporter 1.10 has them of a cluster of one node (rules/metrics/elasticsearch.yml).
ELASTICSEARCH = """\
elasticsearch_cluster_health_number_of_nodes{{cluster="modelcard"}} 1
elasticsearch_cluster_health_status{{cluster="modelcard",color="green"}} 1
elasticsearch_cluster_health_status{{cluster="modelcard",color="yellow"}} 0
elasticsearch_cluster_health_status{{cluster="modelcard",color="red"}} 0
elasticsearch_filesystem_data_available_bytes{{name="elasticsearch-0"}} 9e9
elasticsearch_filesystem_data_size_bytes{{name="elasticsearch-0"}} 1e10
elasticsearch_indices_store_size_bytes_total{{name="elasticsearch-0"}} 1e8
elasticsearch_jvm_memory_max_bytes{{name="elasticsearch-0",area="heap"}} 1e9
elasticsearch_jvm_memory_used_bytes{{name="elasticsearch-0",area="heap"}} 5e8
elasticsearch_index_stats_indexing_index_total{{index=".ds-logs-modelcard.app-local-000001"}} {lines}
elasticsearch_index_stats_indexing_index_total{{index=".ds-logs-modelcard.audit-local-000001"}} {lines}
elasticsearch_index_stats_indexing_index_total{{index=".ds-logs-modelcard.rejected-local-000001"}} 0
"""


def grafana() -> str:
    """Of a Grafana that is looked at."""
    return GRAFANA


def elasticsearch() -> str:
    """Of a cluster that takes ten lines a second."""
    return ELASTICSEARCH.format(lines=int(time.time() * 10))


class BackedUp(BackupCollector):
    """The exporter's own, on a bucket with one set: verified, restored in a drill, and uploads copied just now."""

    def __init__(self, stack: Stack) -> None:
        self._objectives = stack.backup.objectives
        super().__init__(Settings(bucket=stack.backup.bucket, rto=self._objectives.rto, rpo=self._objectives.rpo))
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def page(self) -> str:
        """What Prometheus reads."""
        return generate_latest(self._registry).decode()

    def _read(self) -> Samples:
        now = datetime.now(UTC)
        drill = Drill(
            id="a", at=now, rto=60, rpo=1, rto_objective=self._objectives.rto, rpo_objective=self._objectives.rpo,
            rows=1, uploads=1, problems=[],
        )  # fmt: skip
        return {metrics.READABLE: {(): 1}, **samples([made(now, 1)], [drill], now, self._settings)}
