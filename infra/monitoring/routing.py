"""What Alertmanager's configuration says, as data: whom it tells of what, when, and what it keeps to itself.

The secrets of the channels are in files that it names, read anew with every notification.
Source: prometheus.io, "Alerting: Configuration" of Alertmanager 0.28.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from infra.monitoring.rules import Problem, Rule
from infra.monitoring.scraping import TLS
from infra.settings import Maintenance, Notifications

Priority = Literal["P0", "P1", "P2", "P3"]
SECRETS = "/run/secrets/notifications"
SLACK = "https://slack.com/api/chat.postMessage"
RESPONDER_TOKEN = "responder-token"  # noqa: S105 - the name of a file
HEARTBEAT, WATCHDOG = "heartbeat", "Watchdog"
# Who is unsure how bad it is takes it for the worse.
UNSURE: Priority = "P1"
EVERYBODY = ("#incidents", "#engineering", "#leadership")
MAINTENANCE = "maintenance"
WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MIDNIGHT = "24:00"
FILE = "infra/monitoring/routing.py"


@dataclass(frozen=True, kw_only=True)
class Route:
    """How alerts of one priority are told. Times as Alertmanager writes them; `mutable` by maintenance.

    `wait` is for the first notification, `interval` for news of the same group and for a channel that failed,
    `repeat` for the same again.
    """

    wait: str
    interval: str
    repeat: str
    channels: Sequence[str]
    mail: bool
    mutable: bool


# `repeat` is the response time of the priority, `channels` are those of incident communication: the operations guide.
# P0 waits only for the rest of what Prometheus sends at once: of the 90 seconds until somebody knows that the database
# is down, a scrape, an evaluation and `for` may take all. The others wait for their cause, which silences them.
ROUTES: Mapping[Priority, Route] = {
    "P0": Route(wait="1s", interval="1m", repeat="15m", channels=EVERYBODY, mail=True, mutable=False),
    "P1": Route(wait="30s", interval="5m", repeat="1h", channels=EVERYBODY, mail=True, mutable=True),
    "P2": Route(wait="1m", interval="10m", repeat="4h", channels=EVERYBODY[:1], mail=True, mutable=True),
    "P3": Route(wait="5m", interval="1h", repeat="24h", channels=EVERYBODY[:1], mail=False, mutable=True),
}


@dataclass(frozen=True, kw_only=True)
class Inhibition:
    """While the alert `cause` is firing, nobody is told of `silenced` that have the same labels `equal`.

    `when` are labels of the cause, where its name alone says too little.
    """

    cause: str
    when: Mapping[str, str] = field(default_factory=dict)
    silenced: Sequence[str]
    equal: Sequence[str] = ()
    reason: str


BURN_RATES = (
    "ErrorBudgetBurnsVeryFast",
    "ErrorBudgetBurnsFast",
    "ErrorBudgetBurnsSteadily",
    "ErrorBudgetBurnsSlowly",
)
# What users see of a fault behind the application.
SYMPTOMS = ("HighErrorRate", "SlowResponseTime", "GenerationFailures", "SlowGenerations", *BURN_RATES)
POOL = ("DatabasePoolSaturated", "DatabasePoolWaiting", "SlowQueries")
CACHE = ("CacheErrors", "LowCacheHitRatio")
POD_TROUBLE = ("CrashLooping", "ContainerOomKilled", "ImagePullFailing", "PodUnschedulable", "PodNotReady")
INHIBITIONS: Sequence[Inhibition] = (
    Inhibition(
        cause="DatabaseConnectionIssues",
        when={"cause": "database down"},
        silenced=(*SYMPTOMS, *POOL, "ServiceProbeFailing", "PodNotReady"),
        reason="without the database no request succeeds, and no pod is ready to be sent one",
    ),
    Inhibition(
        cause="ApplicationDown",
        silenced=(*SYMPTOMS, *POOL, *CACHE, "ValidationErrorSpike", "ServiceProbeFailing"),
        reason="what is still known of single requests is what the last pods left behind",
    ),
    Inhibition(
        cause="NginxDown",
        when={"cause": "all replicas down"},
        silenced=("ServiceProbeFailing",),
        reason="the probe goes the way of the users, through nginx",
    ),
    Inhibition(
        cause="RedisDown",
        when={"cause": "cache down"},
        silenced=CACHE,
        reason="these are the same fault, seen from the application",
    ),
    Inhibition(
        cause="DatabasePoolWaiting",
        silenced=("DatabasePoolSaturated",),
        equal=("job",),
        reason="requests wait because the pool is saturated: the one that hurts is enough",
    ),
    *(
        Inhibition(
            cause=faster,
            silenced=BURN_RATES[position:],
            equal=("job", "objective"),
            reason="what burns the budget within hours burns it within days as well",
        )
        for position, faster in enumerate(BURN_RATES[:-1], 1)
    ),
    *(
        Inhibition(
            cause=cause,
            silenced=("RolloutStuck",),
            equal=("namespace",),
            reason="the rollout waits for pods of which it is known why they do not come",
        )
        for cause in POD_TROUBLE
    ),
    Inhibition(
        cause="NodeUnreachable",
        silenced=("PodNotReady",),
        equal=("node",),
        reason="nothing on that node is ready",
    ),
    Inhibition(
        cause="AlertmanagerConfigReloadFailed",
        silenced=("AlertmanagerConfigInconsistent",),
        equal=("namespace",),
        reason="one that keeps its old configuration differs from the others",
    ),
    Inhibition(
        cause="CertificateExpiresVerySoon",
        silenced=("CertificateExpiresSoon",),
        equal=("instance",),
        reason="the same certificate, later",
    ),
    Inhibition(
        cause="LowDiskSpace",
        silenced=("DiskWillFill",),
        equal=("node", "device", "mountpoint"),
        reason="what is full need not be foretold",
    ),
    Inhibition(
        cause="VolumeFillingUp",
        silenced=("VolumeWillFill",),
        # The priority is the volume's.
        equal=("namespace", "persistentvolumeclaim", "priority"),
        reason="what is full need not be foretold",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Where an alert arrives: the receiver, and by which channels: `webhook`, Slack's `#…`, mail addresses."""

    receiver: str
    channels: tuple[str, ...]


