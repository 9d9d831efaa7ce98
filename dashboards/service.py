"""The overview, where everybody begins: which part is broken, and what users notice of it."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.models import units

from dashboards import backups, generation, incidents, kubernetes, logs, nginx, postgresql, prometheus, redis
from dashboards.alerts import alerts, firing, leading_to
from dashboards.page import HOME, Page, Row, Variable
from dashboards.panels import KEPT, UP_OR_DOWN, About, above, below, graph, rows_of, stat, state

# Every other dashboard, in the order in which a request meets what it shows. What is added here is linked everywhere.
PARTS: Sequence[Page] = (
    nginx.PAGE,
    generation.PAGE,
    postgresql.PAGE,
    redis.PAGE,
    kubernetes.PAGE,
    logs.PAGE,
    prometheus.PAGE,
    incidents.PAGE,
    backups.PAGE,
)
APP = 'job="modelcard-generator"'
ENDPOINT = 'endpoint=~"$endpoint"'
REQUESTS = f"http_requests_total{{{ENDPOINT}}}"
BUCKETS = f"http_request_duration_seconds_bucket{{{ENDPOINT}}}"
RATE = f"job_endpoint:http_requests:rate5m{{{ENDPOINT}}}"
ERRORS = f"job_endpoint:http_request_errors:rate5m{{{ENDPOINT}}}"
# What the alerts look at: the platform's own requests are answered with 503 on purpose.
USERS = 'endpoint!~"/health|/ready|/metrics"'
BURN_RATES = {
    "ErrorBudgetBurnsVeryFast": "1h",
    "ErrorBudgetBurnsFast": "6h",
    "ErrorBudgetBurnsSteadily": "1d",
    "ErrorBudgetBurnsSlowly": "3d",
}
EXPIRY = "probe_ssl_earliest_cert_expiry - time()"
HPA = 'horizontalpodautoscaler="modelcard-generator-hpa"'


def firing_alerts() -> str:
    """All alerts that are firing, each with the dashboard that it leads to; where there is none yet, it is this one."""
    shown = {part.uid: leading_to(part.uid) for part in PARTS}
    rest = sorted({rule.name for rule in alerts()} - {name for names in shown.values() for name in names})
    selected = " or ".join(
        f'label_replace({firing(names)}, "dashboard", "{uid}", "", "")' for uid, names in {HOME: rest, **shown}.items()
    )
    labels = "alertname, priority, severity, cause, namespace, pod, job, endpoint, objective, dashboard"
    return f"max by ({labels}) ({selected})"


PAGE = Page(
    uid=HOME,
    title="Service",
    description="What users notice, and which part is broken: begin here.",
    health=f"up{{{APP}}}",
    variables=[Variable(label="endpoint", metric="http_requests_total")],
    glance=[
        stat(
            "Users are served",
            About(
                says="Whether the probe, which asks through nginx as users do, gets an answer.",
                normal="Up.",
                otherwise="It is an outage: the first red tile from the left is where to look.",
                alerts=["ServiceProbeFailing", "ApplicationDown"],
            ),
            'min(probe_success{probe="service"})',
            unit=units.NoUnit,
            texts=UP_OR_DOWN,
            link="nginx",
        ),
        *(state(part.uid, part.title, part.health, link=part.uid) for part in PARTS),
    ],
    rows=[
        Row(
            "Alerts and objectives",
            [
                [
                    rows_of(
                        "Alerts that are firing",
                        About(
                            says="Each alert that is firing, with what it is about. Its dashboard is a link.",
                            normal="Only Watchdog, which always fires.",
                            otherwise="Begin with P0 and P1, by their runbooks. Without Watchdog no rule is evaluated.",
                        ),
                        firing_alerts(),
                        unit=units.NoUnit,
                        columns={
                            "priority": "Priority",
                            "alertname": "Alert",
                            "cause": "Cause",
                            "namespace": "Namespace",
                            "pod": "Pod",
                            "job": "Job",
                            "endpoint": "Endpoint",
                            "objective": "Objective",
                            "dashboard": "Dashboard",
                        },
                        link=("dashboard", f"/d/${{__value.text}}?{KEPT}"),
                    ),
                    graph(
                        "Error budget left",
                        About(
                            says="Of the failures that the objectives allow within 3 days, the part that is left: "
                            "99.9% of requests without 5xx, 99% within 1 s.",
                            normal="Above 0%.",
                            otherwise="Below 0% there were more than allowed: release nothing but repairs.",
                            alerts=["ErrorBudgetBurnsSlowly"],
                        ),
                        {"{{objective}}": "max by (objective) (job_objective:error_budget:remaining3d)"},
                        unit=units.PercentUnit,
                        minimum=None,
                        maximum=1,
                    ),
                ],
                [
                    graph(
                        f"Burn rate over {window}",
                        About(
                            says=f"How many times as fast as allowed the error budgets were spent over {window}.",
                            normal="Below 1.",
                            otherwise="See the errors and latencies below by endpoint, then the tile that is red.",
                            alerts=[alert],
                        ),
                        {"{{objective}}": f"max by (objective) (job_objective:error_budget:burn_rate{window})"},
                        unit=units.Short,
                        limits=above(threshold),
                    )
                    for (alert, window), threshold in zip(BURN_RATES.items(), (14.4, 6, 3, 1), strict=True)
                ],
            ],
        ),
        Row(
            "Requests, errors, latency",
            [
                [
                    graph(
                        "Requests by status",
                        About(
                            says="Requests per second that the application answered.",
                            normal="Follows the time of day; nearly all 2xx.",
                            otherwise="None at all: look at nginx. Many 4xx: a client, or a release, is at fault.",
                        ),
                        {
                            f"{code}xx": f'sum(rate({REQUESTS.removesuffix("}")}, status=~"{code}.."}}'
                            "[$__rate_interval])) or vector(0)"
                            for code in (2, 3, 4, 5)
                        },
                        unit=units.RequestsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "Requests by endpoint",
                        About(
                            says="Requests per second that the application answered, by endpoint.",
                            normal="Follows the time of day.",
                            otherwise="One that leads all at once is one client: find it in the log of nginx.",
                        ),
                        {"{{endpoint}}": f"sum by (endpoint) (rate({REQUESTS}[$__rate_interval]))"},
                        unit=units.RequestsPerSecond,
                        stacked=True,
                    ),
                    graph(
                        "Errors by endpoint",
                        About(
                            says="Share of the requests of the last 5 minutes that were answered with 5xx.",
                            normal="0%.",
                            otherwise="All endpoints alike: the database. One alone: the release, or its dependency.",
                            alerts=["HighErrorRate"],
                        ),
                        {
                            "{{endpoint}}": "max by (endpoint) "
                            f"(job_endpoint:http_request_errors:ratio_rate5m{{{ENDPOINT}, {USERS}}})"
                        },
                        unit=units.PercentUnit,
                        limits=above(0.1),
                    ),
                ],
                [
                    graph(
                        "Errors in all",
                        About(
                            says="Share of all requests of the last 5 minutes that were answered with 5xx.",
                            normal="Below 0.1%, which the objective allows.",
                            otherwise="See by endpoint.",
                            alerts=["HighErrorRate"],
                        ),
                        {
                            "errors": f"sum({ERRORS.removesuffix('}')}, {USERS}}})"
                            f" / (sum({RATE.removesuffix('}')}, {USERS}}}) > 0)"
                        },
                        unit=units.PercentUnit,
                        limits=above(0.1),
                    ),
                    graph(
                        "Latency: p50, p95, p99",
                        About(
                            says="Within which time half, 95% and 99% of the requests are answered.",
                            normal="p99 below 1 s, as the objective says.",
                            otherwise="p50 rises: load, look at saturation. Only p99: one endpoint, see beside.",
                        ),
                        {
                            f"p{percent}": f"histogram_quantile({percent / 100}, "
                            f"sum by (le) (rate({BUCKETS}[$__rate_interval])))"
                            for percent in (50, 95, 99)
                        },
                        unit=units.Seconds,
                    ),
                    graph(
                        "p95 by endpoint",
                        About(
                            says="95% of the requests to an endpoint are answered within this time, over 5 minutes.",
                            normal="Below 0.5 s.",
                            otherwise="All alike: pool, CPU or database. One alone: its query, or what it generates.",
                            alerts=["SlowResponseTime"],
                        ),
                        {
                            "{{endpoint}}": "max by (endpoint) "
                            f"(job_endpoint:http_request_duration_seconds:p95_rate5m{{{ENDPOINT}, {USERS}}})"
                        },
                        unit=units.Seconds,
                        limits=above(2),
                    ),
                ],
            ],
        ),
        Row(
            "Saturation",
            [
                [
                    graph(
                        "Connections to the database in use",
                        About(
                            says="Share of the connections of all pods' pools that work.",
                            normal="Below 50%.",
                            otherwise="Slow queries or too few pods: see PostgreSQL, then the autoscaler.",
                            alerts=["DatabasePoolSaturated"],
                        ),
                        {"in use": "max(job:modelcard_database_pool_in_use:ratio)"},
                        unit=units.PercentUnit,
                        limits=above(0.9),
                        maximum=1,
                    ),
                    graph(
                        "Requests that wait for a connection",
                        About(
                            says="Requests in each pod that wait for a connection to the database, over 2 minutes.",
                            normal="0.",
                            otherwise="One pod: restart it. All: the database is slow, or the pools are too small.",
                            alerts=["DatabasePoolWaiting"],
                        ),
                        {"{{pod}}": "sum by (pod) (avg_over_time(modelcard_database_pool_waiting[2m]))"},
                        unit=units.Short,
                        limits=above(1),
                    ),
                    graph(
                        "Replicas",
                        About(
                            says="Pods of the application that answer, that the autoscaler wants, and the most it may "
                            "have.",
                            normal="What answers is what is wanted.",
                            otherwise="Fewer: see rollouts on the Kubernetes dashboard. At the most: too much load.",
                            alerts=["ApplicationDown"],
                        ),
                        {
                            "up": f"sum(up{{{APP}}})",
                            "wanted": f"max(kube_horizontalpodautoscaler_status_desired_replicas{{{HPA}}})",
                            "most": f"max(kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}})",
                        },
                        unit=units.Short,
                    ),
                    graph(
                        "CPU of the limit, busiest pod",
                        About(
                            says="CPU that the busiest pod of the application uses, of its limit, over 5 minutes; and "
                            "the mean of all.",
                            normal="Below 80%; the autoscaler adds pods before.",
                            otherwise="Only one is busy: its connections are not shared out. All: see the autoscaler.",
                        ),
                        {
                            name: f"{name}(namespace_pod_container:container_cpu_usage_per_limit:ratio_rate5m"
                            '{container="app"})'
                            for name in ("max", "avg")
                        },
                        unit=units.PercentUnit,
                    ),
                ]
            ],
        ),
        Row(
            "Releases, logs, certificates",
            [
                [
                    graph(
                        "Versions",
                        About(
                            says="Pods by the version that they run.",
                            normal="One version but for the minutes of a rollout.",
                            otherwise="Two for half an hour: the rollout is stuck, see Kubernetes.",
                            alerts=["MixedVersions"],
                        ),
                        {"{{version}}": "count by (version) (modelcard_build_info)"},
                        unit=units.Short,
                        stacked=True,
                    ),
                    graph(
                        "Active users",
                        About(
                            says="People who used the service in the last 5 minutes. Each pod counts over all: the "
                            "largest counts.",
                            normal="Follows the time of day.",
                            otherwise="A sudden fall is something that users notice and no alert has seen.",
                        ),
                        {"users": "max(modelcard_active_users)"},
                        unit=units.Short,
                    ),
                    graph(
                        "Log records lost",
                        About(
                            says="Records that pods could not write to their log files within 10 minutes.",
                            normal="0.",
                            otherwise="The volume of the logs is full, or not writable.",
                            alerts=["LogRecordsLost"],
                        ),
                        {"{{log}}": "sum by (log) (increase(modelcard_log_records_lost_total[10m]))"},
                        unit=units.Short,
                    ),
                    rows_of(
                        "Certificates",
                        About(
                            says="How long the certificates that servers show are valid, the first to expire on top.",
                            normal="More than 21 days.",
                            otherwise="`mcenv secrets rotate` makes new ones; below 3 days do it now.",
                            alerts=["CertificateExpiresSoon", "CertificateExpiresVerySoon", "CertificateProbeFailing"],
                        ),
                        f"sort(min by (instance) ({EXPIRY}))",
                        unit=units.Seconds,
                        columns={"instance": "Server", "Value": "Expires in"},
                        limits=below(3 * 24 * 3600, orange=21 * 24 * 3600),
                    ),
                ]
            ],
        ),
    ],
)
