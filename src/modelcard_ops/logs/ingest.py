"""The ingest pipeline: makes a document of a line, whatever is in it, so that none is ever rejected.

It is Elasticsearch's, not Logstash's, so that what it does can be tried on a real engine: Painless is the same in
OpenSearch.
"""

from __future__ import annotations

from importlib.resources import files as package_files
from typing import Any

from modelcard_ops.logs.schema import AROUND, CATCH_ALL, FIELDS

NAME = "modelcard-logs"
# What of a field that nobody foresaw is kept.
UNFORESEEN = {"depth": 8, "characters": 1024, "entries": 64}


def pipeline() -> dict[str, Any]:
    """The body of `PUT _ingest/pipeline`."""
    return {
        "description": "Lines of the platform, mapped to ECS; what is unknown goes into a catch-all",
        "processors": [
            {
                "json": {
                    "description": "Only objects are records; text that merely begins like one stays text",
                    "if": "ctx.message instanceof String && ctx.message.startsWith('{')",
                    "field": "message",
                    "target_field": "record",
                    "ignore_failure": True,
                }
            },
            {"script": {"lang": "painless", "source": source(), "params": parameters()}},
            {"set": {"field": "event.ingested", "value": "{{{_ingest.timestamp}}}"}},
            {"set": {"field": "@timestamp", "value": "{{{_ingest.timestamp}}}", "override": False}},
        ],
        "on_failure": [
            {"remove": {"field": "record", "ignore_missing": True}},
            {"set": {"field": "error.message", "value": "{{{_ingest.on_failure_message}}}"}},
        ],
    }


def source() -> str:
    """The script, in a file of its own format."""
    return package_files("modelcard_ops.logs").joinpath("ecs.painless").read_text()


def parameters() -> dict[str, Any]:
    """What the script is told: where each field goes, and which fields there are."""
    return {
        "fields": {each.name: {"path": each.ecs.split("."), "kind": each.kind} for each in FIELDS},
        # A map, since Painless looks up in one faster than in a list.
        "known": dict.fromkeys((*(each.ecs for each in FIELDS), *AROUND), 1),
        "catch_all": CATCH_ALL.split("."),
        "zero": "\0",
        **UNFORESEEN,
    }
