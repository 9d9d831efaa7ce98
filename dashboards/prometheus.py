"""Prometheus, Alertmanager and the exporters: whether what the other dashboards say can be believed."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from dashboards.page import Page, Row, Variable
from dashboards.panels import About, above, below, graph, rows_of, stat

JOB = 'job=~"$job"'
DOWN = f"count by (job) (up{{{JOB}}}) - sum by (job) (up{{{JOB}}})"
# Replicas of Prometheus and of Alertmanager see each other: each panel shows the worst of them.
RULES = (
    "max by (pod, rule_group) (prometheus_rule_group_last_duration_seconds / prometheus_rule_group_interval_seconds)"
)
RULE_FAILURES = "max by (rule_group) (increase(prometheus_rule_evaluation_failures_total[5m]))"
REFUSED = "min by (pod) (increase(prometheus_notifications_errors_total[2m]))"
LOST = "sum by (integration) (increase(alertmanager_notifications_failed_total[15m]))"
FREE = 'persistentvolumeclaim:kubelet_volume_stats_available:ratio{persistentvolumeclaim=~"data-prometheus.*"}'

PAGE = Page(
    uid="prometheus",
    title="Monitoring",
    description="Prometheus, Alertmanager and the exporters themselves.",
    health='up{job="alertmanager"}',
    variables=[Variable(label="job", metric="up")],
    glance=[
        stat(
            "Targets down",
            About(
                says="Targets that do not answer Prometheus.",
                normal="0; a few for a moment during a rollout.",
                otherwise="See the table below, then the dashboard of that part.",
                alerts=["TargetDown", "ReplicasNotScraped"],
            ),
            "count(up) - sum(up)",
            unit=units.Short,
            limits=above(1),
        ),
        stat(
            "Jobs without a target",
            About(
                says="Jobs that once were, within the last hour, and have no target now.",
                normal="0.",
                otherwise="Their pods are gone, or Prometheus may no longer list them: see its service discovery.",
                alerts=["TargetMissing"],
            ),
            "count(count by (job) (last_over_time(up[1h])) unless on (job) up) or vector(0)",
            unit=units.Short,
            limits=above(1),
        ),
        stat(
            "Rules that failed",
            About(
                says="Evaluations of rules that failed within 5 minutes.",
                normal="0.",
                otherwise="Prometheus' page of rules shows the error; alerts of that group may be silent.",
                alerts=["PrometheusRuleFailures"],
            ),
            "max(increase(prometheus_rule_evaluation_failures_total[5m]))",
            unit=units.Short,
            limits=above(1),
        ),
        stat(
            "Slowest rule group",
            About(
                says="How much of the interval the slowest group of rules takes, of 15 s.",
                normal="Below 5%.",
                otherwise="Above 100% evaluations are left out: find the costly rule below.",
                alerts=["PrometheusRulesSlow"],
            ),
            f"max({RULES})",
            unit=units.PercentUnit,
            limits=above(orange=0.5),
        ),
        stat(
            "Alertmanagers up",
            About(
                says="Alertmanagers that answer Prometheus.",
                normal="3 in prod, else 1.",
                otherwise="Without any nobody is told of anything: open the runbook at once.",
                alerts=["AlertmanagerDown", "PrometheusWithoutAlertmanager"],
            ),
            'sum(up{job="alertmanager"}) or vector(0)',
            unit=units.Short,
            limits=below(1),
        ),
        stat(
            "Notifications lost",
            About(
                says="Notifications that Alertmanager gave up within 15 minutes.",
                normal="0.",
                otherwise="See below by which way; people may not know of what is firing now.",
                alerts=["AlertmanagerNotificationsFailing"],
            ),
            "sum(increase(alertmanager_notifications_failed_total[15m])) or vector(0)",
            unit=units.Short,
            limits=above(1),
        ),
        stat(
            "Watchdog",
            About(
                says="Whether the alert that always fires does so.",
                normal="Up.",
                otherwise="Nothing is scraped, stored or evaluated: believe no other panel.",
                alerts=["Watchdog"],
            ),
            'max(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)',
            unit=units.NoUnit,
            texts={0: ("down", "red"), 1: ("up", "green")},
        ),
    ],
    rows=[
        Row(
            "Targets",
            [
                [
                    rows_of(
                        "Targets by job",
                        About(
                            says="Share of the targets of each job that answer, the worst first.",
                            normal="100% of each.",
                            otherwise="Prometheus' page of targets shows the error of each that does not.",
                            alerts=["TargetDown"],
                        ),
                        f"sort(avg by (job) (up{{{JOB}}}))",
                        unit=units.PercentUnit,
                        columns={"job": "Job", "Value": "Up"},
                        limits=below(0.9, orange=1),
                    ),
                    graph(
                        "Targets down by job",
                        About(
                            says="Targets that do not answer.",
                            normal="0.",
                            otherwise="All of a job at once: its credentials, certificate or network policy.",
                            alerts=["TargetDown", "ReplicasNotScraped"],
                        ),
                        {"{{job}}": DOWN},
                        unit=units.Short,
                        stacked=True,
                    ),
                    graph(
                        "Duration of scrapes",
                        About(
                            says="How long the slowest target of each job takes to give its metrics.",
                            normal="Below 1 s.",
                            otherwise="After 10 s Prometheus gives up: look at the CPU of that exporter.",
                            alerts=["ScrapeSlow"],
                        ),
                        {"{{job}}": f"max by (job) (scrape_duration_seconds{{{JOB}}})"},
                        unit=units.Seconds,
                        limits=above(orange=5),
                    ),
                ],
                [
                    graph(
                        "Series by job",
                        About(
                            says="Samples that a scrape of all targets of a job yields.",
                            normal="Level; the application's follow its replicas.",
                            otherwise="One that climbs has a label with too many values: find it in time.",
                        ),
                        {"{{job}}": f"sum by (job) (scrape_samples_post_metric_relabeling{{{JOB}}})"},
                        unit=units.Short,
                        stacked=True,
                    ),
                    graph(
                        "New series by job",
                        About(
                            says="Series that were not there at the scrape before.",
                            normal="0 but for rollouts.",
                            otherwise="A constant stream is a label that changes with every request.",
                        ),
                        {"{{job}}": f"sum by (job) (scrape_series_added{{{JOB}}})"},
                        unit=units.Short,
                    ),
                    graph(
                        "Collectors of exporters that fail",
                        About(
                            says="Parts of an exporter that could not read what they are for.",
                            normal="0.",
                            otherwise="The exporter's log has the reason; alerts that need it are silent meanwhile.",
                            alerts=["ExporterFailing", "KubeStateMetricsIncomplete"],
                        ),
                        {
                            "node {{collector}}": "sum by (collector) (max by (node, collector) "
                            "(node_scrape_collector_success == bool 0))",
                            "postgresql {{collector}}": "max by (collector) (pg_scrape_collector_success == bool 0)",
                        },
                        unit=units.Short,
                    ),
                ],
            ],
        ),
        Row(
            "Rules",
            [
                [
                    graph(
                        "Duration of rule groups",
                        About(
                            says="How much of its interval each group took to evaluate, the last time.",
                            normal="Below 5%.",
                            otherwise="Record what a rule reads more than once, or shorten its range.",
                            alerts=["PrometheusRulesSlow"],
                        ),
                        {"{{pod}} {{rule_group}}": f"topk(10, {RULES})"},
                        unit=units.PercentUnit,
                        limits=above(orange=0.5),
                    ),
                    graph(
                        "Evaluations that failed",
                        About(
                            says="Evaluations of each group that failed within 5 minutes.",
                            normal="0.",
                            otherwise="Prometheus' page of rules shows the error: most often two series match one.",
                            alerts=["PrometheusRuleFailures"],
                        ),
                        {"{{rule_group}}": RULE_FAILURES},
                        unit=units.Short,
                    ),
                    graph(
                        "Evaluations that were left out",
                        About(
                            says="Evaluations of each group that were left out because the one before still ran.",
                            normal="0.",
                            otherwise="Prometheus lacks CPU, or a rule has become costly.",
                        ),
                        {
                            "{{rule_group}}": "max by (rule_group) "
                            "(increase(prometheus_rule_group_iterations_missed_total[$__rate_interval]))"
                        },
                        unit=units.Short,
                    ),
                ]
            ],
        ),
        Row(
            "Alerts and notifications",
            [
                [
                    graph(
                        "Alerts sent and refused",
                        About(
                            says="Alerts per second that Prometheus sent, and those that every Alertmanager refused "
                            "within 2 minutes.",
                            normal="None refused.",
                            otherwise="With Alertmanagers up: credentials, certificate or network policy.",
                            alerts=["PrometheusNotificationsFailing"],
                        ),
                        {
                            "{{pod}} sent": "sum by (pod) "
                            "(rate(prometheus_notifications_sent_total[$__rate_interval]))",
                            "{{pod}} refused": REFUSED,
                        },
                        unit=units.Short,
                    ),
                    graph(
                        "Queue to Alertmanager",
                        About(
                            says="Alerts that wait to be sent, of those that may wait.",
                            normal="0%.",
                            otherwise="At 100% alerts are dropped: Alertmanager is slow or away.",
                            alerts=["PrometheusWithoutAlertmanager"],
                        ),
                        {
                            "{{pod}}": "max by (pod) "
                            "(prometheus_notifications_queue_length / prometheus_notifications_queue_capacity)"
                        },
                        unit=units.PercentUnit,
                        maximum=1,
                    ),
                    graph(
                        "Alerts in Alertmanager",
                        About(
                            says="Alerts that it holds. `suppressed`: silenced or inhibited.",
                            normal="The Watchdog, and what the service dashboard shows.",
                            otherwise="Many suppressed: somebody may have silenced too much.",
                        ),
                        {"{{state}}": "max by (state) (alertmanager_alerts)"},
                        unit=units.Short,
                    ),
                ],
                [
                    graph(
                        "Notifications",
                        About(
                            says="Notifications per minute that Alertmanager sent, by the way that they took.",
                            normal="The heartbeat, steadily.",
                            otherwise="No heartbeat: outside, the alarm has gone off already.",
                        ),
                        {
                            "{{integration}}": "60 * sum by (integration) "
                            "(rate(alertmanager_notifications_total[$__rate_interval])) or on () vector(0)"
                        },
                        unit=units.CountsPerMinute,
                    ),
                    graph(
                        "Notifications lost by way",
                        About(
                            says="Notifications that Alertmanager gave up within 15 minutes.",
                            normal="0.",
                            otherwise="Its log has the answer of the other side.",
                            alerts=["AlertmanagerNotificationsFailing"],
                        ),
                        {"{{integration}}": f"{LOST} or on () vector(0)"},
                        unit=units.Short,
                    ),
                    graph(
                        "p95 of notifications",
                        About(
                            says="95% of the notifications are delivered within this time.",
                            normal="Below 1 s.",
                            otherwise="The other side is slow; people are told late.",
                        ),
                        {
                            "{{integration}}": "histogram_quantile(0.95, sum by (le, integration) "
                            "(rate(alertmanager_notification_latency_seconds_bucket[$__rate_interval])))"
                        },
                        unit=units.Seconds,
                    ),
                    graph(
                        "Members of the cluster",
                        About(
                            says="How many Alertmanagers the loneliest of them knows, itself included, and how many "
                            "are ready. One alone has no cluster.",
                            normal="Alike.",
                            otherwise="They do not reach each other on port 9094: people are told several times.",
                            alerts=["AlertmanagerClusterDegraded"],
                        ),
                        {
                            "members": 'min(alertmanager_cluster_members) or count(up{job="alertmanager"} == 1)'
                            " or vector(0)",
                            "ready": 'max(kube_statefulset_status_replicas_ready{statefulset="alertmanager"})',
                        },
                        unit=units.Short,
                    ),
                ],
            ],
        ),
        Row(
            "Prometheus and Alertmanager",
            [
                [
                    graph(
                        "Samples stored",
                        About(
                            says="Samples per second that Prometheus stores.",
                            normal="Level.",
                            otherwise="0: it cannot write; is its volume full?",
                            alerts=["PrometheusNotIngesting"],
                        ),
                        {
                            "{{pod}}": "sum by (pod) "
                            '(rate(prometheus_tsdb_head_samples_appended_total{type="float"}[$__rate_interval]))'
                        },
                        unit=units.CountsPerSecond,
                    ),
                    graph(
                        "Series in memory",
                        About(
                            says="Series that Prometheus holds in memory.",
                            normal="Level, with a step at each rollout.",
                            otherwise="A slope ends in its memory limit: see new series by job.",
                        ),
                        {"{{pod}}": "max by (pod) (prometheus_tsdb_head_series)"},
                        unit=units.Short,
                    ),
                    graph(
                        "Memory",
                        About(
                            says="Memory that the containers of Prometheus, Alertmanager and Grafana use.",
                            normal="Follows the series.",
                            otherwise="Compare with the limits on the Kubernetes dashboard.",
                        ),
                        {
                            "{{pod}}": "max by (pod) "
                            '(container_memory_working_set_bytes{container=~"prometheus|alertmanager|grafana"})'
                        },
                        unit=units.BytesIEC,
                    ),
                ],
                [
                    graph(
                        "Storage",
                        About(
                            says="Bytes of blocks and of the write-ahead log, and the most that blocks may take.",
                            normal="Below the most, then level.",
                            otherwise="At the most it forgets earlier than after its retention.",
                        ),
                        {
                            "{{pod}} blocks": "max by (pod) (prometheus_tsdb_storage_blocks_bytes)",
                            "{{pod}} write-ahead log": "max by (pod) (prometheus_tsdb_wal_storage_size_bytes)",
                            "most": "max(prometheus_tsdb_retention_limit_bytes)",
                        },
                        unit=units.BytesIEC,
                    ),
                    graph(
                        "Volume free",
                        About(
                            says="Free share of Prometheus' volumes.",
                            normal="Above 15%, by its own limit.",
                            otherwise="Enlarge the claim, or shorten the retention.",
                            alerts=["VolumeFillingUp"],
                        ),
                        {"{{persistentvolumeclaim}}": FREE},
                        unit=units.PercentUnit,
                        limits=below(0.1),
                        maximum=1,
                    ),
                    graph(
                        "Troubles of the storage",
                        About(
                            says="Compactions, checkpoints and loads of blocks that failed within 3 hours.",
                            normal="0.",
                            otherwise="Its log names the block; its volume and memory fill up meanwhile.",
                            alerts=["PrometheusTsdbProblems"],
                        ),
                        {
                            "{{pod}} compaction": "max by (pod) "
                            "(increase(prometheus_tsdb_compactions_failed_total[3h]))",
                            "{{pod}} checkpoint": "max by (pod) "
                            "(increase(prometheus_tsdb_checkpoint_creations_failed_total[3h]))",
                            "{{pod}} load": "max by (pod) (increase(prometheus_tsdb_reloads_failures_total[3h]))",
                        },
                        unit=units.Short,
                    ),
                    graph(
                        "Configurations",
                        About(
                            says="1 where the last configuration was accepted; and how many different ones the "
                            "Alertmanagers have.",
                            normal="1 everywhere.",
                            otherwise="0: it goes on with the one before and will not start with this one.",
                            alerts=[
                                "PrometheusConfigReloadFailed",
                                "AlertmanagerConfigReloadFailed",
                                "AlertmanagerConfigInconsistent",
                            ],
                        ),
                        {
                            "{{pod}} accepted": "max by (pod) (prometheus_config_last_reload_successful"
                            " or alertmanager_config_last_reload_successful)",
                            "different": 'count(count_values("config", alertmanager_config_hash))',
                        },
                        unit=units.Short,
                    ),
                ],
                [
                    graph(
                        "Queries",
                        About(
                            says="Queries per second that Prometheus answers, those of rules left out.",
                            normal="A few, with open dashboards.",
                            otherwise="Many: a dashboard is open somewhere with a short refresh.",
                        ),
                        {
                            "{{pod}} {{handler}}": "sum by (pod, handler) (rate(prometheus_http_requests_total"
                            '{handler=~"/api/v1/query|/api/v1/query_range|/api/v1/series"}[$__rate_interval]))'
                        },
                        unit=units.RequestsPerSecond,
                    ),
                    graph(
                        "Duration of queries",
                        About(
                            says="How long 90% of the evaluations take, those of rules included.",
                            normal="Below 0.1 s.",
                            otherwise="Find the costly rule or panel; Prometheus lacks CPU meanwhile.",
                        ),
                        {
                            "{{pod}}": "max by (pod) (prometheus_engine_query_duration_seconds"
                            '{slice="inner_eval", quantile="0.9"})'
                        },
                        unit=units.Seconds,
                    ),
                    graph(
                        "Restarts of the monitoring",
                        About(
                            says="Restarts of the containers of the monitoring within an hour.",
                            normal="0.",
                            otherwise="Again and again: out of memory? See the Kubernetes dashboard.",
                        ),
                        {
                            "{{pod}}": "max by (pod) (increase(kube_pod_container_status_restarts_total"
                            '{container=~"prometheus|alertmanager|grafana|adapter|exporter"}[1h]))'
                        },
                        unit=units.Short,
                    ),
                ],
            ],
        ),
    ],
)