def expected(priority: Priority | None, notifications: Notifications) -> Delivery:
    """Where alerts of a priority arrive; None stands for an alert without any."""
    route = ROUTES[priority or UNSURE]
    mail = notifications.mail
    return Delivery(
        receiver=_receiver(priority or UNSURE),
        channels=(
            *(["webhook"] if notifications.webhook_url else []),
            *(route.channels if notifications.slack_token else []),
            *(mail.recipients if mail and route.mail else []),
        ),
    )


def alertmanager_config(notifications: Notifications, *, responder: str = "") -> dict[str, Any]:
    """The whole configuration. `responder` is the URL of the stack's own, which is told of everything."""
    windows = [window for each in notifications.maintenance for window in _windows(each)]
    unsure = ROUTES[UNSURE]
    return {
        **_global(notifications),
        "route": {
            "receiver": _receiver(UNSURE),
            # One fault breaks many at once, in several namespaces: one notification lists them all.
            "group_by": ["alertname"],
            **_timing(unsure),
            "routes": [
                {
                    "matchers": [f'alertname="{WATCHDOG}"'],
                    "receiver": HEARTBEAT,
                    "group_wait": "0s",
                    # Looked at every 10 s, and due after 50 s: with 60 s, every other minute would be missed by a hair.
                    "group_interval": "10s",
                    "repeat_interval": "50s",
                },
                *(
                    {
                        "matchers": [f'priority="{priority}"'],
                        "receiver": _receiver(priority),
                        **_timing(route),
                        **({"mute_time_intervals": [MAINTENANCE]} if windows and route.mutable else {}),
                    }
                    for priority, route in ROUTES.items()
                ),
            ],
        },
        "receivers": [
            *(_channels(priority, notifications, responder) for priority in ROUTES),
            {"name": HEARTBEAT, **_heartbeat(notifications)},
        ],
        "inhibit_rules": [
            {
                "source_matchers": [
                    f'alertname="{each.cause}"',
                    *(f'{label}="{value}"' for label, value in each.when.items()),
                ],
                "target_matchers": [f'alertname=~"{"|".join(each.silenced)}"'],
                **({"equal": list(each.equal)} if each.equal else {}),
            }
            for each in INHIBITIONS
        ],
        **({"time_intervals": [{"name": MAINTENANCE, "time_intervals": windows}]} if windows else {}),
    }


