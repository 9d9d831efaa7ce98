"""An assessment: all at once, in bounded time, and what nobody could look at is never healthy."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kubernetes import client
from typer.testing import CliRunner

from modelcard_ops.cli import app
from modelcard_ops.incidents.assessment import Assessor, Found, NoAnswerError, text
from modelcard_ops.incidents.looks import Sources, error_of, looks
from modelcard_ops.incidents.sources import Cluster, Monitoring
from tests.app.servers import free_port

NAMES = ["health", "metrics", "database", "deployments", "pods", "error logs", "resources"]
POD = {
    "metadata": {"name": "app-1", "namespace": "modelcard"},
    "spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": "1Gi", "cpu": "2"}}}]},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}
DEPLOYMENT = {
    "metadata": {"name": "modelcard-generator", "generation": 3},
    "spec": {"replicas": 1},
    "status": {"readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 3},
}
HEALTHY = {"status": "healthy", "version": "1", "checks": {"database": {"status": "healthy", "details": {}}}}
APPS, CORE = "/apis/apps/v1/namespaces/modelcard", "/api/v1/namespaces/modelcard"
USAGE = "/apis/metrics.k8s.io/v1beta1"


def healthy():
    """What everything answers while all is well, by path."""
    return {
        "/health": HEALTHY,
        "/metrics": "http_requests_total 1",
        "up == 0": [],
        "max(pg_up)": [{"metric": {}, "value": [0, "1"]}],
        f"{APPS}/deployments": [DEPLOYMENT],
        f"{APPS}/statefulsets": [],
        f"{APPS}/replicasets": [],
        f"{CORE}/pods": [POD],
        f"{CORE}/pods/app-1/log": '{"level": "INFO", "message": "ERROR in a message is none"}\n',
        f"{USAGE}/namespaces/modelcard/pods": [
            {"metadata": {"name": "app-1"}, "containers": [{"name": "app", "usage": {"memory": "512Mi", "cpu": "1"}}]}
        ],
        "/api/v1/nodes": [{"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "4Gi"}}}],
        f"{USAGE}/nodes": [{"metadata": {"name": "n"}, "usage": {"cpu": "500m", "memory": "1Gi"}}],
    }


class Everything:
    """The Kubernetes API, Prometheus and the service in one server. `hanging` paths never answer."""

    def __init__(self) -> None:
        self.answers, self.hanging = healthy(), set()
        self.released = threading.Event()
        everything = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                if path in everything.hanging:
                    everything.released.wait(30)
                if path == "/api/v1/query":
                    from urllib.parse import parse_qs

                    expression = parse_qs(query)["query"][0]
                    result = everything.answers.get(expression, [])
                    self.reply(200, {"status": "success", "data": {"result": result}})
                elif path not in everything.answers:
                    self.reply(403, {"kind": "Status"})
                else:
                    found = everything.answers[path]
                    status, found = found if isinstance(found, tuple) else (200, found)
                    self.reply(status, {"items": found, "metadata": {}} if isinstance(found, list) else found)

            def reply(self, status, content):
                data = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def sources(self, **more):
        configuration = client.Configuration(host=self.url)
        configuration.retries = 0
        return Sources(
            cluster=Cluster(client.ApiClient(configuration)),
            namespaces=["modelcard"],
            workload="modelcard-generator",
            **{"service_url": self.url, "prometheus": Monitoring(url=self.url), **more},
        )

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def everything():
    server = Everything()
    yield server
    server.close()


def assessed(everything, within=15.0, **more):
    report = Assessor(looks(everything.sources(**more)), within=within).assess()
    return report, {each["name"]: each for each in report["findings"]}


def test_all_is_well(everything):
    report, found = assessed(everything)
    assert {
        name: (each["status"], each["summary"]) for name, each in found.items() if each["status"] != "healthy"
    } == {}
    assert (list(found), report["status"]) == (NAMES, "healthy")


CRASHED = {
    **POD,
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
    },
}
BROKEN = [
    ("health", {"/health": (503, {**HEALTHY, "status": "unhealthy"})}, "HTTP 503, unhealthy"),
    ("health", {"/health": "<html>"}, "/health answers HTTP 200 with no report"),
    (
        "health",
        {"/health": {**HEALTHY, "status": "degraded", "checks": {"redis": {"status": "degraded", "details": {}}}}},
        "HTTP 200, degraded: redis degraded",
    ),
    ("metrics", {"/metrics": (500, "")}, "/metrics answers HTTP 500 without the service's metrics"),
    ("metrics", {"up == 0": [{"metric": {"job": "redis"}}]}, "no requests, 1 targets down, 0 alerts firing"),
    ("database", {"max(pg_up)": [{"metric": {}, "value": [0, "0"]}]}, "its exporter says pg_up 0"),
    ("deployments", {f"{APPS}/deployments": [{**DEPLOYMENT, "status": {}}]}, "1 not complete, 0 deployed within a day"),
    ("pods", {f"{CORE}/pods": [CRASHED]}, "1 of 1 pods fail"),
    ("pods", {f"{CORE}/pods": []}, "there are no pods"),
    ("error logs", {f"{CORE}/pods/app-1/log": '{"level": "ERROR", "message": "no"}\n'}, "1 errors in the last lines"),
    (
        "resources",
        {f"{USAGE}/nodes": [{"metadata": {"name": "n"}, "usage": {"cpu": "1900m", "memory": "1Gi"}}]},
        "1 above 90% of what they may use",
    ),
]


@pytest.mark.parametrize(("name", "answers", "summary"), BROKEN)
def test_what_is_broken_is_said(name, answers, summary, everything):
    everything.answers |= answers
    report, found = assessed(everything)
    assert found[name]["status"] == "unhealthy"
    assert found[name]["summary"].startswith(summary)
    assert report["status"] == "unhealthy"


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("database", "max(pg_up)"),
        ("deployments", f"{APPS}/replicasets"),
        ("pods", f"{CORE}/pods"),
        ("error logs", f"{CORE}/pods/app-1/log"),
        ("resources", f"{USAGE}/nodes"),
    ],
)
def test_what_may_not_be_seen_is_unknown_and_not_healthy(name, missing, everything):
    del everything.answers[missing]
    report, found = assessed(everything)
    assert found[name]["status"] == "unknown"
    assert report["status"] != "healthy"


def test_what_hangs_is_unknown_and_holds_up_nobody(everything):
    everything.hanging = {"/health", f"{CORE}/pods"}
    assessor = Assessor(looks(everything.sources()), within=3.0)
    first, second = assessor.assess(), assessor.assess()
    statuses = {each["name"]: (each["status"], each["summary"]) for each in first["findings"]}
    assert statuses["health"] == ("unknown", "no answer within 3 s")
    assert statuses["database"][0] == "healthy"
    again = {each["name"]: each["summary"] for each in second["findings"]}
    assert again["health"] == "the last look still waits for an answer"


def test_a_look_that_breaks_is_unknown():
    def broken() -> Found:
        raise ValueError("a fault of ours")

    def refused() -> Found:
        raise NoAnswerError("nobody is there")

    report = Assessor({"a": broken, "b": refused}).assess()
    assert [(each["status"], each["summary"]) for each in report["findings"]] == [
        ("unknown", "ValueError: a fault of ours"),
        ("unknown", "nobody is there"),
    ]
    assert report["summary"] == "unknown: a, b"


def test_a_real_database_is_asked_as_pg_isready_does(everything):
    _, found = assessed(everything, database=("127.0.0.1", free_port()))
    assert (found["database"]["status"], found["database"]["summary"].endswith("does not answer")) == (
        "unhealthy",
        True,
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"level": "CRITICAL", "message": "out of memory"}', "out of memory"),
        ('{"level": "INFO", "message": "ERROR is but a word"}', ""),
        ("2026-03-01 FATAL: no space", "2026-03-01 FATAL: no space"),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
        ("[]", ""),
        ("terrors", ""),
    ],
)
def test_what_is_an_error_in_a_log(line, error):
    assert error_of(line) == error


def test_people_read_what_is_wrong_first_hand(everything):
    everything.answers |= {"/health": (503, {**HEALTHY, "status": "unhealthy"})}
    lines = text(assessed(everything)[0]).splitlines()
    assert lines[0].startswith("unhealthy, ")
    assert lines[1] == "✘ health       unhealthy  HTTP 503, unhealthy: no check says why"


def test_from_where_nothing_can_be_asked_the_exit_status_says_so(tmp_path):
    outcome = CliRunner(env={"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)}).invoke(
        app, ["assess", "--json"]
    )
    report = json.loads(outcome.stdout)
    assert (outcome.exit_code, {each["status"] for each in report["findings"]}) == (4, {"unknown"})


def test_nothing_here_needs_kubectl_or_a_shell():
    for module in ("assessment", "looks", "sources"):
        assert "subprocess" not in (Path(__file__).parents[3] / f"src/modelcard_ops/incidents/{module}.py").read_text()
