"""Which streams there are, how long they are kept, and who may do what with them, as Elasticsearch wants to hear it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelcard_ops.logs import ingest
from modelcard_ops.logs.schema import properties

PREFIX = "logs-modelcard"
# `rejected` is what Elasticsearch would not take as it was; nothing should ever be in it.
STREAMS = ("app", "audit", "security", "rejected")
MAPPINGS, SETTINGS = "modelcard-mappings", "modelcard-settings"
REPOSITORY, SNAPSHOTS = "modelcard", "modelcard-audit"
KEPT_SNAPSHOTS = 7  # whatever their age: a policy that could expire all of them is no backup
PATTERN = f"{PREFIX}.*"


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Days after which what was logged is deleted."""

    app: int
    audit: int
    security: int

    def of(self, stream: str) -> int:
        """Of a stream; what was rejected is kept as long as what was not."""
        days = {"app": self.app, "audit": self.audit, "security": self.security}
        return days.get(stream, self.app)


def stream(name: str, stack: str) -> str:
    """The data stream, as Elasticsearch names them: type, dataset, namespace."""
    return f"{PREFIX}.{name}-{stack}"


def mappings() -> dict[str, Any]:
    """The component template with every field. Its version says when a stream needs a new index."""
    fields = {"dynamic": "strict", "properties": properties()}
    version = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
    return {"template": {"mappings": fields}, "_meta": {"version": version, "managed_by": "modelcard-platform"}}


def settings() -> dict[str, Any]:
    """The component template that all streams share."""
    index = {
        "number_of_shards": 1,
        # A copy on another node as soon as there is one.
        "auto_expand_replicas": "0-1",
        "codec": "best_compression",
        "refresh_interval": "5s",
        "default_pipeline": ingest.NAME,
        "mapping": {"ignore_malformed": True, "total_fields": {"limit": 200}},
    }
    return {"template": {"settings": {"index": index}}, "_meta": {"managed_by": "modelcard-platform"}}


def index_template(name: str) -> dict[str, Any]:
    """What a stream's indices are made of. Its priority is above that of Elasticsearch's own `logs-*-*` (100)."""
    return {
        "index_patterns": [f"{PREFIX}.{name}-*"],
        "data_stream": {},
        "priority": 500,
        "composed_of": [MAPPINGS, SETTINGS],
        "template": {"settings": {"index": {"lifecycle": {"name": f"modelcard-{name}"}}}},
        "_meta": {"managed_by": "modelcard-platform"},
    }


def lifecycle(days: int) -> dict[str, Any]:
    """Hot, rolled over, deleted: all in the free licence. What is kept long is rolled over less often."""
    age = f"{max(1, days // 15)}d"
    return {
        "policy": {
            "phases": {
                "hot": {"actions": {"rollover": {"max_age": age, "max_primary_shard_size": "25gb"}}},
                # Counted from the roll-over, so that nothing is deleted early.
                "delete": {"min_age": f"{days}d", "actions": {"delete": {}}},
            },
            "_meta": {"managed_by": "modelcard-platform"},
        }
    }


ROLES: Mapping[str, Mapping[str, Any]] = {
    # Logstash: may add lines, and neither read nor change any.
    "modelcard_log_writer": {
        "cluster": ["monitor"],
        "indices": [{"names": [PATTERN], "privileges": ["create_doc", "auto_configure"]}],
    },
    # People: may read lines, in Kibana.
    "modelcard_log_reader": {
        "cluster": [],
        "indices": [{"names": [PATTERN, f".ds-{PATTERN}"], "privileges": ["read", "view_index_metadata"]}],
        "applications": [
            {
                "application": "kibana-.kibana",
                "privileges": ["feature_discover.read", "feature_dashboard.read"],
                "resources": ["*"],
            }
        ],
    },
    # The exporter: may count, and read none.
    "modelcard_log_monitor": {
        "cluster": ["monitor"],
        "indices": [
            {"names": ["*"], "privileges": ["monitor", "view_index_metadata"], "allow_restricted_indices": True}
        ],
    },
    # Snapshots are taken in the name of who set their policy.
    "modelcard_log_snapshot": {
        "cluster": ["monitor", "manage_slm", "cluster:admin/snapshot/*", "cluster:admin/repository/get"],
        "indices": [{"names": [PATTERN, f".ds-{PATTERN}"], "privileges": ["monitor", "view_index_metadata"]}],
    },
}
USERS: Mapping[str, str] = {
    "log_writer": "modelcard_log_writer",
    "log_reader": "modelcard_log_reader",
    "log_monitor": "modelcard_log_monitor",
    "log_snapshot": "modelcard_log_snapshot",
}
BUILT_IN = ("elastic", "kibana_system")


def repository(bucket: str, stack: str) -> dict[str, Any]:
    """Where snapshots go."""
    return {"type": "s3", "settings": {"bucket": bucket, "base_path": f"elasticsearch/{stack}", "client": "default"}}


def snapshot_policy(retention: Retention) -> dict[str, Any]:
    """What must outlive the cluster, every night. Source: elastic.co, "Snapshot lifecycle management"."""
    return {
        "schedule": "0 30 1 * * ?",
        "name": "<audit-{now/d}>",
        "repository": REPOSITORY,
        "config": {
            "indices": [f"{PREFIX}.audit-*", f"{PREFIX}.security-*"],
            "include_global_state": False,
            "ignore_unavailable": False,
        },
        "retention": {"expire_after": f"{retention.of('audit')}d", "min_count": KEPT_SNAPSHOTS},
    }
