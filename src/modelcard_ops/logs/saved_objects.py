"""What people find in Kibana: data views, searches and a dashboard, as its import wants them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelcard_ops.logs.streams import PREFIX

RECENT_ERRORS = "recent-error-logs"
COLUMNS = ("log.level", "kubernetes.pod.name", "log.logger", "message")


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search that people open by its name. `query` is in KQL."""

    id: str
    title: str
    description: str
    view: str
    query: str
    columns: Sequence[str] = COLUMNS


ALL, AUDIT, SECURITY, REJECTED = (f"modelcard-{name}" for name in ("logs", "audit", "security", "rejected"))
VIEWS = {
    ALL: (f"{PREFIX}.*", "All lines"),
    AUDIT: (f"{PREFIX}.audit-*", "Audit trail"),
    SECURITY: (f"{PREFIX}.security-*", "Security events"),
    REJECTED: (f"{PREFIX}.rejected-*", "Rejected lines"),
}
SEARCHES = (
    Search(
        id=RECENT_ERRORS,
        title="Recent error logs",
        # What the incident guide greps for: ERROR, FATAL, Exception.
        description="Errors of every pod: by level, by traceback, or by the words that others use",
        view=ALL,
        query='log.level: ("ERROR" or "CRITICAL" or "FATAL") or error.stack_trace: * '
        "or message: (ERROR or FATAL or Exception)",
    ),
    Search(
        id="slow-requests",
        title="Slow requests",
        description="Requests that took more than a second, which event.duration has in nanoseconds",
        view=ALL,
        query="event.duration > 1000000000",
        columns=("kubernetes.pod.name", "http.request.method", "url.path", "event.duration", "http.request.id"),
    ),
    Search(
        id="audit-trail",
        title="Audit trail",
        description="Who did what with which card",
        view=AUDIT,
        query="",
        columns=("event.action", "user.id", "modelcard.card_id", "http.request.id"),
    ),
    Search(
        id="security-events",
        title="Security events",
        description="Who was not let in, and what was refused",
        view=SECURITY,
        query="",
        columns=("event.action", "event.reason", "user.id", "client.address", "message"),
    ),
    Search(
        id="rejected-lines",
        title="Rejected lines",
        description="What Elasticsearch would not take as it was, and why; there should be none",
        view=REJECTED,
        query="",
        columns=("error.message", "message"),
    ),
)
DASHBOARD = "modelcard-logs"
# Kibana migrates what is of an older version when it is imported.
VERSIONS = {"index-pattern": "8.0.0", "search": "8.0.0", "dashboard": "8.5.0"}


def saved_objects() -> list[dict[str, Any]]:
    """All of them; what refers to another comes after it."""
    return [
        *(_view(id_, pattern, title) for id_, (pattern, title) in VIEWS.items()),
        *(_search(each) for each in SEARCHES),
        _dashboard(),
    ]


def as_lines(objects: Sequence[dict[str, Any]]) -> bytes:
    """The file that `POST /api/saved_objects/_import` takes."""
    return b"".join(json.dumps(each, sort_keys=True).encode() + b"\n" for each in objects)


def _object(kind: str, id_: str, attributes: dict[str, Any], references: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "type": kind,
        "id": id_,
        "attributes": attributes,
        "references": references,
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": VERSIONS[kind],
    }


def _view(id_: str, pattern: str, title: str) -> dict[str, Any]:
    attributes = {"title": pattern, "name": title, "timeFieldName": "@timestamp"}
    return _object("index-pattern", id_, attributes, [])


def _search(search: Search) -> dict[str, Any]:
    reference = "kibanaSavedObjectMeta.searchSourceJSON.index"
    source = {"query": {"language": "kuery", "query": search.query}, "filter": [], "indexRefName": reference}
    attributes = {
        "title": search.title,
        "description": search.description,
        "columns": list(search.columns),
        "sort": [["@timestamp", "desc"]],
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
    }
    return _object("search", search.id, attributes, [{"type": "index-pattern", "id": search.view, "name": reference}])


def _dashboard() -> dict[str, Any]:
    panels, references = [], []
    for position, search in enumerate(SEARCHES):
        place = {"x": 24 * (position % 2), "y": 15 * (position // 2), "w": 24, "h": 15, "i": search.id}
        name = f"panel_{search.id}"
        panels.append({"type": "search", "panelIndex": search.id, "gridData": place, "panelRefName": name})
        references.append({"type": "search", "id": search.id, "name": f"{search.id}:{name}"})
    attributes = {
        "title": "Model Card Generator: logs",
        "description": "What went wrong lately, who did what, and what could not be kept",
        "panelsJSON": json.dumps(panels),
        "optionsJSON": json.dumps({"useMargins": True}),
        "timeRestore": True,
        "timeFrom": "now-1h",
        "timeTo": "now",
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps({"query": {"language": "kuery", "query": ""}})},
    }
    return _object("dashboard", DASHBOARD, attributes, references)
