"""What stands for Elasticsearch and Kibana: OpenSearch for what both engines have, Elastic's types for the rest.

The types are those of Elastic's own client, which it generates from the specification of the API: a body that loses
something on its way through them says something that the API does not know.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

import httpx

from infra.environments.workspace import ROOT
from tests.logs.opensearch import OpenSearch, shared

SCHEMA = ROOT / ".tools" / "bin" / "elasticsearch-schema"
KINDS = {
    "_component_template": "component-template",
    "_index_template": "index-template",
    "_ingest/pipeline": "ingest-pipeline",
    "_ilm/policy": "lifecycle-policy",
    "_slm/policy": "snapshot-policy",
    "_snapshot": "repository",
    "_security/role": "role",
    "_security/user": "user",
}
SHARED = ("_component_template", "_index_template", "_ingest/pipeline", "_data_stream", "_cluster/health")


def known(kind: str, body: Mapping[str, Any]) -> Any:
    """What of a body Elasticsearch's API knows."""
    done = subprocess.run([SCHEMA, kind], input=json.dumps(body), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def kind_of(path: str) -> str | None:
    """Of what is written at a path; None if it is not a document."""
    return next((kind for prefix, kind in KINDS.items() if path.startswith(f"/{prefix}/")), None)


class Stack(httpx.BaseTransport):
    """Answers as both would, and remembers what was written: (user, method, path, body)."""

    def __init__(self, search: OpenSearch) -> None:
        self.search = search
        self.written: list[tuple[str, str, str, Any]] = []
        self.imported: list[dict[str, Any]] = []
        self.failures: list[httpx.Response | httpx.TransportError] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, after the failures that a test wants first."""
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, httpx.TransportError):
                raise failure
            return failure
        path = request.url.path
        content = request.read()
        if path == "/api/status":
            return httpx.Response(200, json={"status": {"overall": {"level": "available"}}})
        if path == "/api/saved_objects/_import":
            assert request.headers["kbn-xsrf"] == "true"
            self.imported = [json.loads(line) for line in content.splitlines() if line.startswith(b"{")]
            return httpx.Response(200, json={"success": True, "successCount": len(self.imported)})
        body = json.loads(content) if content else None
        if request.method != "GET":
            user = request.headers["Authorization"]
            self.written.append((user, request.method, path, body))
        if path.startswith(tuple(f"/{each}" for each in SHARED)) or path.endswith("/_rollover"):
            answer = self.search.client.request(
                request.method, request.url.raw_path.decode(), json=shared(body) if body is not None else None
            )
            return httpx.Response(
                answer.status_code, content=answer.content, headers={"Content-Type": "application/json"}
            )
        assert kind_of(path) or path.endswith("/_password"), f"{path} is nothing that either engine has"
        return httpx.Response(200, json={"acknowledged": True})
