"""A real Alertmanager, as prod declares it but for addresses and waits, tells whom it should of what it should."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.components.alertmanager import GOSSIP
from infra.environments.recording import record_platform
from infra.environments.secrets import generate
from infra.monitoring.routing import ROUTES, SLACK, expected
from infra.settings import Settings
from tests.conftest import settings_of
from tests.promtool.outside import MailServer, Slack
from tests.system.pods import container_process
from tests.system.receivers import Outside
from tests.unit.test_routing import ALERTS, MAIL, causes, each_inhibition

PATIENCE = 60  # seconds; everything takes less than two on an idle machine
# Waiting is the routes' business, and their unit test's.
AT_ONCE = {f"group_wait: {route.wait}": "group_wait: 1s" for route in ROUTES.values()}
# A heartbeat that comes every second rather than every minute.
QUICK = {"group_interval: 10s": "group_interval: 1s", "repeat_interval: 50s": "repeat_interval: 500ms"}
TOKEN = "xoxb-token"
RUNBOOK = "https://runbooks.terragonlabs.com/something"
ALWAYS = {
    "weekdays": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    "start": "00:00",
    "end": "24:00",
}


class Running:
    """A replica of Alertmanager, all that it tells, and the settings that it was made of."""

    def __init__(
        self,
        folder: Path,
        secrets: Mapping[str, Any],
        *,
        replicas: int = 1,
        addresses: Mapping[str, str] | None = None,
        **notifications: Any,
    ) -> None:
        self.outside, self.slack = Outside(), Slack(TOKEN)
        files = {name: folder / name for name in ("authority", "certificate", "key")}
        files["authority"].write_text(secrets["authority"]["certificate"])
        for name in ("certificate", "key"):
            files[name].write_text(secrets["alertmanager_certificate"][name])
        self.mail = MailServer(files["certificate"], files["key"], MAIL["username"], MAIL["password"])
        self.settings: Settings = settings_of(
            "prod",
            secrets=secrets,
            monitoring={"alertmanager": {"replicas": replicas}},
            notifications={
                "heartbeat_url": f"{self.outside.url}/heartbeat",
                "webhook_url": f"{self.outside.url}/responder",
                "slack_token": TOKEN,
                "mail": {**MAIL, "recipients": list(MAIL["recipients"])},
                **notifications,
            },
        )
        (port,) = _free_ports(1)
        self.process = container_process(
            record_platform(self.settings, stack="prod"),
            "alertmanager",
            folder,
            replace={
                ":9093": f":{port}",
                SLACK: f"{self.slack.url}/api/chat.postMessage",
                f"{MAIL['host']}:{MAIL['port']}": self.mail.address,
                **AT_ONCE,
                **QUICK,
                **(addresses or {}),
            },
        )
        # The mail server's certificate is issued by the stack's own authority here.
        self.process.environment["SSL_CERT_FILE"] = str(files["authority"])
        self.trust = ssl.create_default_context(cafile=str(files["authority"]))
        self.client = httpx.Client(
            base_url=f"https://localhost:{port}/api/v2",
            verify=self.trust,
            auth=("platform", secrets["monitoring_login"]["password"]),
        )
        self.process.start()
        self.until(self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/status").is_success
        return False

    def until(self, condition: Callable[[], Any]) -> Any:
        """What the condition says once it holds."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self.process.check()
            if result := condition():
                return result
            time.sleep(0.05)
        raise TimeoutError(f"it did not happen within {PATIENCE} s; {self.process.log.read_text()[-2000:]}")

    def post(self, *alerts: Mapping[str, str], ended: bool = False) -> None:
        """Alerts of these labels, as Prometheus sends them."""
        annotations = {"summary": "Something is broken", "description": "It does not work", "runbook_url": RUNBOOK}
        end = {"endsAt": datetime.now(UTC).isoformat()} if ended else {}
        body = [{"labels": labels, "annotations": annotations, **end} for labels in alerts]
        self.client.post("/alerts", json=body).raise_for_status()

    @contextlib.contextmanager
    def firing(self, *alerts: Mapping[str, str]) -> Iterator[None]:
        """These alerts fire for a while, and no others that tests of this kind have."""
        self.post(*alerts)
        self.until(lambda: all(self.known(**each) for each in alerts))
        yield
        self.post(*alerts, ended=True)

        def over() -> bool:
            now = self.client.get("/alerts").json()
            return not any(dict(each) in [found["labels"] for found in now] for each in alerts)

        self.until(over)

    def known(self, **labels: str) -> list[dict[str, Any]]:
        """The alerts of these labels that it groups now."""
        matchers = [f'{key}="{value}"' for key, value in labels.items()]
        groups = self.client.get("/alerts/groups", params={"filter": matchers}).json()
        return [each for group in groups for each in group["alerts"]]

    def silenced_by(self, what: str, **labels: str) -> bool:
        """Whether something of this kind (`inhibitedBy`, `mutedBy`) keeps the alert from being told."""
        return any(each["status"][what] for each in self.known(**labels))

    def told(self, name: str) -> list[dict[str, Any]]:
        """The webhook's messages about an alert."""
        return [each.body for each in self.outside.on("/responder") if each.alerts(name)]

    def close(self) -> None:
        """Ends everything."""
        self.process.kill()
        self.client.close()
        for each in (self.outside, self.slack, self.mail):
            each.close()


