"""The link from an alert to the logs of its pods and minutes, as Alertmanager itself renders it."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from infra.components import kibana
from infra.environments.workspace import ROOT
from infra.monitoring.routing import KIBANA, TEXT
from modelcard_ops.logs.saved_objects import ALL, RECENT_ERRORS
from modelcard_ops.logs.schema import AROUND

AMTOOL = ROOT / ".tools" / "bin" / "amtool"


def rendered(tmp_path, *, status="firing", **labels) -> str:
    alert = {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "s", "description": "d"},
        "startsAt": "2026-11-25T10:20:00+01:00",
        "endsAt": "2026-11-25T09:45:00Z",
    }
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"status": status, "alerts": [alert]}))
    command = [AMTOOL, "template", "render", "--template.glob", str(tmp_path / "*.tmpl"), "--template.text", TEXT]
    (tmp_path / "none.tmpl").write_text("")
    done = subprocess.run([*command, "--template.data", str(data)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (link,) = re.findall(r"<(https://\S+)\|Logs>", done.stdout)
    return link


def test_an_alert_about_a_pod_leads_to_all_lines_of_that_pod(tmp_path):
    link = rendered(tmp_path, pod="modelcard-generator-7d4-x2", namespace="modelcard")
    assert link == (
        "https://localhost:5601/app/discover#/?_g=(time:(from:'2026-11-25T09:05:00.000Z',to:'now'))"
        "&_a=(index:modelcard-logs,query:(language:kuery,query:'kubernetes.pod.name:%22modelcard-generator-7d4-x2%22'))"
    )


def test_an_alert_about_a_namespace_leads_to_its_errors(tmp_path):
    link = rendered(tmp_path, namespace="modelcard")
    assert f"view/{RECENT_ERRORS}?" in link
    assert link.endswith("(match_phrase:(kubernetes.namespace:modelcard)))))")


def test_an_alert_about_nobody_leads_to_the_recent_errors(tmp_path):
    assert rendered(tmp_path).endswith(f"view/{RECENT_ERRORS}?_g=(time:(from:'2026-11-25T09:05:00.000Z',to:'now'))")


def test_what_is_over_leads_to_the_minutes_that_it_took(tmp_path):
    assert "to:'2026-11-25T09:45:00.000Z'" in rendered(tmp_path, status="resolved")


@pytest.mark.parametrize("name", ["a b", 'a"b', "a|b>c", "a)b"])
def test_a_label_cannot_break_the_link(tmp_path, name):
    assert re.search(r"%22[\w%.+-]+%22", rendered(tmp_path, pod=name))


def test_it_leads_to_what_there_is():
    assert KIBANA.startswith(kibana.URL)
    assert ALL == "modelcard-logs"
    assert {"kubernetes.pod.name", "kubernetes.namespace"} <= set(AROUND)