def secret_files(notifications: Notifications) -> dict[str, SecretStr]:
    """The files in `SECRETS` that the configuration names."""
    mail = notifications.mail
    files = {
        "heartbeat-url": notifications.heartbeat_url,
        "webhook-url": notifications.webhook_url,
        "slack-token": notifications.slack_token,
        "mail-password": mail.password if mail else None,
    }
    return {name: secret for name, secret in files.items() if secret is not None}


def _receiver(priority: Priority) -> str:
    return priority.lower()


def _global(notifications: Notifications) -> dict[str, Any]:
    mail = notifications.mail
    if mail is None:
        return {}
    account = {"smtp_auth_username": mail.username} if mail.username else {}
    password = {"smtp_auth_password_file": f"{SECRETS}/mail-password"} if mail.password else {}
    return {
        "global": {
            "smtp_smarthost": f"{mail.host}:{mail.port}",
            "smtp_from": mail.sender,
            "smtp_require_tls": True,
            **account,
            **password,
        }
    }


def _timing(route: Route) -> dict[str, str]:
    return {"group_wait": route.wait, "group_interval": route.interval, "repeat_interval": route.repeat}


def _heartbeat(notifications: Notifications) -> dict[str, Any]:
    if notifications.heartbeat_url is None:
        return {}
    # A message that the Watchdog has ended would count as a sign of life.
    return {"webhook_configs": [{"url_file": f"{SECRETS}/heartbeat-url", "send_resolved": False, "max_alerts": 0}]}


# What people read in chat and in the subject of a mail, in Alertmanager's template language.
TITLE = (
    "{{ with .CommonLabels.priority }}[{{ . }}] {{ end }}{{ .GroupLabels.alertname }}: "
    '{{ if eq .Status "firing" }}{{ .Alerts.Firing | len }} firing{{ else }}resolved{{ end }}'
)
# The lines of an alert's pods and minutes, in Kibana as it is reached by a forwarded port: of the pod that it names, or
# else what went wrong in its namespace, or anywhere; from a quarter of an hour before, which most rules look back.
KIBANA = "https://localhost:5601/app/discover#/"
LOGS = (
    '{{ $from := (.StartsAt.Add -900000000000).UTC.Format "2006-01-02T15:04:05.000Z" }}'
    '{{ $to := "now" }}{{ if eq .Status "resolved" }}{{ $to = .EndsAt.UTC.Format "2006-01-02T15:04:05.000Z" }}{{ end }}'
    "{{ $time := printf \"_g=(time:(from:'%s',to:'%s'))\" $from $to }}"
    "<{{ with .Labels.pod }}"
    f"{KIBANA}?{{{{ $time }}}}&_a=(index:modelcard-logs,"
    "query:(language:kuery,query:'kubernetes.pod.name:%22{{ . | urlquery }}%22'))"
    f"{{{{ else }}}}{KIBANA}view/recent-error-logs?{{{{ $time }}}}"
    "{{ with .Labels.namespace }}&_a=(filters:!((query:(match_phrase:(kubernetes.namespace:{{ . | urlquery }})))))"
    "{{ end }}{{ end }}|Logs>"
)
TEXT = (
    '{{ range .Alerts }}{{ if eq .Status "resolved" }}Resolved: {{ end }}*{{ .Annotations.summary }}*\n'
    "{{ .Annotations.description }}\n{{ with .Annotations.dashboard }}Dashboard {{ . }}\n{{ end }}"
    f"{LOGS}\n{{{{ end }}}}"
)
RUNBOOK = "{{ .CommonAnnotations.runbook_url }}"


