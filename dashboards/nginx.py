"""nginx: the only way in, seen by the exporter in each of its pods."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.page import Page, Row, Variable
from dashboards.panels import UP_OR_DOWN, About, above, graph, stat

# 2 workers of 4096 connections each: infra/components/nginx.conf.
USED = '(nginx_connections_active{pod=~"$pod"} + nginx_connections_writing{pod=~"$pod"}) / (2 * 4096)'
DROPPED = 'increase(nginx_connections_accepted{pod=~"$pod"}[5m]) - increase(nginx_connections_handled{pod=~"$pod"}[5m])'

PAGE = Page(
    uid="nginx",
    title="nginx",
    description="The edge: connections and requests of each nginx.",
    health="nginx_up",
    variables=[Variable(label="pod", metric="nginx_up")],
    glance=[
        stat(
            "Replicas up",
            About(
                says="Pods of nginx whose exporter says that they serve.",
                normal="2.",
                otherwise="`kubectl -n modelcard get pods -l app.kubernetes.io/name=edge-nginx`, then the runbook.",
                alerts=["NginxDown"],
            ),
            "sum(nginx_up) or vector(0)",
            unit=units.Short,
            texts={0: ("none", "red")},
        ),
        stat(
            "A request from outside",
            About(
                says="Whether the probe, which asks through nginx as users do, gets an answer.",
                normal="Up.",
                otherwise="With nginx up, the application behind it does not answer: see the service dashboard.",
                alerts=["ServiceProbeFailing"],
            ),
            'min(probe_success{probe="service"})',
            unit=units.NoUnit,
            texts=UP_OR_DOWN,
            link="service",
        ),
        stat(
            "Requests per second",
            About(
                says="Requests that all nginx pods took.",
                normal="Follows the time of day.",
                otherwise="At 0 nothing arrives: look at the Ingress controller and at DNS.",
            ),
            "sum(rate(nginx_http_requests_total[$__rate_interval])) or vector(0)",
            unit=units.RequestsPerSecond,
        ),
        stat(
            "Connections, fullest pod",
            About(
                says="Share of the 8192 connections of a pod that are in use, where it is largest.",
                normal="Below 20%.",
                otherwise="Find out who connects that often; more replicas help at once.",
                alerts=["NginxConnectionsNearLimit"],
            ),
            f"max({USED})",
            unit=units.PercentUnit,
            limits=above(0.8),
        ),
        stat(
            "Dropped connections",
            About(
                says="Connections of clients that nginx closed at once in the last 5 minutes, for want of room.",
                normal="0.",
                otherwise="Add replicas; see below which pod it is and what its connections do.",
                alerts=["NginxDroppedConnections"],
            ),
            f"sum(clamp_min({DROPPED}, 0))",
            unit=units.Short,
            limits=above(1),
        ),
    ],
    rows=[
        Row(
            "Traffic",
            [
                [
                    graph(
                        "Requests by pod",
                        About(
                            says="Requests per second that each pod took.",
                            normal="Alike for all pods.",
                            otherwise="A pod without any gets no connections: is it ready, is it in the Service?",
                        ),
                        {"{{pod}}": 'sum by (pod) (rate(nginx_http_requests_total{pod=~"$pod"}[$__rate_interval]))'},
                        unit=units.RequestsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "At nginx and in the application",
                        About(
                            says="Requests per second that nginx took, and those that the application answered, its "
                            "own health checks and scrapes left out.",
                            normal="Both alike; nginx has those of its probes besides.",
                            otherwise="Much less in the application: nginx answers itself, with 502, 503 or 504.",
                        ),
                        {
                            "nginx": "sum(rate(nginx_http_requests_total[$__rate_interval]))",
                            "application": "sum(rate(http_requests_total"
                            '{endpoint!~"/health|/ready|/metrics"}[$__rate_interval]))',
                        },
                        unit=units.RequestsPerSecond,
                    ),
                    graph(
                        "Requests per connection",
                        About(
                            says="How many requests a client sends through one connection, on average.",
                            normal="Above 1: connections are kept.",
                            otherwise="At 1 every request pays for a new connection: see what is before nginx.",
                        ),
                        {
                            "{{pod}}": 'sum by (pod) (rate(nginx_http_requests_total{pod=~"$pod"}[$__rate_interval])) '
                            '/ sum by (pod) (rate(nginx_connections_handled{pod=~"$pod"}[$__rate_interval]))'
                        },
                        unit=units.Short,
                    ),
                ]
            ],
        ),
        Row(
            "Connections",
            [
                [
                    graph(
                        "Connections by what they do",
                        About(
                            says="Open connections of all pods: idle, being read from, being written to.",
                            normal="Mostly idle.",
                            otherwise="Many being written to: the application is slow, or clients are.",
                        ),
                        {
                            "idle": 'sum(nginx_connections_waiting{pod=~"$pod"})',
                            "reading": 'sum(nginx_connections_reading{pod=~"$pod"})',
                            "writing": 'sum(nginx_connections_writing{pod=~"$pod"})',
                        },
                        unit=units.Short,
                        stacked=True,
                    ),
                    graph(
                        "Share of the limit",
                        About(
                            says="Share of its 8192 connections that a pod uses; a request that is being answered "
                            "holds a second one, to the application.",
                            normal="Below 20%.",
                            otherwise="Open the runbook before it is 100%: from then on connections are dropped.",
                            alerts=["NginxConnectionsNearLimit"],
                        ),
                        {"{{pod}}": f"max by (pod) ({USED})"},
                        unit=units.PercentUnit,
                        limits=above(0.8),
                    ),
                    graph(
                        "Dropped connections by pod",
                        About(
                            says="Connections that were accepted and closed at once, within 5 minutes.",
                            normal="0.",
                            otherwise="The pod has no connections left: add replicas.",
                            alerts=["NginxDroppedConnections"],
                        ),
                        {"{{pod}}": f"max by (pod) (clamp_min({DROPPED}, 0))"},
                        unit=units.Short,
                    ),
                ]
            ],
        ),
        Row(
            "Replicas",
            [
                [
                    graph(
                        "Up by pod",
                        About(
                            says="1 while the exporter in a pod gets an answer from its nginx.",
                            normal="1 for each pod.",
                            otherwise="0: look at the log of the container nginx in that pod.",
                            alerts=["NginxDown"],
                        ),
                        {"{{pod}}": 'max by (pod) (nginx_up{pod=~"$pod"})'},
                        unit=units.Short,
                        maximum=1,
                    ),
                    graph(
                        "Duration of the request from outside",
                        About(
                            says="How long the probe waits for its answer, through nginx.",
                            normal="Below 0.1 s.",
                            otherwise="Slower than the application's own p95: the time is lost in nginx or before it.",
                        ),
                        {"{{instance}}": 'max by (instance) (probe_duration_seconds{probe="service"})'},
                        unit=units.Seconds,
                    ),
                ]
            ],
        ),
    ],
)
