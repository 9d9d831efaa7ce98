"""The operations guide's own interface: its fields, its methods, its channels."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

from infra.monitoring import routing
from modelcard_ops.incidents import severity
from modelcard_ops.incidents.communication import Audience, IncidentCommunication, IncidentUpdate
from modelcard_ops.incidents.severity import Severity, State

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def communication(level=Severity.P0):
    posted = []
    talk = IncidentCommunication(
        incident_id="INC-0001",
        severity=level,
        audience=Audience(slack=True, recipients=("a@example.com",), status_page="page1"),
        post=lambda sink, target, note: posted.append((sink, target, note)),
    )
    return talk, posted


def test_it_has_the_operations_guides_names():
    fields = ["timestamp", "status", "summary", "impact", "next_update", "resolution_eta"]
    assert list(inspect.signature(IncidentUpdate).parameters) == fields
    talk, _ = communication()
    assert (talk.incident_id, talk.severity, talk.updates) == ("INC-0001", "P0", [])
    assert list(inspect.signature(talk.post_update).parameters)[:3] == ["status", "summary", "impact"]


def test_an_update_reaches_every_channel_of_its_severity():
    talk, posted = communication()
    update = talk.post_update(State.IDENTIFIED, "A bad deployment", "No cards")
    targets = [target for _, target, _ in posted]
    assert targets == ["#incidents", "#engineering", "#leadership", "a@example.com", "page1"]
    assert (talk.updates, update.timestamp.tzinfo) == ([update], UTC)


def test_its_postmortem_has_the_outline_and_the_timeline_of_its_updates():
    talk, _ = communication(Severity.P2)
    talk.post_update(State.INVESTIGATING, "It is slow", "", timestamp=NOW)
    text = talk.generate_postmortem_template()
    assert "## Timeline\n- 2026-03-01 03:00:00 UTC: Investigating - It is slow\n" in text
    assert "- Duration: X hours" in text


def test_channels_and_unsure_severities_are_those_of_alertmanagers_routes():
    assert {each: severity.channels(each) for each in Severity} == {
        Severity(name): tuple(route.channels) for name, route in routing.ROUTES.items()
    }
    assert routing.UNSURE == severity.UNSURE
