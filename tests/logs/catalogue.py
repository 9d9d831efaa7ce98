"""Writes down what elasticsearch_exporter exposes, so that rules and dashboards can be checked without one.

`python -m tests.logs.catalogue` runs the real exporter against OpenSearch, set up as the Job sets Elasticsearch up, and
writes `rules/metrics/elasticsearch.yml`. What Elasticsearch has beyond OpenSearch is not in it, and no rule reads it.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import httpx

from infra.components.elasticsearch_exporter import METRICS, modules
from infra.environments.workspace import ROOT
from infra.kube.files import as_yaml
from modelcard_ops.logs.apply import apply
from tests.app.servers import eventually, free_port
from tests.logs.conftest import TARGET, clients
from tests.logs.elasticsearch import Stack
from tests.logs.lines import real_lines, shipped
from tests.logs.opensearch import OpenSearch
from tests.system.catalogue import FOLDER, recorded

EXPORTER = ROOT / ".tools" / "bin" / "elasticsearch_exporter"


def page(search: OpenSearch) -> str:
    """What the exporter says of an engine that has a few lines."""
    apply(TARGET, clients(Stack(search)), lambda text: None)
    search.bulk(shipped((stream, line.decode().rstrip("\n")) for stream, line in real_lines(200)))
    search.client.post("/logs-modelcard.*/_refresh")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        login = Path(folder) / "modules.yml"
        login.write_text(modules("unused"))
        command = [EXPORTER, f"--web.listen-address=127.0.0.1:{port}", f"--config.file={login}"]
        with subprocess.Popen([*command, "--es.indices", "--es.all"], stderr=subprocess.DEVNULL) as exporter:
            try:
                eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/"), within=60)
                parameters = {**METRICS.parameters, "target": search.url}
                return httpx.get(f"http://127.0.0.1:{port}{METRICS.path}", params=parameters, timeout=60).text
            finally:
                exporter.kill()


def main() -> None:
    """Starts, writes, ends."""
    search = OpenSearch()
    try:
        search.wait()
        metrics = recorded(page(search))
    finally:
        search.close()
    (FOLDER / "elasticsearch.yml").write_text(as_yaml(metrics))
    print(f"elasticsearch: {len(metrics)} metrics")


if __name__ == "__main__":
    main()
