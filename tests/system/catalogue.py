"""Writes down what every exporter exposes, so that rules and dashboards can be checked without one.

`python -m tests.system.catalogue` starts them all and writes `rules/metrics/<job>.yml`.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from infra.environments.workspace import ROOT
from infra.kube.files import as_yaml
from tests.system.surroundings import Surroundings, remove

FOLDER = ROOT / "rules" / "metrics"
# What there is no sample of while all is well, with the labels that it has then. Source: kube-state-metrics, "docs".
OF_POD = ["namespace", "pod", "uid"]
OF_CONTAINER = ["container", *OF_POD]
NOT_YET = {
    "incidents_open_info": ["incident", "severity", "state", "title"],
    # Of an autoscaler that knows what its target uses; simulated pods use nothing.
    "kube_horizontalpodautoscaler_status_target_metric": [
        "horizontalpodautoscaler",
        "metric_name",
        "metric_target_type",
        "namespace",
    ],
    "kube_pod_container_status_last_terminated_reason": [*OF_CONTAINER, "reason"],
    "kube_pod_container_status_terminated_reason": [*OF_CONTAINER, "reason"],
    "kube_pod_container_status_waiting_reason": [*OF_CONTAINER, "reason"],
    "kube_pod_init_container_status_waiting_reason": [*OF_CONTAINER, "reason"],
}
# What is not there at all: no Job runs on a game day, and one Alertmanager has no cluster.
ELSEWHERE: dict[str, dict[str, dict[str, Any]]] = {
    "kube-state-metrics": {
        "kube_job_failed": {"type": "gauge", "labels": ["condition", "job_name", "namespace"]},
        "kube_job_status_failed": {"type": "gauge", "labels": ["job_name", "namespace", "reason"]},
    },
    "alertmanager": {"alertmanager_cluster_members": {"type": "gauge", "labels": []}},
}
# Of the program's own runtime, alike everywhere.
RUNTIME = ("go_", "process_", "promhttp_")


def recorded(page: str) -> dict[str, dict[str, Any]]:
    """Name of each metric to its type and labels; a histogram or summary is there once."""
    found: dict[str, dict[str, Any]] = {}
    written = set(re.findall(r"^[A-Za-z_:][\w:]*", page, flags=re.MULTILINE))
    for family in text_string_to_metric_families(page):
        whole = family.type in {"histogram", "summary"}
        names = {family.name} if whole or not family.samples else {each.name for each in family.samples}
        for name in names:
            if name.startswith(RUNTIME) or name.endswith("_created"):
                continue
            samples = [each for each in family.samples if whole or each.name == name]
            labels = {label for each in samples for label in each.labels} - {"le", "quantile"}
            # The parser takes every counter for one that is named as counters should be.
            real = name if whole or not family.samples or name in written else name.removesuffix("_total")
            found[real] = {"type": family.type, "labels": sorted(labels or NOT_YET.get(real, ()))}
    return dict(sorted(found.items()))


def pages(surroundings: Surroundings) -> dict[str, str]:
    """What each job's first target says."""
    found = {}
    targets = surroundings.prometheus.get("/api/v1/targets", params={"state": "active"}).json()["data"]["activeTargets"]
    login = ("platform", surroundings.secrets["monitoring_login"]["password"])
    for each in sorted(targets, key=lambda target: target["scrapeUrl"], reverse=True):
        job = each["labels"]["job"]
        token = {"Authorization": f"Bearer {surroundings.token}"}
        access: dict[str, Any] = {"headers": token} if job == "prometheus-adapter" else {"auth": login}
        # The authority is ours; what is read is names.
        text = httpx.get(each["scrapeUrl"], **access, verify=False, timeout=10).text  # noqa: S501
        found[job] = found.get(job, "") + text if job == "probe" else text
    return found


def main() -> None:
    """Starts everything, writes, ends everything."""
    folder = Path(tempfile.mkdtemp(prefix="gameday-"))
    surroundings = Surroundings(folder, print)
    try:
        surroundings.start()
        FOLDER.mkdir(exist_ok=True)
        for job, page in pages(surroundings).items():
            if job == "modelcard-generator":
                continue
            metrics = dict(sorted({**ELSEWHERE.get(job, {}), **recorded(page)}.items()))
            (FOLDER / f"{job}.yml").write_text(as_yaml(metrics))
            print(f"{job}: {len(metrics)} metrics")
    finally:
        surroundings.stop()
        remove(folder)


if __name__ == "__main__":
    main()
