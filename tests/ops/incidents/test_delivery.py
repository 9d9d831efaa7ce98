"""Messages reach real servers once, or are marked, however those fail; and no sink waits for another."""

from __future__ import annotations

import ssl
from email import message_from_string, policy

import httpx
import pytest

from modelcard_ops.incidents.communication import Audience
from modelcard_ops.incidents.delivery import GIVE_UP, Courier
from modelcard_ops.incidents.responder import Responder
from modelcard_ops.incidents.severity import EVERYBODY, Severity, State
from modelcard_ops.incidents.sinks import REPEATED, Mail, Slack, StatusPage
from modelcard_ops.incidents.store import Store
from tests.ops.incidents.outside import TOKEN, Mails, Outside
from tests.ops.incidents.parts import AUDIENCE, WoundClock


@pytest.fixture
def outside():
    server = Outside()
    yield server
    server.close()


@pytest.fixture
def mails(files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    server = Mails(context)
    yield server
    server.close()


def client(fault=None):
    """One that waits for a busy machine, but not for who will never answer."""
    return httpx.Client(timeout=2 if fault == "silent" else 60)


def slack(outside, fault=None):
    return Slack(token=TOKEN, url=f"{outside.url}/api", client=client(fault))


def page(outside, fault=None):
    return StatusPage(token=TOKEN, url=outside.url, client=client(fault))


def mail(mails, files, password=TOKEN):
    trust = ssl.create_default_context(cafile=str(files.authority))
    return Mail(
        host="localhost", port=mails.port, sender="ops@example.com", username="ops", password=password, context=trust
    )


def texts(outside, channel="#incidents"):
    return [each["text"] for each in outside.slack if each["channel"] == channel]


class Desk:
    """A responder, and couriers that are sent on their way by hand."""

    def __init__(self, responder: Responder, clock: WoundClock) -> None:
        self.responder, self.clock = responder, clock

    def courier(self, sink):
        return Courier(sink, self.responder.ledger)

    def declare(self, severity=Severity.P2):
        return self.responder.declare(title="Odd <!here> & so", severities=[severity], by="alice", impact="Slow")

    def states(self, sink):
        rows = self.responder.store.all("SELECT state FROM outbox WHERE sink = ? ORDER BY id", sink)
        return [row["state"] for row in rows]

    def run(self, *couriers, seconds, step=1):
        """Lets time pass, and everything that is due be sent meanwhile."""
        for _ in range(0, seconds, step):
            for courier in couriers:
                while courier.step():
                    pass
            self.clock.wind(seconds=step)


@pytest.fixture
def desk(responder, clock):
    return Desk(responder, clock)


def test_slack_gets_the_operations_guides_message(desk, outside):
    desk.declare(Severity.P0)
    desk.run(desk.courier(slack(outside)), seconds=2)
    assert [each["channel"] for each in outside.slack] == list(EVERYBODY)
    header, section = outside.slack[0]["blocks"]
    assert header["text"]["text"] == "🚨 Incident - INC-0001"
    assert section["text"]["text"].splitlines()[:5] == [
        "<!channel> *Incident:* INC-0001",
        "*Severity:* P0",
        "*Status:* investigating",
        "*Summary:* Odd &lt;!here&gt; &amp; so",
        "*Impact:* Slow",
    ]


def test_one_message_a_second_and_channel(desk, outside):
    for _ in range(3):
        desk.declare()
    courier = desk.courier(slack(outside))
    counts = []
    for _ in range(4):
        while courier.step():
            pass
        counts.append(len(outside.slack))
        desk.clock.wind(seconds=1)
    assert counts == [1, 2, 3, 3]


def test_after_429_it_waits_as_long_as_it_is_told(desk, outside):
    outside.faults = ["429"]
    desk.declare()
    courier = desk.courier(slack(outside))
    desk.run(courier, seconds=30)
    assert texts(outside) == []
    desk.run(courier, seconds=2)
    assert [REPEATED in text for text in texts(outside)] == [False]


@pytest.mark.parametrize(
    ("fault", "marks"),
    [
        ("500", [True]),
        ("internal_error", [True]),
        ("silent", [False, True]),
        ("closed", [False, True]),
    ],
)
def test_what_may_have_arrived_is_marked_when_it_comes_again(fault, marks, desk, outside):
    outside.faults = [fault]
    desk.declare()
    desk.run(desk.courier(slack(outside, fault)), seconds=5)
    assert [REPEATED in text for text in texts(outside)] == marks
    assert desk.states("slack") == ["sent"]


def test_a_sink_that_is_down_for_an_hour_gets_everything_then_in_order(desk, outside):
    outside.down = {"slack"}
    number = desk.declare()
    courier = desk.courier(slack(outside))
    desk.responder.update(number, by="alice", summary="First")
    desk.run(courier, seconds=3600, step=20)
    desk.responder.update(number, by="alice", summary="Second")
    outside.down = set()
    desk.run(courier, seconds=120)
    said = [each["blocks"][1]["text"]["text"] for each in outside.slack]
    assert ["Summary:* Odd" in said[0], "First" in said[1], "Second" in said[2]] == [True] * 3
    assert set(desk.states("slack")) == {"sent"}


def test_a_dead_port_is_no_answer_and_nothing_is_marked(desk, outside):
    desk.declare()
    dead = Slack(token=TOKEN, url="http://127.0.0.1:1/api", client=client())
    desk.run(desk.courier(dead), seconds=5)
    desk.run(desk.courier(slack(outside)), seconds=5)
    assert [REPEATED in text for text in texts(outside)] == [False]


def test_a_refused_token_is_tried_again_until_it_is_mended(desk, outside):
    outside.faults = ["invalid_auth"] * 3
    desk.declare()
    desk.run(desk.courier(slack(outside)), seconds=60)
    assert texts(outside) == ["🚨 Incident - INC-0001"]


def test_what_nobody_took_for_a_day_is_given_up_and_on_record(desk, outside):
    outside.down = {"slack"}
    number = desk.declare()
    courier = desk.courier(slack(outside))
    courier.step()
    desk.clock.wind(seconds=GIVE_UP + 1)
    courier.step()
    rows = desk.responder.store.all("SELECT summary FROM events WHERE incident = ? AND kind = 'undelivered'", number)
    assert [row["summary"] for row in rows] == ["slack #incidents was not told: HTTP 503"]
    assert desk.states("slack") == ["given up"]


def test_no_sink_waits_for_another(desk, outside, mails, files):
    outside.down = {"slack"}
    desk.declare(Severity.P0)
    couriers = [desk.courier(each) for each in (slack(outside), mail(mails, files), page(outside))]
    desk.run(*couriers, seconds=2)
    assert (texts(outside), len(mails.taken), len(outside.page)) == ([], 1, 1)


def test_mail_says_it_in_its_subject_and_stays_in_the_incidents_thread(desk, mails, files):
    number = desk.declare()
    desk.responder.update(number, by="alice", summary="A bad\ndeployment", state=State.IDENTIFIED)
    desk.run(desk.courier(mail(mails, files)), seconds=3)
    letters = [message_from_string(each, policy=policy.default) for each in mails.taken]
    assert [each["Subject"] for each in letters] == [
        "[P2] INC-0001 investigating: Odd <!here> & so",
        "[P2] INC-0001 identified: A bad deployment",
    ]
    assert {each["References"] for each in letters} == {"<inc-0001@example.com>"}
    assert letters[0]["To"] == "day@example.com, night@example.com"


@pytest.mark.parametrize(("fault", "marks"), [("busy", [False]), ("refused", [False]), ("closed", [False, True])])
def test_mail_that_may_have_arrived_is_marked(fault, marks, desk, mails, files):
    mails.faults = [fault]
    desk.declare()
    desk.run(desk.courier(mail(mails, files)), seconds=10)
    assert ["(repeated)" in each for each in mails.taken] == marks
    assert len({message_from_string(each)["Message-ID"] for each in mails.taken}) == 1


def test_a_mail_server_that_refuses_the_login_takes_nothing(desk, mails, files):
    desk.declare()
    desk.run(desk.courier(mail(mails, files, password="wrong")), seconds=3)
    (row,) = desk.responder.store.all("SELECT error FROM outbox WHERE sink = 'mail'")
    assert (mails.taken, row["error"]) == ([], "the login is refused (535)")


def test_the_status_page_follows_an_incident_in_one_of_its_own(desk, outside):
    number = desk.declare(Severity.P0)
    desk.responder.update(number, by="alice", summary="Found it", impact="No cards", state=State.IDENTIFIED)
    desk.responder.resolve(number, by="alice", summary="internal words")
    desk.run(desk.courier(page(outside)), seconds=5)
    (incident,) = outside.page.values()
    assert [(each["status"], each["body"]) for each in incident["incident_updates"]] == [
        ("investigating", "We are looking into a problem with the service."),
        ("identified", "Found it\n\nNo cards"),
        ("resolved", "The problem is solved."),
    ]
    assert (incident["name"], incident["impact_override"]) == ("The service is not available", "critical")


@pytest.mark.parametrize("fault", ["silent", "closed", "500", "429"])
@pytest.mark.parametrize("position", [0, 1])
def test_the_public_never_reads_anything_twice(fault, position, desk, outside):
    outside.faults = [fault] if position == 0 else []
    number = desk.declare(Severity.P0)
    courier = desk.courier(page(outside, fault))
    desk.run(courier, seconds=40)
    if position == 1:
        outside.faults = [fault]
    desk.responder.update(number, by="alice", summary="Found it", state=State.IDENTIFIED)
    desk.run(courier, seconds=40)
    (incident,) = outside.page.values()
    assert [each["status"] for each in incident["incident_updates"]] == ["investigating", "identified"]


def test_without_sinks_nothing_is_written_for_them(tmp_path):
    store = Store(tmp_path / "a")
    responder = Responder(store, audience=Audience(), clock=WoundClock())
    responder.declare(title="Odd", severities=[Severity.P0], by="alice")
    assert store.all("SELECT * FROM outbox") == []
    store.close()


def test_the_audience_of_these_tests_has_every_sink():
    assert (AUDIENCE.slack, bool(AUDIENCE.recipients), bool(AUDIENCE.status_page)) == (True, True, True)
