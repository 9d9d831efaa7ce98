"""Incidents: what is open, who has come, and whether people can be told."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.page import Page, Row
from dashboards.panels import UP_OR_DOWN, About, above, graph, rows_of, stat

PAGE = Page(
    uid="incidents",
    title="Incidents",
    description="What is open, who has come, and whether people can be told.",
    health='up{job="incidents"}',
    glance=[
        stat(
            "Responder",
            About(
                says="Whether the responder answers Prometheus.",
                normal="Up. Without it alerts still reach people, and nobody counts the minutes.",
                otherwise="`kubectl -n modelcard-observability get pods -l app.kubernetes.io/name=incident-responder`.",
                alerts=["IncidentResponderDown"],
            ),
            'max(up{job="incidents"})',
            unit=units.NoUnit,
            texts=UP_OR_DOWN,
        ),
        stat(
            "Open",
            About(
                says="Incidents that are open, of any severity.",
                normal="0.",
                otherwise="`mcops incident list`, or the table below: the worst come first.",
            ),
            "sum(incidents_open)",
            unit=units.Short,
            limits=above(orange=1),
        ),
        stat(
            "Waiting for somebody",
            About(
                says="Age of the oldest incident of P0 or P1 that nobody has acknowledged.",
                normal="0, or less than 15 minutes for P0 and an hour for P1.",
                otherwise="`mcops incident ack`, if you work on it.",
                alerts=["IncidentResponseLate"],
            ),
            'max(incidents_unacknowledged_seconds{severity=~"P0|P1"})',
            unit=units.Seconds,
            limits=above(orange=1),
        ),
        stat(
            "Clocks",
            About(
                says="How long the oldest clock has been due and nothing was done.",
                normal="Less than 5 seconds.",
                otherwise="Look at the list of incidents yourself, then at the responder's log.",
                alerts=["IncidentEscalationMissed"],
            ),
            "max(incidents_timer_overdue_seconds)",
            unit=units.Seconds,
            limits=above(60),
        ),
        stat(
            "Messages that wait",
            About(
                says="Age of the oldest message that has not been taken by its sink.",
                normal="A few seconds.",
                otherwise="`mcops incident timeline` says why; other sinks are not held up.",
                alerts=["IncidentMessagesWaiting"],
            ),
            "max(incidents_outbox_oldest_seconds)",
            unit=units.Seconds,
            limits=above(orange=300),
        ),
    ],
    rows=[
        Row(
            "What is open",
            [
                [
                    rows_of(
                        "Open incidents",
                        About(
                            says="Each incident that is open.",
                            normal="None.",
                            otherwise="`mcops incident timeline` says what has happened, and who was told.",
                        ),
                        "max by (incident, severity, state, title) (incidents_open_info)",
                        unit=units.NoUnit,
                        columns={"severity": "Severity", "incident": "Incident", "state": "State", "title": "What"},
                    ),
                    graph(
                        "Open by severity",
                        About(
                            says="Incidents that are open.",
                            normal="None.",
                            otherwise="Many at once are mostly one fault: look for its cause among the alerts.",
                        ),
                        {"{{severity}}": "sum by (severity) (incidents_open)"},
                        unit=units.Short,
                        stacked=True,
                    ),
                ],
                [
                    graph(
                        "Waiting for somebody, by severity",
                        About(
                            says="Age of the oldest incident that nobody has acknowledged.",
                            normal="Below 15 minutes for P0, an hour for P1, 4 hours for P2, a day for P3.",
                            otherwise="Beyond it the breach is on record, and everybody is told again and again.",
                            alerts=["IncidentResponseLate"],
                        ),
                        {"{{severity}}": "max by (severity) (incidents_unacknowledged_seconds)"},
                        unit=units.Seconds,
                    ),
                    graph(
                        "Opened, late and escalated",
                        About(
                            says="Incidents that were opened, that nobody came to in time, and escalations, each hour.",
                            normal="Few, and none late.",
                            otherwise="Late ones: who was on call, and what did they hear? See the postmortem.",
                            alerts=["IncidentResponseLate"],
                        ),
                        {
                            "opened": "sum(increase(incidents_opened_total[1h]))",
                            "late": "sum(increase(incidents_breaches_total[1h]))",
                            "escalations": "sum(increase(incidents_escalations_total[1h]))",
                        },
                        unit=units.Short,
                    ),
                ],
            ],
        ),
        Row(
            "Who is told",
            [
                [
                    graph(
                        "Messages",
                        About(
                            says="Attempts to send a message, per second. `repeated`: an earlier one may have arrived.",
                            normal="`sent`.",
                            otherwise="`failed`: the other side or the way to it. `rejected`: a token or a channel.",
                        ),
                        {
                            "{{sink}} {{outcome}}": "sum by (sink, outcome) (rate(incidents_sends_total"
                            "[$__rate_interval]))"
                        },
                        unit=units.OpsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "Messages that wait, by sink",
                        About(
                            says="How many messages have not been taken yet.",
                            normal="0, or falling: each channel takes one a second.",
                            otherwise="Growing: this sink is down. The others go on.",
                            alerts=["IncidentMessagesWaiting"],
                        ),
                        {"{{sink}}": "max by (sink) (incidents_outbox_messages)"},
                        unit=units.Short,
                    ),
                    graph(
                        "Webhooks by result",
                        About(
                            says="Messages from Alertmanager, per second.",
                            normal="`taken`.",
                            otherwise="Each that is refused is a line in the security log, with the reason.",
                        ),
                        {"{{result}}": "sum by (result) (rate(incidents_webhooks_total[$__rate_interval]))"},
                        unit=units.OpsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "Heartbeats",
                        About(
                            says="Signs of life that were taken outside within 5 minutes.",
                            normal="5, if `incidents.heartbeat_url` is set.",
                            otherwise="0: whoever waits for it will call. Look at the clocks, and at the way out.",
                        ),
                        {"heartbeats": "sum(increase(incidents_heartbeats_total[5m]))"},
                        unit=units.Short,
                    ),
                ]
            ],
        ),
    ],
)
