"""Whom Alertmanager tells of what: the table of priorities, the inhibitions and the configuration made of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from infra.monitoring import routing
from infra.monitoring.routing import (
    INHIBITIONS,
    ROUTES,
    SECRETS,
    Delivery,
    Inhibition,
    alertmanager_config,
    expected,
    problems,
    secret_files,
)
from infra.monitoring.rules import Rule, read_rules
from infra.settings import Notifications

ROOT = Path(__file__).parents[2]
ALERTS = [
    rule
    for path in sorted((ROOT / "rules").glob("*.yml"))
    for rule in read_rules(path, f"rules/{path.name}")[0]
    if rule.kind == "alert"
]
EXAMPLES = [
    (test["alertname"], example["exp_labels"])
    for path in sorted((ROOT / "rules" / "tests").glob("*.yml"))
    for case in yaml.load(path.read_text(), yaml.CSafeLoader).get("tests", [])
    for test in case.get("alert_rule_test", [])
    for example in test.get("exp_alerts", [])
]
MAIL = {
    "host": "mail.example.com",
    "port": 587,
    "sender": "alerts@example.com",
    "recipients": ("day@example.com", "night@example.com"),
    "username": "alerts",
    "password": "hunter2",
}
ALL = {
    "heartbeat_url": "https://heartbeat.example.com/token1",
    "webhook_url": "https://responder.example.com/token2",
    "slack_token": "xoxb-token3",
    "mail": MAIL,
}
NIGHT = {"weekdays": ("sunday",), "start": "02:00", "end": "04:00"}
TEAM = ("#engineering", "#leadership")
RECIPIENTS = ("day@example.com", "night@example.com")


each_inhibition = pytest.mark.parametrize("inhibition", INHIBITIONS, ids=lambda each: each.cause)


def causes(inhibition: Inhibition) -> list[Rule]:
    """The rules by which an inhibition begins."""
    return [each for each in ALERTS if each.name == inhibition.cause and inhibition.when.items() <= each.labels.items()]


def notifications(**settings) -> Notifications:
    return Notifications.model_validate(settings)


def receivers(settings) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in alertmanager_config(settings)["receivers"]}


def routes(settings) -> dict[str, dict[str, object]]:
    return {each["receiver"]: each for each in alertmanager_config(settings)["route"]["routes"]}


def channels(receiver) -> set[str]:
    """What a receiver of the configuration reaches, in the words of `expected`."""
    return {
        *("webhook" for _ in receiver.get("webhook_configs", [])),
        *(each["channel"] for each in receiver.get("slack_configs", [])),
        *(address for each in receiver.get("email_configs", []) for address in each["to"].split(", ")),
    }


def windows(**maintenance) -> list[tuple[list[str], str, str]]:
    (interval,) = alertmanager_config(notifications(maintenance=(maintenance,)))["time_intervals"]
    return [
        (each["weekdays"], time["start_time"], time["end_time"])
        for each in interval["time_intervals"]
        for time in each["times"]
    ]


@pytest.mark.parametrize(
    ("priority", "delivery"),
    [
        ("P0", Delivery(receiver="p0", channels=("webhook", "#incidents", *TEAM, *RECIPIENTS))),
        ("P1", Delivery(receiver="p1", channels=("webhook", "#incidents", *TEAM, *RECIPIENTS))),
        ("P2", Delivery(receiver="p2", channels=("webhook", "#incidents", *RECIPIENTS))),
        ("P3", Delivery(receiver="p3", channels=("webhook", "#incidents"))),
        (None, Delivery(receiver="p1", channels=("webhook", "#incidents", *TEAM, *RECIPIENTS))),
    ],
)
def test_a_priority_arrives_where_the_operations_guide_says(priority, delivery):
    assert expected(priority, notifications(**ALL)) == delivery


@pytest.mark.parametrize("priority", ROUTES)
@pytest.mark.parametrize("absent", [None, *ALL])
def test_the_configuration_says_what_the_table_says(priority, absent):
    settings = notifications(**{key: value for key, value in ALL.items() if key != absent})
    delivery = expected(priority, settings)
    assert channels(receivers(settings)[delivery.receiver]) == set(delivery.channels)


def test_what_is_not_set_is_not_told():
    assert receivers(notifications()) == {name: {"name": name} for name in ("p0", "p1", "p2", "p3", "heartbeat")}


@pytest.mark.parametrize(("priority", "repeat"), [("p0", "15m"), ("p1", "1h"), ("p2", "4h"), ("p3", "24h")])
def test_it_is_repeated_when_the_time_to_respond_is_over(priority, repeat):
    assert routes(notifications())[priority]["repeat_interval"] == repeat


def test_a_complete_outage_is_told_at_once():
    # Scrape and evaluation intervals of 15 s each and `for: 1m` are 90 s at worst: nothing is left to wait for.
    assert routes(notifications())["p0"]["group_wait"] == "1s"


def test_an_alert_without_a_priority_is_told_as_p1_is():
    config = alertmanager_config(notifications(**ALL))
    unmatched = {key: config["route"][key] for key in ("receiver", "group_wait", "group_interval", "repeat_interval")}
    assert unmatched.items() <= routes(notifications(**ALL))["p1"].items()


def test_the_watchdog_is_looked_for_before_any_priority():
    first = alertmanager_config(notifications())["route"]["routes"][0]
    assert (first["matchers"], first["receiver"]) == (['alertname="Watchdog"'], "heartbeat")


def test_the_heartbeat_is_sent_every_minute():
    # The first look after `repeat_interval` sends it: 50 s are over at the look after 60 s.
    heartbeat = routes(notifications())["heartbeat"]
    assert [heartbeat[key] for key in ("group_wait", "group_interval", "repeat_interval")] == ["0s", "10s", "50s"]


def test_the_end_of_the_watchdog_is_no_heartbeat():
    (webhook,) = receivers(notifications(**ALL))["heartbeat"]["webhook_configs"]
    assert webhook["send_resolved"] is False


def test_whoever_is_told_is_told_of_the_end():
    told = [receiver for name, receiver in receivers(notifications(**ALL)).items() if name != "heartbeat"]
    kinds = [each for receiver in told for key, each in receiver.items() if key != "name"]
    assert {channel["send_resolved"] for each in kinds for channel in each} == {True}


def test_the_responder_is_told_of_every_alert():
    webhooks = [hook for each in receivers(notifications(**ALL)).values() for hook in each["webhook_configs"]]
    assert {hook["max_alerts"] for hook in webhooks} == {0}


def test_no_secret_is_in_the_configuration():
    text = json.dumps(alertmanager_config(notifications(**ALL)))
    assert [secret for secret in ("token1", "token2", "token3", "hunter2", "**") if secret in text] == []


def test_every_secret_that_it_reads_is_in_a_file():
    config = alertmanager_config(notifications(**ALL))
    files = {value.get_secret_value() for value in secret_files(notifications(**ALL)).values()}
    read = {each.split('"')[0] for each in json.dumps(config).split(f"{SECRETS}/")[1:]}
    assert read == set(secret_files(notifications(**ALL)))
    assert files == {ALL["heartbeat_url"], ALL["webhook_url"], ALL["slack_token"], MAIL["password"]}


def test_without_secrets_there_are_no_files():
    assert secret_files(notifications(mail={**MAIL, "password": None})) == {}


def test_the_token_of_slack_goes_to_slack_only():
    config = alertmanager_config(notifications(**ALL))
    assert "http_config" not in config["global"]
    for receiver in config["receivers"]:
        for kind in ("webhook_configs", "slack_configs"):
            found = {(each.get("api_url"), "http_config" in each) for each in receiver.get(kind, [])}
            assert found <= {(None, False), ("https://slack.com/api/chat.postMessage", True)}


def test_mail_is_never_sent_in_clear_text():
    assert alertmanager_config(notifications(**ALL))["global"]["smtp_require_tls"] is True


def test_a_mail_server_without_a_login_gets_none():
    mail = {key: value for key, value in MAIL.items() if key not in {"username", "password"}}
    assert not [key for key in alertmanager_config(notifications(mail=mail))["global"] if "auth" in key]


def test_what_one_fault_breaks_is_one_notification():
    config = alertmanager_config(notifications())
    assert config["route"]["group_by"] == ["alertname"]
    assert not [route for route in config["route"]["routes"] if "group_by" in route]


def test_maintenance_mutes_everything_below_p0_but_not_the_heartbeat():
    settings = notifications(maintenance=(NIGHT,))
    muted = [name for name, route in routes(settings).items() if route.get("mute_time_intervals") == ["maintenance"]]
    assert muted == ["p1", "p2", "p3"]


def test_without_maintenance_nothing_is_muted():
    assert "time_intervals" not in alertmanager_config(notifications())
    assert not [name for name, route in routes(notifications()).items() if "mute_time_intervals" in route]


@pytest.mark.parametrize(
    ("start", "end", "expected_windows"),
    [
        ("02:00", "04:00", [(["saturday", "sunday"], "02:00", "04:00")]),
        ("22:00", "24:00", [(["saturday", "sunday"], "22:00", "24:00")]),
        (
            "22:00",
            "02:00",
            [(["saturday", "sunday"], "22:00", "24:00"), (["sunday", "monday"], "00:00", "02:00")],
        ),
        ("22:00", "00:00", [(["saturday", "sunday"], "22:00", "24:00")]),
        ("00:00", "00:00", [(["saturday", "sunday"], "00:00", "24:00")]),
        ("24:00", "02:00", [(["sunday", "monday"], "00:00", "02:00")]),
    ],
)
def test_a_window_may_go_on_past_midnight(start, end, expected_windows):
    assert windows(weekdays=("saturday", "sunday"), start=start, end=end) == expected_windows


def test_windows_are_in_utc():
    (interval,) = alertmanager_config(notifications(maintenance=(NIGHT,)))["time_intervals"]
    assert {each["location"] for each in interval["time_intervals"]} == {"UTC"}


def test_every_receiver_is_reached_and_every_inhibition_is_about_alerts_that_exist():
    found = problems(alertmanager_config(notifications(**ALL)), INHIBITIONS, ALERTS)
    assert [str(each) for each in found] == []


def test_a_receiver_that_nothing_routes_to_is_named_with_its_place():
    config = alertmanager_config(notifications())
    config["receivers"].append({"name": "nobody"})
    (problem,) = problems(config, [], ALERTS)
    assert str(problem) == f"{routing.FILE}:{problem.line}: nothing is routed to the receiver nobody"
    assert (ROOT / routing.FILE).read_text().splitlines()[problem.line - 1].startswith("ROUTES")


def rule(name: str, **labels: str) -> Rule:
    return replace(ALERTS[0], name=name, labels=labels)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cause": "Gone"}, "the inhibition by Gone names Gone: no alert in rules/ has that name"),
        ({"silenced": ["Gone"]}, "the inhibition by Cause names Gone: no alert in rules/ has that name"),
        ({"silenced": ["Cause"]}, "Cause silences itself"),
        ({"when": {"cause": "rain"}}, 'the inhibition by Cause waits for cause="rain": it never has that'),
    ],
)
def test_an_inhibition_that_would_never_work_is_named(wrong, message):
    inhibition = Inhibition(**({"cause": "Cause", "silenced": ["Other"], "reason": "a test"} | wrong))
    rules = [rule("Cause", cause="sun"), rule("Other")]
    assert [each.message for each in problems(alertmanager_config(notifications()), [inhibition], rules)] == [message]


def test_nothing_silences_the_watchdog():
    assert "Watchdog" not in {name for each in INHIBITIONS for name in each.silenced}


@each_inhibition
def test_what_silences_is_at_least_as_urgent_as_what_it_silences(inhibition):
    if "priority" in inhibition.equal:
        return
    cause = max(rule.labels["priority"] for rule in causes(inhibition))
    urgent = [rule.name for rule in ALERTS if rule.name in inhibition.silenced and rule.labels["priority"] < cause]
    assert urgent == [], f"{inhibition.cause} is {cause}: whoever is called for it would come too late for these"


@each_inhibition
def test_what_must_be_equal_are_labels_that_both_have(inhibition):
    for name, labels in EXAMPLES:
        if name in {inhibition.cause, *inhibition.silenced}:
            assert set(inhibition.equal) <= set(labels), name


def test_no_two_causes_silence_each_other():
    pairs = {(each.cause, name) for each in INHIBITIONS for name in each.silenced}
    assert {(cause, name) for cause, name in pairs if (name, cause) in pairs} == set()


def test_every_inhibition_says_why():
    assert [each.cause for each in INHIBITIONS if not each.reason] == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda each: f"{each.name}-{each.line}")
def test_every_alert_has_a_priority_that_is_routed(alert):
    priority = alert.labels.get("priority")
    assert priority in ROUTES or alert.name == "Watchdog", f"{alert.file}:{alert.line}: priority is {priority}"
