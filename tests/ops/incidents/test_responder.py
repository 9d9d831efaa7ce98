"""What an incident goes through, with time wound by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from modelcard_ops.incidents import views, webhook
from modelcard_ops.incidents.ledger import RefusedError, UnknownIncidentError, number_of
from modelcard_ops.incidents.receiving import KEPT, SETTLE, ReplayedError
from modelcard_ops.incidents.responder import RETENTION, Responder
from modelcard_ops.incidents.severity import EVERYBODY, RESPONSE, Severity, State, of_alert
from modelcard_ops.incidents.store import Store, StoreError
from tests.ops.incidents.parts import AUDIENCE, START, alert, body

DOWN = "ApplicationDown"
MAIL = "day@example.com, night@example.com"


def incident(responder, number=1):
    return views.detail(responder.ledger, number)


def kinds(responder, number=1):
    return [each["kind"] for each in incident(responder, number)["timeline"]]


@pytest.mark.parametrize(
    ("severity", "minutes"), [(Severity.P0, 15), (Severity.P1, 60), (Severity.P2, 4 * 60), (Severity.P3, 24 * 60)]
)
def test_each_severity_has_the_response_time_of_the_operations_guide(severity, minutes, responder, receive, clock):
    receive(alert(DOWN, START, priority=severity))
    clock.wind(minutes=minutes, seconds=-1)
    responder.tick()
    before = incident(responder)["breached_at"]
    clock.wind(seconds=1)
    responder.tick()
    assert (before, incident(responder)["breached_at"]) == (None, views.moment(clock()))


@pytest.mark.parametrize(
    ("severity", "channels", "mail", "page"),
    [
        ("P0", list(EVERYBODY), [MAIL], ["page1"]),
        ("P1", list(EVERYBODY), [MAIL], ["page1"]),
        ("P2", ["#incidents"], [MAIL], []),
        ("P3", ["#incidents"], [], []),
    ],
)
def test_who_is_told_follows_from_the_severity(severity, channels, mail, page, receive, told):
    receive(alert(DOWN, START, priority=severity))
    assert told("opened") == [*channels, *mail, *page]


def test_one_group_is_one_incident_however_often_it_is_told(responder, receive):
    first = receive(alert(DOWN, START, priority="P0"))
    again = [receive(alert(DOWN, START, priority="P0")) for _ in range(3)]
    assert (first.opened, {each.opened for each in again}) == (True, {False})
    assert [each["incident"] for each in views.listing(responder.ledger)] == ["INC-0001"]
    assert kinds(responder) == ["opened"]


def test_the_database_itself_refuses_a_second_incident_of_a_group(responder, receive):
    receive(alert(DOWN, START, priority="P0"))
    receive(alert("Other", START, priority="P0"))
    with pytest.raises(Exception, match="UNIQUE"), responder.store.transaction("test"):
        responder.store.write("UPDATE groups SET key = (SELECT key FROM groups WHERE incident = 1)")


def test_another_group_is_another_incident(responder, receive):
    receive(alert(DOWN, START, priority="P0"))
    receive(alert("RedisDown", START, priority="P2"))
    assert [each["severity"] for each in views.listing(responder.ledger)] == ["P0", "P2"]


def test_whoever_comes_in_time_stops_the_clock(responder, receive, clock, told):
    receive(alert(DOWN, START, priority="P0"))
    clock.wind(minutes=14)
    responder.acknowledge(1, "alice")
    clock.wind(minutes=5)
    responder.tick()
    found = incident(responder)
    assert (found["acknowledged_by"], found["breached_at"], told("escalated")) == ("alice", None, [])


def test_nobody_coming_is_escalated_to_everybody_again_and_again(responder, receive, clock, told):
    receive(alert("RedisDown", START, priority="P2"))
    for _ in range(3):
        clock.wind(hours=4)
        responder.tick()
    found = incident(responder)
    assert found["escalations"] == 3
    assert told("escalated") == 3 * [*EVERYBODY, MAIL]
    assert kinds(responder).count("breach") == 1


def test_a_breach_stays_on_record_when_somebody_comes_late(responder, receive, clock):
    receive(alert(DOWN, START, priority="P0"))
    clock.wind(minutes=15)
    responder.tick()
    clock.wind(minutes=2)
    responder.acknowledge(1, "alice")
    found = incident(responder)
    assert found["breached_at"] == "2026-03-01T03:15:00+00:00"
    assert [each["data"] for each in found["timeline"] if each["kind"] == "acknowledged"] == [{"in_time": False}]


def test_after_hours_of_not_running_it_escalates_once_and_not_for_each_time_that_was_missed(
    responder, receive, clock, told
):
    receive(alert(DOWN, START, priority="P0"))
    clock.wind(hours=5)
    assert responder.overdue() == 5 * 3600 - RESPONSE[Severity.P0]
    responder.tick()
    assert (len(told("escalated")), responder.overdue()) == (len(EVERYBODY) + 1, 0)


def test_a_clock_that_fails_holds_up_no_other_and_is_seen(responder, receive, clock, monkeypatch):
    receive(alert(DOWN, START, priority="P0"))
    receive(alert("Other", START, priority="P0"))
    escalate = responder._escalate

    def failing(incident, now):
        if incident["number"] == 1:
            raise RuntimeError("a fault of ours")
        escalate(incident, now)

    monkeypatch.setattr(responder, "_escalate", failing)
    clock.wind(minutes=15, seconds=30)
    responder.tick()
    assert [incident(responder, number)["escalations"] for number in (1, 2)] == [0, 1]
    assert responder.overdue() == 30


def test_whoever_works_on_it_is_reminded_to_say_how_it_stands(responder, receive, clock, told):
    receive(alert(DOWN, START, priority="P0"))
    responder.acknowledge(1, "alice")
    clock.wind(minutes=20)
    responder.tick()
    responder.update(1, by="alice", summary="Restarting it")
    clock.wind(minutes=19)
    responder.tick()
    assert told("reminder") == ["#incidents"]


def test_a_promised_update_is_waited_for_until_then(responder, receive, clock, told):
    receive(alert(DOWN, START, priority="P0"))
    soon = datetime.fromtimestamp(START + 90 * 60, UTC)
    responder.update(1, by="alice", summary="Restoring", next_update=soon)
    clock.wind(minutes=89)
    responder.tick()
    assert told("reminder") == []
    clock.wind(minutes=1)
    responder.tick()
    assert told("reminder") == ["#incidents"]


def test_an_update_says_where_it_is_and_acknowledges(responder, receive):
    receive(alert(DOWN, START, priority="P0"))
    responder.update(1, by="alice", summary="A bad deployment", impact="No cards", state=State.IDENTIFIED)
    found = incident(responder)
    assert (found["state"], found["acknowledged_by"], found["impact"]) == ("identified", "alice", "No cards")


def test_the_status_page_hears_what_a_person_writes_for_it_and_nothing_else(responder, receive, told):
    receive(alert(DOWN, START, priority="P0"))
    responder.update(1, by="alice", summary="Public", impact="Slow")
    responder.update(1, by="alice", summary="Secret", public=False)
    receive(alert(DOWN, START, priority="P0"), alert(DOWN, START, priority="P0", pod="b"))
    rows = responder.store.all("SELECT message FROM outbox WHERE sink = 'status-page' ORDER BY id")
    assert [json.loads(row["message"])["public"] for row in rows] == [
        "We are looking into a problem with the service.",
        "Public\n\nSlow",
    ]


def test_an_acknowledged_incident_still_reports_new_alerts(responder, receive, told):
    receive(alert(DOWN, START, priority="P0", pod="a"))
    responder.acknowledge(1, "alice")
    receive(alert(DOWN, START, priority="P0", pod="a"), alert(DOWN, START + 60, priority="P0", pod="b"))
    assert told("alerts") == [*EVERYBODY, MAIL]
    assert incident(responder)["timeline"][-1]["data"]["alerts"][0]["pod"] == "b"


def test_what_gets_worse_leaves_less_time(responder, receive, clock):
    receive(alert("DatabaseConnectionIssues", START, priority="P1"))
    clock.wind(minutes=10)
    receive_worse = webhook.read(body(alert("DatabaseConnectionIssues", START, priority="P0")))
    responder.receive(receive_worse.model_copy(update={"key": webhook.read(
        body(alert("DatabaseConnectionIssues", START, priority="P1"))).key}))  # fmt: skip
    found = incident(responder)
    assert (found["severity"], found["respond_by"]) == ("P0", "2026-03-01T03:25:00+00:00")


def test_a_lesser_severity_is_a_persons_to_say(responder, receive):
    receive(alert(DOWN, START, priority="P0"))
    responder.update(1, by="alice", summary="Only a test cluster", severity=Severity.P3)
    receive(alert("Other", START, priority="P3"))
    assert incident(responder)["severity"] == "P3"


@pytest.mark.parametrize(
    ("labels", "severity"),
    [
        ({"priority": "P3", "severity": "critical"}, "P3"),
        ({"severity": "critical"}, "P0"),
        ({"severity": "warning"}, "P1"),
        ({"severity": "info"}, "P3"),
        ({"priority": "urgent", "severity": "info"}, "P3"),
        ({"severity": "urgent"}, "P1"),
        ({}, "P1"),
    ],
)
def test_an_unsure_severity_is_the_higher_one(labels, severity):
    assert of_alert(labels) == severity


def test_of_alerts_that_differ_the_worst_counts(responder, receive):
    receive(alert(DOWN, START, priority="P3"), alert(DOWN, START, priority="P1", pod="b"))
    assert incident(responder)["severity"] == "P1"


@pytest.mark.parametrize(("said", "severity"), [([], "P1"), (["P2", "P1"], "P1"), (["P3"], "P3")])
def test_who_is_unsure_gets_the_worse(said, severity, responder):
    responder.declare(title="Odd", severities=[Severity(each) for each in said], by="alice")
    assert incident(responder)["severity"] == severity


def test_what_alerts_opened_closes_by_itself_when_they_have_been_over_for_a_while(responder, receive, clock, told):
    receive(alert(DOWN, START, priority="P0"))
    clock.wind(minutes=3)
    receive(alert(DOWN, START, ended=clock(), priority="P0"))
    assert incident(responder)["state"] == "monitoring"
    clock.wind(seconds=SETTLE - 1)
    responder.tick()
    assert incident(responder)["state"] == "monitoring"
    clock.wind(seconds=1)
    responder.tick()
    assert (incident(responder)["state"], incident(responder)["clocks"].keys()) == ("resolved", {"assess"})
    assert told("resolved") == [*EVERYBODY, MAIL, "page1"]


def test_an_alert_that_comes_back_meanwhile_goes_on_with_the_same_incident(responder, receive, clock):
    receive(alert(DOWN, START, priority="P0"))
    clock.wind(minutes=3)
    receive(alert(DOWN, START, ended=clock(), priority="P0"))
    clock.wind(minutes=3)
    back = receive(alert(DOWN, clock(), priority="P0"))
    clock.wind(seconds=SETTLE)
    responder.tick()
    assert (back.incident, incident(responder)["state"]) == (1, "investigating")


def test_nothing_closes_what_a_person_opened_but_a_person(responder, receive, clock, told):
    responder.declare(title="Users complain", severities=[Severity.P2], by="alice", alerts=[DOWN], acknowledge=True)
    assert receive(alert(DOWN, START, priority="P2")).incident == 1
    for _ in range(2):
        receive(alert(DOWN, START, ended=START + 60, priority="P2"))
    clock.wind(hours=24)
    responder.tick()
    assert incident(responder)["state"] == "investigating"
    assert told("alerts") == ["#incidents", MAIL] * 2
    responder.resolve(1, by="alice", summary="Mended")
    assert incident(responder)["state"] == "resolved"


def test_it_is_not_resolved_while_alerts_fire_unless_that_is_meant(responder, receive):
    receive(alert(DOWN, START, priority="P0"))
    with pytest.raises(RefusedError, match="INC-0001: ApplicationDown still fires"):
        responder.resolve(1, by="alice", summary="Mended")
    responder.resolve(1, by="alice", summary="Mended", anyway=True)
    assert receive(alert(DOWN, START, priority="P0")).opened


def test_a_person_is_told_of_the_incident_that_is_there_already(responder, receive):
    receive(alert(DOWN, START, priority="P0"))
    with pytest.raises(RefusedError, match="INC-0001 is open for ApplicationDown already"):
        responder.declare(title="Down", severities=[], by="alice", alerts=[DOWN])
    assert len(views.listing(responder.ledger)) == 1


@pytest.mark.parametrize(
    ("act", "complaint"),
    [
        (lambda it: it.acknowledge(1, "bob"), "INC-0001 is resolved: if it is back, declare another"),
        (lambda it: it.update(1, by="bob", summary="?"), "INC-0001 is resolved"),
        (lambda it: it.resolve(1, by="bob", summary="?"), "INC-0001 is resolved"),
        (lambda it: it.acknowledge(7, "bob"), "there is no INC-0007"),
        (lambda it: it.update(2, by="bob", summary="?", state=State.RESOLVED), "an update does not resolve"),
        (lambda it: it.update(2, by="b", summary="?", next_update=datetime(2020, 1, 1, tzinfo=UTC)), "in the past"),
        (lambda it: it.acknowledge(2, "bob"), "INC-0002 was acknowledged by alice already"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_and_changes_nothing(act, complaint, responder):
    for _ in range(2):
        responder.declare(title="Odd", severities=[], by="alice", acknowledge=True)
    responder.resolve(1, by="alice", summary="Mended")
    before = [kinds(responder, number) for number in (1, 2)]
    with pytest.raises(RefusedError, match=complaint):
        act(responder)
    assert [kinds(responder, number) for number in (1, 2)] == before


@pytest.mark.parametrize("name", ["INC-", "0x1", "INC-1 OR 1=1", "INC-99999999999999999999"])
def test_what_is_no_name_of_an_incident(name):
    with pytest.raises(UnknownIncidentError, match="they are called INC-0001"):
        number_of(name)


# Replays. `asked` stands for Alertmanager.


def with_alertmanager(responder, says):
    asked = []

    def still_firing(fingerprints):
        asked.append(list(fingerprints))
        return says

    return Responder(responder.store, audience=AUDIENCE, clock=responder.clock, still_firing=still_firing), asked


def ended_group(receive, clock):
    receive(alert(DOWN, START, priority="P0"))
    clock.wind(minutes=5)
    receive(alert(DOWN, START, ended=clock(), priority="P0"))


def test_a_message_of_what_has_ended_is_refused_if_alertmanager_does_not_confirm_it(responder, receive, clock):
    ended_group(receive, clock)
    replaying, asked = with_alertmanager(responder, says=False)
    with pytest.raises(ReplayedError, match="all 1 alerts of ApplicationDown have ended since"):
        replaying.receive(webhook.read(body(alert(DOWN, START, priority="P0"))))
    assert (incident(responder)["state"], len(asked)) == ("monitoring", 1)


@pytest.mark.parametrize("says", [True, None])
def test_no_alert_is_lost_because_it_looks_like_a_replay(says, responder, receive, clock):
    """After a partition, Prometheus sends the same alert with the same beginning."""
    ended_group(receive, clock)
    careful, _ = with_alertmanager(responder, says=says)
    careful.receive(webhook.read(body(alert(DOWN, START, priority="P0"))))
    assert incident(responder)["state"] == "investigating"


def test_an_old_message_of_an_end_does_not_end_what_fires_now(responder, receive, clock):
    ended_group(receive, clock)
    end = clock()
    clock.wind(minutes=1)
    receive(alert(DOWN, clock(), priority="P0"))
    with pytest.raises(ReplayedError):
        receive(alert(DOWN, START, ended=end, priority="P0"))
    assert incident(responder)["alerts"][0]["firing"] == 1


def test_the_end_of_what_nobody_knew_opens_nothing(responder, receive):
    assert receive(alert(DOWN, START, ended=START + 60, priority="P0")).incident is None
    assert views.listing(responder.ledger, every=True) == []


def test_of_a_huge_group_some_alerts_are_kept_and_all_are_counted(responder, receive):
    receive(*(alert(DOWN, START, priority="P0", pod=str(number)) for number in range(KEPT + 100)), truncated=7)
    assert incident(responder)["alerts"] == [{"alert": DOWN, "firing": KEPT + 107, "not_kept": 107}]
    (row,) = responder.store.all("SELECT count(*) AS kept FROM alerts")
    assert row["kept"] == KEPT


def test_what_is_long_over_is_forgotten(responder, receive, clock):
    receive(alert(DOWN, START, priority="P0"))
    responder.resolve(1, by="alice", summary="Mended", anyway=True)
    responder.declare(title="Open for ever", severities=[], by="alice", acknowledge=True)
    clock.wind(seconds=RETENTION + 86400)
    responder.tick()
    assert [each["incident"] for each in views.listing(responder.ledger, every=True)] == ["INC-0002"]


def test_a_database_of_a_newer_version_is_left_alone(tmp_path):
    Store(tmp_path / "a").close()
    import sqlite3

    with sqlite3.connect(tmp_path / "a") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer version"):
        Store(tmp_path / "a")
