"""The responder as it is deployed: a process that speaks TLS, killed and started again, and who may say what to it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest

from modelcard_ops.incidents.service import MAX_WEBHOOK
from modelcard_ops.incidents.settings import PREFIX
from tests.app.servers import eventually
from tests.ops.incidents.parts import alert, body
from tests.ops.incidents.running import PATIENCE, TOKEN, WEBHOOK_TOKEN, Running

STORM_GROUPS, STORM_ALERTS = 50, 10_000
MEMORY = 256 * 1024 * 1024  # of the container (infra/defaults.py)


@pytest.fixture(scope="module")
def running(tmp_path_factory, files):
    running = Running(tmp_path_factory.mktemp("responder"), files)
    yield running
    running.close()


def firing(name: str, **labels: str) -> bytes:
    return body(alert(name, time.time(), priority="P1", **labels))


@pytest.mark.parametrize(
    ("content", "token", "status", "reason"),
    [
        (firing("Refused"), "another-token-altogether", 401, "webhook: no token, or another's"),
        (firing("Refused"), TOKEN, 401, "webhook: no token, or another's"),
        (b"{" * 100, WEBHOOK_TOKEN, 400, "webhook: malformed"),
        (b'{"version": "3"}', WEBHOOK_TOKEN, 400, "webhook: malformed"),
        (firing("Refused").replace(b'"fingerprint"', b'"finger"'), WEBHOOK_TOKEN, 400, "webhook: malformed"),
    ],
    ids=["another's token", "a person's token", "no JSON", "another version", "no fingerprint"],
)
def test_what_is_refused_is_one_line_in_the_security_log(content, token, status, reason, running):
    before = len(running.security())
    answer = running.webhook(content, token)
    lines = running.security()[before:]
    assert (answer.status_code, [each["reason"] for each in lines]) == (status, [reason])
    assert "Refused" not in [each["title"].partition(":")[0] for each in running.incidents(every="true")]


@pytest.mark.parametrize("announced", [True, False])
def test_what_is_too_large_is_refused_before_it_is_read(announced, running):
    before = len(running.security())
    headers = {"Authorization": f"Bearer {WEBHOOK_TOKEN}"}
    piece = b" " * 1024 * 1024
    content = piece * 17 if announced else (piece for _ in range(17))
    try:
        status = running.client.post("/alerts", content=content, headers=headers).status_code
    except httpx.TransportError:  # it hung up on who was still sending
        status = 413
    eventually(lambda: len(running.security()) > before)
    (line,) = running.security()[before:]
    assert (status, line["reason"], line["limit"]) == (413, "webhook: too large", MAX_WEBHOOK)


def test_a_replay_is_refused(running):
    """Without an Alertmanager to ask, the end of what fires again is the one that can be known."""
    began = time.time()
    running.webhook(body(alert("Replayed", began, priority="P2")))
    end = body(alert("Replayed", began, ended=began + 1, priority="P2"))
    running.webhook(end)
    running.webhook(body(alert("Replayed", began + 2, priority="P2")))
    before = len(running.security())
    assert running.webhook(end).status_code == 409
    assert [each["reason"] for each in running.security()[before:]] == ["webhook: replayed"]


@pytest.mark.parametrize(
    "path", ["/", "/api/incidents", "/api/incidents/INC-0001", "/api/incidents/INC-0001/postmortem"]
)
@pytest.mark.parametrize("authorization", [None, f"Bearer {WEBHOOK_TOKEN}", "Basic !", "Bearer", "Digest x"])
def test_nobody_sees_incidents_without_the_token(path, authorization, running):
    headers = {"Authorization": authorization} if authorization else {}
    assert running.client.get(path, headers=headers).status_code == 401


def test_people_see_open_incidents_and_their_clocks_on_a_page(running):
    running.webhook(body(alert("<script>alert(1)</script>", time.time(), priority="P0")))
    login = base64.b64encode(f"oncall:{TOKEN}".encode()).decode()
    page = running.client.get("/", headers={"Authorization": f"Basic {login}"})
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script>" not in page.text
    assert "14 min" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_it_tells_people_assesses_and_gives_signs_of_life(running):
    name = running.webhook(firing("Told")).json()["incident"]
    eventually(lambda: [each for each in running.outside.slack if name in json.dumps(each)], within=PATIENCE)
    eventually(lambda: running.outside.heartbeats, within=PATIENCE)
    headers = {"Authorization": f"Bearer {TOKEN}"}

    def assessment():
        timeline = running.client.get(f"/api/incidents/{name}", headers=headers).json()["timeline"]
        return [each["data"] for each in timeline if each["kind"] == "assessment"]

    eventually(assessment, within=PATIENCE)
    (report,) = assessment()
    # Nothing that it could ask is here.
    assert {each["status"] for each in report["findings"]} == {"unknown"}


def test_its_metrics_are_for_everybody_who_may_call(running):
    running.webhook(firing("Measured"))
    text = running.client.get("/metrics").text
    assert 'incidents_webhooks_total{result="taken"}' in text
    assert "incidents_timer_overdue_seconds 0.0" in text
    assert 'incidents_open{severity="P1",state="investigating"}' in text


def test_a_kill_in_the_middle_loses_nothing_that_was_taken(running):
    names = [running.webhook(firing(f"Killed{number}")).json()["incident"] for number in range(5)]
    running.kill()
    running.start()
    assert set(names) <= {each["incident"] for each in running.incidents()}
    assert running.webhook(firing("Killed0")).json() == {"incident": names[0], "opened": False, "new_alerts": 0}
    for name in names:
        eventually(lambda name=name: name in json.dumps(running.outside.slack), within=PATIENCE)


def test_a_storm_is_one_incident_for_each_group_in_bounded_memory(tmp_path, files, capsys):
    running = Running(tmp_path, files)
    try:
        per_group = STORM_ALERTS // STORM_GROUPS
        now = time.time()
        bodies = [
            body(*(alert(f"Storm{group}", now, priority="P0", pod=f"pod-{each}") for each in range(per_group)))
            for group in range(STORM_GROUPS)
        ]
        process = psutil.Process(running.process.pid)
        peak = [0]
        over = threading.Event()

        def watch():
            while not over.wait(0.05):
                peak[0] = max(peak[0], process.memory_info().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.monotonic()
        opened = [running.webhook(each).json()["opened"] for each in bodies]
        again = [running.webhook(each).json()["opened"] for each in bodies]
        took = time.monotonic() - began
        eventually(lambda: running.outside.times["slack"], within=PATIENCE)
        first = running.outside.times["slack"][0] - began
        over.set()
        watcher.join()
        with capsys.disabled():
            print(
                f"\n{STORM_ALERTS} alerts in {STORM_GROUPS} groups, each told twice: {took:.1f} s,"
                f" first page after {first:.2f} s, at most {peak[0] / 2**20:.0f} MiB"
            )
        assert (sum(opened), sum(again)) == (STORM_GROUPS, 0)
        assert len(running.incidents()) == STORM_GROUPS
        assert peak[0] < MEMORY
        # The first page goes out while the storm still comes in, not after it.
        assert first < took
    finally:
        running.close()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"token": "short"}, "MCOPS_RESPONDER_TOKEN"),
        ({"data_dir": "/proc/nowhere"}, "/proc/nowhere/incidents.sqlite3: cannot be opened"),
    ],
)
def test_what_it_cannot_begin_with_is_one_line(settings, complaint, tmp_path, files):
    required = {
        "certificate_file": files.certificate,
        "key_file": files.key,
        "webhook_token": WEBHOOK_TOKEN,
        "token": TOKEN,
        "log_dir": tmp_path,
        "data_dir": tmp_path,
        **settings,
    }
    environment = {**os.environ, **{f"{PREFIX}{key.upper()}": str(value) for key, value in required.items()}}
    command = [sys.executable, "-c", "from modelcard_ops.cli import main; main()", "responder"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr.startswith(f"mcops: {complaint}")
    assert "Traceback" not in done.stderr
