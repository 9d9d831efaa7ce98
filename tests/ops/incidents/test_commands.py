"""`mcops incident` from declaration to postmortem, over HTTPS; and what a person is told who makes a mistake."""

from __future__ import annotations

import json
import threading

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from modelcard_ops.cli import app
from modelcard_ops.errors import UserError
from modelcard_ops.incidents import webhook
from modelcard_ops.incidents.assessment import Assessor, Found
from modelcard_ops.incidents.communication import Audience
from modelcard_ops.incidents.responder import Responder
from modelcard_ops.incidents.service import Service
from modelcard_ops.incidents.store import Store
from tests.app.servers import eventually, free_port
from tests.ops.incidents.parts import WoundClock, alert, body

TOKEN = "token-of-people-in-the-tests"


@pytest.fixture(scope="module")
def serving(tmp_path_factory, files):
    """A responder behind its real HTTP, in this process, with a clock that is wound by hand."""
    folder = tmp_path_factory.mktemp("serving")
    store = Store(folder / "incidents.sqlite3")
    responder = Responder(store, audience=Audience(slack=True), clock=WoundClock())
    service = Service(
        responder=responder,
        webhook_token=TOKEN,
        token=TOKEN,
        assessor=Assessor({"health": lambda: Found(status="unhealthy", summary="HTTP 503")}),
        prometheus=None,
        registry=CollectorRegistry(),
        alive=lambda: True,
    )
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            service.application(), port=port, ssl_certfile=files.certificate, ssl_keyfile=files.key, log_config=None
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    eventually(lambda: server.started, within=60)
    (folder / "token").write_text(f"{TOKEN}\n")
    yield (
        responder,
        {
            "MCOPS_RESPONDER_URL": f"https://localhost:{port}",
            "MCOPS_TOKEN_FILE": str(folder / "token"),
            "MCOPS_AUTHORITY_FILE": str(files.authority),
        },
    )
    server.should_exit = True
    thread.join()
    store.close()


@pytest.fixture
def mcops(serving):
    """Runs a command and returns what it prints, without the last newline."""

    def run(*arguments: str, **environment: str | None) -> str:
        done = CliRunner(env={**serving[1], **environment}).invoke(app, list(arguments))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output.rstrip("\n")

    return run


def test_an_incident_from_declaration_to_postmortem(mcops, serving, tmp_path):
    responder, _ = serving
    declared = mcops("incident", "declare", "Cards are empty", "--impact", "Users see blanks", "--by", "alice")
    name = declared.split()[0]
    assert declared.splitlines() == [
        f"{name} P1 investigating: Cards are empty",
        "open for 0 s; acknowledged by nobody, 1 h left",
    ]
    responder.clock.wind(hours=2)
    responder.tick()
    assert "1 h too late" in mcops("incident", "list")
    mcops("incident", "ack", name, "--by", "bob")
    mcops("incident", "update", name, "A bad template", "--status", "identified", "--by", "bob")
    responder.clock.wind(minutes=30)
    mcops("incident", "resolve", name, "Went back to 1.0.0", "--by", "bob")
    kinds = [line.split()[1] for line in mcops("incident", "timeline", name).splitlines()[1:] if "not told" not in line]
    assert kinds == ["opened", "breach", "escalation", "acknowledged", "update", "resolved"]
    assert name in mcops("incident", "list", "--all")
    file = tmp_path / "postmortem.md"
    assert mcops("incident", "postmortem", name, "--out", str(file)) == str(file)
    text = file.read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        f"# Incident Postmortem - {name}",
        "## Summary",
        "## Timeline",
        "## Root Cause",
        "## Impact",
        "## Resolution",
        "## Lessons Learned",
        "### What went well?",
        "### What could be improved?",
        "### Action Items",
        "## Prevention",
    ]
    assert "- Duration: 2 h 30 min" in text
    assert "- Until somebody came: 2 h, by bob; 1 h were allowed, **too late**" in text
    assert "- Error budget burnt: unknown: Prometheus could not be asked" in text
    assert "- 2026-03-01 05:00:00 UTC: Identified - update: A bad template (bob)" in text
    with pytest.raises(UserError, match="exists, and somebody may have worked on it"):
        mcops("incident", "postmortem", name, "--out", str(file))


def test_an_alerts_graph_runbook_and_dashboard_are_in_the_postmortem(mcops, serving):
    responder, _ = serving
    number = responder.receive(webhook.read(body(alert("Linked", responder.clock(), priority="P2")))).incident
    text = mcops("incident", "postmortem", f"INC-{number:04d}")
    graph, runbook = "http://prometheus/graph?g0.expr=Linked", "https://runbooks.terragonlabs.com/linked"
    assert f"- Linked: [graph]({graph}), [runbook]({runbook}), dashboard `/d/service`" in text


def test_programs_get_json(mcops):
    declared = json.loads(mcops("incident", "declare", "Odd", "--severity", "P3", "--severity", "P2", "--json"))
    assert (declared["severity"], declared["timeline"][0]["kind"]) == ("P2", "opened")
    assert declared["incident"] in [each["incident"] for each in json.loads(mcops("incident", "list", "--json"))]


def test_the_responder_assesses_when_it_is_asked(mcops):
    with pytest.raises(AssertionError, match="HTTP 503"):
        mcops("assess", "--by-responder")


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (("list",), {"MCOPS_TOKEN_FILE": None}, "MCOPS_TOKEN_FILE is not set"),
        (("list",), {"MCOPS_TOKEN_FILE": "/nowhere"}, "/nowhere: No such file or directory"),
        (("list",), {"MCOPS_TOKEN_FILE": "/etc/hostname"}, "the token is not the responder's"),
        (
            ("list",),
            {"MCOPS_RESPONDER_URL": "https://localhost:1"},
            "the responder does not answer at https://localhost:1",
        ),
        (("list",), {"MCOPS_RESPONDER_URL": "http://localhost:1"}, "MCOPS_RESPONDER_URL: "),
        (("list",), {"MCOPS_AUTHORITY_FILE": "/nowhere"}, "/nowhere: No such file"),
        (("ack", "INC-0999"), {}, "there is no INC-0999: see `mcops incident list`"),
        (("ack", "what"), {}, "what is no incident: they are called INC-0001"),
        (("update", "INC-0999", ""), {}, "summary: say what there is to say"),
        (("update", "INC-0999", "x", "--next", "soon"), {}, "--next is 'soon': give minutes, such as 30"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(arguments, environment, complaint, mcops):
    with pytest.raises(UserError) as caught:
        mcops("incident", *arguments, **environment)
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)
