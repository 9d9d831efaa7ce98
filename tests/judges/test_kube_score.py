"""kube-score, an independent judge, on the rendered manifests."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from policy.judges import KUBE_SCORE
from tests.conftest import platform_of

JUDGE = Path(__file__).parents[2] / ".tools" / "bin" / "kube-score"
OK = 10


def findings(manifests: str) -> list[tuple[str, str]]:
    """Name of the object and what kube-score says of it, for everything that is not OK."""
    run = subprocess.run(
        [JUDGE, "score", "-", "--output-format", "json"], input=manifests, capture_output=True, text=True, check=False
    )
    assert run.stdout, run.stderr
    return [
        (judged["object_meta"]["name"], comment["summary"])
        for judged in json.loads(run.stdout)
        for check in judged["checks"]
        if check["grade"] < OK and not check["skipped"]
        for comment in check["comments"] or ()
    ]


def rendered(stack: str) -> str:
    return yaml.safe_dump_all([dict(manifest) for manifest in platform_of(stack).manifests()])


@pytest.mark.parametrize("stack", ["local", "dev", "prod"])
def test_nothing_is_critical_or_a_warning_but_what_is_excepted(stack):
    today = datetime.now(UTC).date()
    left = [
        (name, finding)
        for name, finding in findings(rendered(stack))
        if not any(exception.covers(finding, name, today=today) for exception in KUBE_SCORE)
    ]
    assert left == []


@pytest.mark.parametrize("exception", KUBE_SCORE, ids=lambda exception: exception.finding)
def test_an_exception_that_nothing_needs_is_removed(exception):
    today = datetime.now(UTC).date()
    assert any(exception.covers(finding, name, today=today) for name, finding in findings(rendered("prod")))


def test_the_judge_does_judge():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "careless"}}
    pod["spec"] = {"containers": [{"name": "web", "image": "nginx:latest"}]}
    assert ("careless", "Image with latest tag") in findings(yaml.safe_dump(pod))
