"""What a namespace may ask for: every workload at its maximum, and one pod more of each during a rollout."""

from __future__ import annotations

from infra.components import backup
from infra.components.namespace import Quota
from infra.kube.identity import Space
from infra.quantities import Cpu, Memory
from infra.settings import Resources, Settings

MOST_NODES = 100  # the agents' quota ends there; a larger cluster needs a larger one
# Containers of a pod, and how many such pods there may be at once.
Pods = tuple[list[Resources], int]


def quota(settings: Settings, space: Space) -> Quota:
    """What the namespace needs."""
    pods = _pods(settings, space)
    requests = [(each, count) for containers, count in pods for each in containers]
    return Quota(
        cpu=Cpu.of_millicores(sum(each.cpu_request.millicores * count for each, count in requests)),
        memory=Memory.of_bytes(sum(each.memory_request.bytes * count for each, count in requests)),
        storage=Memory.of_bytes(sum(size.bytes * count for size, count in _volumes(settings, space))),
        pods=sum(count for _, count in pods),
    )


def _pods(settings: Settings, space: Space) -> list[Pods]:
    monitoring, logging, database = settings.monitoring, settings.logging, settings.database
    exporter = monitoring.exporters.resources
    match space:
        case "application":
            return [
                ([settings.app.resources], settings.app.replicas.max + 1),
                ([settings.edge.resources, exporter], settings.edge.replicas + 1),
                ([database.resources, database.backup_resources, database.rotation_resources], 1),
                ([settings.cache.resources], 2),
                ([settings.backup.resources], len(backup.WORKLOADS) + (settings.recovery is not None)),
            ]
        case "observability":
            return [
                ([monitoring.prometheus.resources, settings.ops.resources], monitoring.prometheus.replicas),
                ([monitoring.alertmanager.resources], monitoring.alertmanager.replicas),
                ([monitoring.grafana.resources], 2),
                ([settings.incidents.resources], 1),
                ([monitoring.kube_state_metrics.resources], 2),
                ([monitoring.adapter.resources], 3 if settings.app.autoscaling.uses_adapter else 0),
                ([exporter], 4 * 2),
                ([settings.ops.resources], 2),
                ([logging.elasticsearch.resources], logging.elasticsearch.replicas),
                ([logging.logstash.resources], logging.logstash.replicas),
                ([logging.kibana.resources], 2),
                ([logging.setup], 1),
            ]
        case "agents":
            return [([exporter], MOST_NODES), ([logging.filebeat.resources], MOST_NODES)]


def _volumes(settings: Settings, space: Space) -> list[tuple[Memory, int]]:
    monitoring, logging = settings.monitoring, settings.logging
    match space:
        case "application":
            return [
                (settings.database.storage.size, 1),
                (settings.app.uploads.size, 1),
                (settings.backup.scratch.size, 1),
            ]
        case "observability":
            return [
                (monitoring.prometheus.storage.size, monitoring.prometheus.replicas),
                (monitoring.alertmanager.storage.size, monitoring.alertmanager.replicas),
                (settings.incidents.storage.size, 1),
                (logging.elasticsearch.storage.size, logging.elasticsearch.replicas),
                (logging.logstash.storage.size, logging.logstash.replicas),
            ]
        case "agents":
            return []