def _free_ports(count: int) -> list[int]:
    """Of loopback; held together, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


@pytest.fixture(scope="module")
def secrets() -> dict[str, Any]:
    return generate(settings_of("prod"), authority=None)


@pytest.fixture(scope="module")
def running(tmp_path_factory, secrets) -> Iterator[Running]:
    with contextlib.closing(Running(tmp_path_factory.mktemp("running"), secrets)) as running:
        yield running


@pytest.fixture(scope="module")
def in_maintenance(tmp_path_factory, secrets) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("maintenance")
    with contextlib.closing(Running(folder, secrets, maintenance=[ALWAYS])) as running:
        yield running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, secrets) -> Iterator[list[Running]]:
    """The replicas of prod, each as its pod would be started, at addresses of its own."""
    ports = _free_ports(3)
    peers = {
        f"alertmanager-{index}.alertmanager-peers:{GOSSIP}": f"127.0.0.1:{port}" for index, port in enumerate(ports)
    }
    with contextlib.ExitStack() as stack:
        replicas = []
        for port in ports:
            own = dict.fromkeys((f"0.0.0.0:{GOSSIP}", f"[$(POD_IP)]:{GOSSIP}"), f"127.0.0.1:{port}")
            folder = tmp_path_factory.mktemp("replica")
            replica = Running(folder, secrets, replicas=len(ports), addresses=peers | own)
            replicas.append(stack.enter_context(contextlib.closing(replica)))
        yield replicas


@pytest.mark.parametrize("priority", [*ROUTES, None])
def test_an_alert_is_delivered_to_every_channel_of_its_priority_and_no_other(priority, running):
    name = f"Delivered{priority}"
    delivery = expected(priority, running.settings.notifications)
    running.post({"alertname": name, **({"priority": priority} if priority else {})})
    channels = {each for each in delivery.channels if each.startswith("#")}
    mails = {each for each in delivery.channels if "@" in each}
    running.until(lambda: running.told(name))
    running.until(lambda: {each["channel"] for each in on_slack(running, name)} >= channels)
    running.until(lambda: {each for each, _ in mails_about(running, name)} >= mails)
    assert [each["receiver"] for each in running.told(name)] == [delivery.receiver]
    assert sorted(each["channel"] for each in on_slack(running, name)) == sorted(channels)
    assert {each for each, _ in mails_about(running, name)} == mails


def on_slack(running: Running, name: str) -> list[Mapping[str, Any]]:
    return [each for each in running.slack.messages if name in each["attachments"][0]["title"]]


def mails_about(running: Running, name: str) -> list[tuple[str, str]]:
    return [(each, text) for recipients, text in running.mail.mails if name in text for each in recipients]


def test_chat_says_what_is_broken_how_bad_it_is_and_what_to_do(running):
    running.post({"alertname": "ReadInChat", "priority": "P2"})
    (message,) = running.until(lambda: on_slack(running, "ReadInChat"))
    (attachment,) = message["attachments"]
    assert attachment["title"] == "[P2] ReadInChat: 1 firing"
    assert attachment["title_link"] == RUNBOOK
    *told, logs = attachment["text"].splitlines()
    assert told == ["*Something is broken*", "It does not work"]
    assert re.fullmatch(r"<https://localhost:5601/app/discover#/view/recent-error-logs\?.*\|Logs>", logs)


def test_a_mail_says_it_in_its_subject(running):
    running.post({"alertname": "ReadInMail", "priority": "P2"})
    text = running.until(lambda: mails_about(running, "ReadInMail"))[0][1]
    assert re.search(r"^Subject: \[P2\] ReadInMail: 1 firing\r?$", text, re.MULTILINE)


def test_what_one_fault_breaks_is_told_at_once(running):
    broken = [{"alertname": "ManyEndpoints", "priority": "P1", "endpoint": f"/{number}"} for number in range(30)]
    running.post(*broken)
    running.until(lambda: running.told("ManyEndpoints"))
    running.post({"alertname": "Later", "priority": "P1"})
    running.until(lambda: running.told("Later"))
    assert [len(each["alerts"]) for each in running.told("ManyEndpoints")] == [30]


def test_the_heartbeat_goes_on_and_reaches_nobody_else(running):
    running.post({"alertname": "Watchdog", "severity": "none"})
    beats = running.until(lambda: len(running.outside.on("/heartbeat")) > 2 and running.outside.on("/heartbeat"))
    assert {each.body["receiver"] for each in beats} == {"heartbeat"}
    assert running.told("Watchdog") == []


def test_nobody_is_let_in_without_the_login(running):
    assert httpx.get(running.client.base_url.join("status"), verify=running.trust).status_code == 401


def test_what_one_replica_is_told_to_silence_all_silence(cluster):
    now = datetime.now(UTC)
    silence = {
        "matchers": [{"name": "alertname", "value": "Known", "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "on-call",
        "comment": "known",
    }
    for replica in cluster:
        replica.until(lambda replica=replica: len(replica.client.get("/status").json()["cluster"]["peers"]) == 3)
    cluster[0].client.post("/silences", json=silence).raise_for_status()
    for replica in cluster:
        replica.until(lambda replica=replica: [each["comment"] for each in replica.client.get("/silences").json()])


@each_inhibition
def test_a_cause_silences_what_follows_from_it_and_nothing_of_another(inhibition, running):
    (cause, *_) = causes(inhibition)
    here, elsewhere = (dict.fromkeys(inhibition.equal, where) for where in ("here", "elsewhere"))
    with running.firing({"alertname": cause.name, **cause.labels, **here}):
        # One at a time: they may silence each other as well.
        for rule in [rule for rule in ALERTS if rule.name in inhibition.silenced]:
            follows = {"alertname": rule.name, **rule.labels, **here}
            with running.firing(follows):
                running.until(lambda follows=follows: running.silenced_by("inhibitedBy", **follows))
            if elsewhere:
                assert is_told(running, follows | elsewhere)


@each_inhibition
def test_what_follows_is_told_when_its_cause_is_another(inhibition, running):
    """The same name with other labels is another cause: that nobody knows of a database is no outage."""
    here = dict.fromkeys(inhibition.equal, "here")
    for rule in [rule for rule in ALERTS if rule.name == inhibition.cause and rule not in causes(inhibition)]:
        with running.firing({"alertname": rule.name, **rule.labels, **here}):
            assert [name for name in inhibition.silenced if not is_told(running, {"alertname": name, **here})] == []


def is_told(running: Running, alert: Mapping[str, str]) -> bool:
    with running.firing(alert):
        (known,) = running.until(lambda: running.known(**alert))
        return known["status"]["inhibitedBy"] == []


def test_maintenance_mutes_all_but_a_complete_outage_and_the_heartbeat(in_maintenance):
    running = in_maintenance
    quiet = [{"alertname": f"Quiet{priority}", "priority": priority} for priority in ("P1", "P2", "P3")]
    running.post(*quiet, {"alertname": "Outage", "priority": "P0"}, {"alertname": "Watchdog", "severity": "none"})
    for each in quiet:
        running.until(lambda each=each: running.silenced_by("mutedBy", **each))
    running.until(lambda: running.told("Outage"))
    running.until(lambda: running.outside.on("/heartbeat"))
    assert [each for each in quiet if running.told(each["alertname"])] == []