def _channels(priority: Priority, notifications: Notifications, responder: str) -> dict[str, Any]:
    route, mail = ROUTES[priority], notifications.mail
    receiver: dict[str, Any] = {"name": _receiver(priority)}
    webhooks = [*([_responder(responder)] if responder else []), *_outside(notifications)]
    if webhooks:
        receiver["webhook_configs"] = webhooks
    if notifications.slack_token:
        token = {"authorization": {"credentials_file": f"{SECRETS}/slack-token"}}
        receiver["slack_configs"] = [
            {
                "api_url": SLACK,
                "http_config": token,
                "channel": channel,
                "send_resolved": True,
                "title": TITLE,
                "title_link": RUNBOOK,
                "text": TEXT,
                "fallback": TITLE,
            }
            for channel in route.channels
        ]
    if mail and route.mail:
        receiver["email_configs"] = [
            {"to": ", ".join(mail.recipients), "send_resolved": True, "headers": {"Subject": TITLE}}
        ]
    return receiver


def _responder(url: str) -> dict[str, Any]:
    access = {
        "authorization": {"credentials_file": f"{SECRETS}/{RESPONDER_TOKEN}"},
        "tls_config": {"ca_file": f"{TLS}/ca.crt"},
    }
    return {"url": url, "http_config": access, "send_resolved": True, "max_alerts": 0}


def _outside(notifications: Notifications) -> Iterator[dict[str, Any]]:
    if notifications.webhook_url:
        yield {"url_file": f"{SECRETS}/webhook-url", "send_resolved": True, "max_alerts": 0}


def _windows(maintenance: Maintenance) -> Iterator[dict[str, Any]]:
    """Alertmanager's windows end by midnight: one that goes on is continued on the days after."""
    days, start, end = maintenance.weekdays, maintenance.start, maintenance.end
    pieces: list[tuple[Sequence[str], str, str]]
    if start < end:
        pieces = [(days, start, end)]
    else:
        after = [WEEK[(WEEK.index(day) + 1) % len(WEEK)] for day in days]
        pieces = [(days, start, MIDNIGHT), (after, "00:00", end)]
    for weekdays, begin, finish in pieces:
        if begin < finish:
            yield {
                "weekdays": list(weekdays),
                "times": [{"start_time": begin, "end_time": finish}],
                "location": "UTC",
            }


def problems(config: Mapping[str, Any], inhibitions: Sequence[Inhibition], rules: Sequence[Rule]) -> list[Problem]:
    """What Alertmanager would accept in silence: receivers that nothing reaches, inhibitions of what nobody knows."""
    routed = {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])}
    receivers = [each["name"] for each in config["receivers"]]
    unreached = [f"nothing is routed to the receiver {name}" for name in receivers if name not in routed]
    found = [Problem(FILE, _line("ROUTES"), message) for message in unreached]
    names = {rule.name for rule in rules}
    for each in inhibitions:
        where = f"the inhibition by {each.cause}"
        for name in (each.cause, *each.silenced):
            if name not in names:
                message = f"{where} names {name}: no alert in rules/ has that name"
                found.append(Problem(FILE, _line(f'"{name}"'), message))
        causes = [rule for rule in rules if rule.name == each.cause]
        if causes and not any(each.when.items() <= rule.labels.items() for rule in causes):
            labels = " and ".join(f'{label}="{value}"' for label, value in each.when.items())
            found.append(
                Problem(FILE, _line(f'cause="{each.cause}"'), f"{where} waits for {labels}: it never has that")
            )
        if each.cause in each.silenced:
            found.append(Problem(FILE, _line(f'cause="{each.cause}"'), f"{each.cause} silences itself"))
    return found


def _line(text: str) -> int:
    """Where this file has the text first; its first line if nowhere."""
    lines = Path(__file__).read_text().splitlines()
    return next((number for number, line in enumerate(lines, 1) if text in line), 1)
