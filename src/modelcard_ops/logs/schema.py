"""What a line of ours means, said once: each field that is written, the field of ECS that it becomes, and its type.

The index templates, the ingest pipeline and the tests of both are made from these tables. Names are those of ECS 8
(elastic.co, "ECS field reference"); what ECS has no name for is below `modelcard`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# `seconds` is written as a number of seconds and kept, as ECS wants it, as nanoseconds.
Kind = Literal["keyword", "text", "long", "date", "seconds"]

# Of a longer string only `_source` keeps what it says: a term of Lucene has 32,766 bytes, and a character up to four.
LONGEST_KEYWORD = 8191
CATCH_ALL = "modelcard.unmapped"
TYPES: Mapping[Kind, Mapping[str, Any]] = {
    "keyword": {"type": "keyword", "ignore_above": LONGEST_KEYWORD},
    "text": {"type": "match_only_text"},
    "long": {"type": "long"},
    "date": {"type": "date"},
    "seconds": {"type": "long"},
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a line, and what becomes of it."""

    name: str
    ecs: str
    kind: Kind = "keyword"


# What the application (modelcard_generator.logging) and nginx (infra/components/nginx.conf) write.
FIELDS: Sequence[Field] = (
    Field(name="timestamp", ecs="@timestamp", kind="date"),
    Field(name="level", ecs="log.level"),
    Field(name="logger", ecs="log.logger"),
    Field(name="message", ecs="message", kind="text"),
    Field(name="module", ecs="modelcard.module"),
    Field(name="function", ecs="log.origin.function"),
    Field(name="line", ecs="log.origin.file.line", kind="long"),
    Field(name="exception", ecs="error.stack_trace", kind="text"),
    Field(name="stack", ecs="modelcard.stack", kind="text"),
    Field(name="log", ecs="modelcard.log"),
    Field(name="truncated", ecs="modelcard.truncated", kind="long"),
    Field(name="request_id", ecs="http.request.id"),
    Field(name="user_id", ecs="user.id"),
    Field(name="card_id", ecs="modelcard.card_id"),
    Field(name="file_id", ecs="modelcard.file_id"),
    Field(name="format", ecs="modelcard.format"),
    Field(name="method", ecs="http.request.method"),
    Field(name="path", ecs="url.path"),
    Field(name="status", ecs="http.response.status_code", kind="long"),
    Field(name="bytes", ecs="http.response.bytes", kind="long"),
    Field(name="duration", ecs="event.duration", kind="seconds"),
    Field(name="query_name", ecs="modelcard.query_name"),
    Field(name="event_type", ecs="event.action"),
    Field(name="reason", ecs="event.reason"),
    Field(name="what", ecs="modelcard.what"),
    Field(name="client", ecs="client.address"),
)

# What Filebeat, Logstash and Elasticsearch say about a line.
AROUND: Mapping[str, Kind] = {
    "kubernetes.namespace": "keyword",
    "kubernetes.pod.name": "keyword",
    "kubernetes.pod.uid": "keyword",
    "kubernetes.container.name": "keyword",
    "log.file.path": "keyword",
    "log.file.fingerprint": "keyword",
    "log.offset": "long",
    "stream": "keyword",
    "error.message": "text",
    "event.created": "date",  # when the runtime took it from the container
    "event.ingested": "date",
    "tags": "keyword",
}


def properties() -> dict[str, Any]:
    """The mapping of every field, nested as Elasticsearch has it; strict at each level."""
    tree: dict[str, Any] = {}
    for path, kind in (*((each.ecs, each.kind) for each in FIELDS), *AROUND.items()):
        _put(tree, path, dict(TYPES[kind]))
    # Keys and values that nobody foresaw, searchable as words, without a field of their own each.
    _put(tree, CATCH_ALL, {"type": "flattened", "ignore_above": LONGEST_KEYWORD, "depth_limit": 20})
    return tree


def _put(tree: dict[str, Any], path: str, mapping: dict[str, Any]) -> None:
    *parents, leaf = path.split(".")
    for name in parents:
        tree = tree.setdefault(name, {"type": "object", "dynamic": "strict", "properties": {}})["properties"]
    tree[leaf] = mapping
