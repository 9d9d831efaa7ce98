"""The rules, their tests and runbooks as they are, and each check by something broken."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from infra.monitoring.checks import kebab, problems
from infra.monitoring.metrics import APP, JOBS
from tests.conftest import platform_of

ROOT = Path(__file__).parents[2]

RULES = """\
groups:
  - name: recorded
    rules:
      - record: job:http_requests:rate5m
        expr: sum by (job) (rate(http_requests_total{job="modelcard-generator"}[5m]))
  - name: alerts
    rules:
      - alert: TooManyRequests
        expr: job:http_requests:rate5m > 100
        for: 2m
        labels:
          severity: warning
          priority: P2
        annotations:
          summary: Too many requests
          description: "{{ $labels.job }} has {{ $value | humanize }} a second, more than 100."
          dashboard: /d/service
          runbook_url: https://runbooks.terragonlabs.com/too-many-requests
"""
TESTS = """\
rule_files: [../requests.yml]
evaluation_interval: 15s
group_eval_order: [recorded, alerts]
tests:
  - name: job:http_requests:rate5m
    promql_expr_test:
      - {expr: job:http_requests:rate5m, eval_time: 10m}
  - name: "TooManyRequests: firing"
    alert_rule_test:
      - eval_time: 10m
        alertname: TooManyRequests
        exp_alerts:
          - exp_labels: {severity: warning}
            exp_annotations: {summary: Too many requests}
  - name: "TooManyRequests: healthy"
    alert_rule_test: [{alertname: TooManyRequests, eval_time: 10m}]
  - name: "TooManyRequests: below threshold"
    alert_rule_test: [{alertname: TooManyRequests, eval_time: 10m}]
  - name: "TooManyRequests: pending"
    alert_rule_test: [{alertname: TooManyRequests, eval_time: 1m, exp_alerts: []}]
  - name: "TooManyRequests: missing series"
    alert_rule_test: [{alertname: TooManyRequests, eval_time: 10m}]
"""
FILES = {
    "rules/requests.yml": RULES,
    "rules/tests/requests.yml": TESTS,
    "rules/metrics/redis.yml": "redis_memory_used_bytes: {type: gauge, labels: []}\n",
    "runbooks/too-many-requests.md": "# TooManyRequests\n",
}
IN_RULES, IN_TESTS = "rules/requests.yml", "rules/tests/requests.yml"


@pytest.fixture
def repository(tmp_path):
    """Files in which nothing is wrong."""
    for job in JOBS.keys() - {APP}:
        write(tmp_path, f"rules/metrics/{job}.yml", "{}\n")
    for file, text in FILES.items():
        write(tmp_path, file, text)
    return tmp_path


def write(root, file, text):
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)


def change(root, file, old, new):
    text = (root / file).read_text()
    assert text.count(old) >= 1
    write(root, file, text.replace(old, new, 1))


def said(root):
    return [str(problem) for problem in problems(root)]


def test_nothing_is_wrong():
    assert said(ROOT) == []


def test_nothing_is_wrong_with_what_is_broken_below(repository):
    assert said(repository) == []


EXPR = "job:http_requests:rate5m > 100"
BROKEN_EXPRESSIONS = [
    ("rate(http_requests_total[5m]", "does not parse: unclosed left parenthesis"),
    ("http_request_totl > 1", "http_request_totl is unknown"),
    ('redis_memory_used_bytes{job="node"} > 1', "redis_memory_used_bytes is unknown to job node"),
    ('up{job="reddis"} == 0', "no job is called reddis"),
    ('rate(http_requests_total{code="500"}[5m]) > 1', "http_requests_total has no label code"),
    ("sum by (job, path) (rate(http_requests_total[5m])) > 1", "`by` names path"),
    ("up * on (job, zone) job:http_requests:rate5m > 1", "`on` names zone"),
    ("up * on (job) group_left (zone) job:http_requests:rate5m > 1", "`group_left or group_right` names zone"),
    ('job:http_requests:rate5m{pod="a"} > 100', "job:http_requests:rate5m has no label pod"),
    ("sum by (job) (rate(http_requests_total[30s])) > 1", "4 scrapes of it take 40s: widen the range"),
    ("sum by (job) (rate(redis_memory_used_bytes[50s])) > 1", "4 scrapes of it take 60s: widen the range"),
    ("max_over_time(job:http_requests:rate5m[30s:15s]) > 1", "4 scrapes of it take 60s: widen the range"),
    ("sum by (job) (rate(http_requests_total[4d])) > 1", "is read over 4 days; 3 are the most"),
    (
        "histogram_quantile(0.95, sum by (job) (rate(http_request_duration_seconds_bucket[5m]))) > 2",
        "adds buckets up without `le`: add it to `by`",
    ),
]


@pytest.mark.parametrize(("expr", "message"), BROKEN_EXPRESSIONS)
def test_an_expression_that_cannot_mean_what_it_says(repository, expr, message):
    change(repository, IN_RULES, f"expr: {EXPR}", f"expr: '{expr.replace(chr(39), '')}'")
    assert [
        each
        for each in said(repository)
        if each.startswith("rules/requests.yml:9: TooManyRequests: ") and message in each
    ]


BROKEN_RULES = [
    ("groups:\n", "groups: [\n", 2, "is not YAML as we write it"),
    ("        for: 2m\n", "        for: 2m\n        for: 3m\n", 11, "for is there twice"),
    ("        for: 2m", "        hold: 2m", 10, "a rule of kind `alert` has no `hold`"),
    ("  - name: alerts\n", "  - name: alerts\n    limit: 1\n", 7, "a group has no `limit`"),
    ("  - name: alerts\n", "  - name: alerts\n    interval: 15s\n", 7, "interval is 15s; it must be shorter than"),
    ("  - name: alerts\n", "  - name: alerts\n    interval: often\n", 7, "often is no duration"),
    ("groups:\n", "version: 1\ngroups:\n", 1, "a rule file has no `version`"),
    ("      - alert: TooManyRequests\n", "      - name: TooManyRequests\n", 8, "a rule has `expr`, and either"),
    ("severity: warning", "severity: page", 12, "severity is page; it must be one of critical, warning, info"),
    ("          severity: warning\n", "", 11, "severity is None"),
    ("priority: P2", "priority: P0", 13, "priority is P0; with severity warning it is P1 or P2"),
    ("          priority: P2\n", "", 11, "priority is None"),
    ("          summary: Too many requests\n", "", 14, "lacks the annotation summary"),
    ("          dashboard: /d/service\n", "", 14, "lacks the annotation dashboard"),
    ("/d/service", "/d/services", 17, "dashboard is /d/services; it must be /d/ and one of service, "),
    ("com/too-many", "com/to-many", 18, "it must be https://runbooks.terragonlabs.com/too-many-requests"),
    ("$labels.job", "$labels.pod", 16, "description says $labels.pod, which the alert does not have; it has job"),
    ("for: 2m", "for: 15s", 10, "`for` is 15s; it must be 30s, two evaluations, or more"),
    ("        for: 2m\n", "", 8, "`for` is missing"),
    ("for: 2m", "for: soon", 10, "soon is no duration"),
    ("record: job:http_requests:rate5m", "record: http_requests_rate5m", 4, "is named level:metric:operations"),
    ("record: job:http_requests:rate5m", "record: job:http_requests:rate10m", 4, "has no test"),
    ("alert: TooManyRequests", "alert: ManyRequests", 8, "runbooks/many-requests.md is missing: write it"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), BROKEN_RULES)
def test_a_rule_that_breaks_a_promise(repository, old, new, line, message):
    change(repository, IN_RULES, old, new)
    assert [each for each in said(repository) if each.startswith(f"rules/requests.yml:{line}: ") and message in each]


def test_the_jobs_are_those_that_prometheus_is_told_of():
    (config,) = (yaml.safe_load(each) for each in files(platform_of("prod"), "prometheus.yml"))
    every = config["global"]["scrape_interval"]
    assert {
        job["job_name"]: int(job.get("scrape_interval", every).removesuffix("s")) for job in config["scrape_configs"]
    } == JOBS


def files(platform, name):
    """The contents of a file in all ConfigMaps and Secrets."""
    return [each["data"][name] for each in platform.manifests() if name in (each.get("data") or {})]


def test_an_alert_that_is_there_twice(repository):
    again = RULES[RULES.index("  - name: alerts") :].replace("name: alerts", "name: again")
    write(repository, "rules/zz.yml", f"groups:\n{again}")
    write(repository, "rules/tests/zz.yml", TESTS.replace("[recorded, alerts]", "[recorded, again]"))
    assert said(repository) == [
        "rules/zz.yml:4: TooManyRequests: is already at rules/requests.yml:8: rename it, or give it a label of its own"
    ]
    change(repository, "rules/zz.yml", "priority: P2", "priority: P2\n          cause: other")
    assert said(repository) == []


def test_a_runbook_page_that_no_alert_leads_to(repository):
    write(repository, "runbooks/long-gone.md", "")
    assert said(repository) == ["runbooks/long-gone.md:1: no alert has this name: rename the page or remove it"]


def test_a_job_whose_metrics_nobody_has_recorded(repository):
    (repository / "rules/metrics/redis.yml").unlink()
    change(repository, IN_RULES, EXPR, f"{EXPR} and on () redis_memory_used_bytes > 1")
    (only,) = said(repository)
    assert only == "rules/metrics/redis.yml:1: job redis has no catalogue: write down what its exporter exposes"


def test_a_group_that_may_be_evaluated_before_what_it_reads(repository):
    change(repository, IN_TESTS, "[recorded, alerts]", "[alerts, recorded]")
    (only,) = said(repository)
    assert only.startswith(
        "rules/requests.yml:9: TooManyRequests: reads job:http_requests:rate5m of the group recorded: "
    )


@pytest.mark.parametrize("aspect", ["firing", "healthy", "below threshold", "pending", "missing series"])
def test_an_alert_that_lacks_a_test(repository, aspect):
    change(repository, IN_TESTS, f"TooManyRequests: {aspect}", "TooManyRequests: something else")
    assert said(repository) == [
        f'rules/requests.yml:8: TooManyRequests: rules/tests/requests.yml has no test "TooManyRequests: {aspect}"'
    ]


BROKEN_TESTS = [
    ("tests:\n", "tests: {\n", 5, "is not YAML as we write it"),
    ("group_eval_order", "group_order", 3, "a test file has no `group_order`"),
    ("    alert_rule_test:\n", "    alert_rules:\n", 9, "a test has no `alert_rules`"),
    (
        "    alert_rule_test:\n",
        "    alert_rules:\n",
        8,
        '"TooManyRequests: firing" asserts nothing about TooManyRequests',
    ),
    ("            exp_annotations: {summary: Too many requests}\n", "", 10, "does not state all annotations"),
    (
        "exp_alerts: []",
        "exp_alerts: [{exp_annotations: {a: b}}]",
        20,
        "expects TooManyRequests to fire; it is about silence",
    ),
    ("alertname: TooManyRequests, eval_time: 1m", "alertname: TooMany, eval_time: 1m", 20, "there is no alert TooMany"),
    ("    promql_expr_test:", "    alert_rule_test:", 7, "there is no alert without a name"),
    ("TooManyRequests: pending", "TooMany: pending", 19, '"TooMany: pending" is about no rule of ours'),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), BROKEN_TESTS)
def test_a_test_that_proves_nothing(repository, old, new, line, message):
    change(repository, IN_TESTS, old, new)
    assert [
        each for each in said(repository) if each.startswith(f"rules/tests/requests.yml:{line}: ") and message in each
    ]


def test_a_firing_test_that_expects_nothing(repository):
    start, end = TESTS.index("        exp_alerts:\n"), TESTS.index('  - name: "TooManyRequests: healthy"')
    write(repository, IN_TESTS, TESTS[:start] + TESTS[end:])
    assert said(repository) == [
        'rules/tests/requests.yml:10: "TooManyRequests: firing" never expects TooManyRequests: add exp_alerts'
    ]


def test_the_heartbeat_has_no_severity_and_need_not_hold(repository):
    change(repository, IN_RULES, "severity: warning", "severity: none")
    for file in (IN_RULES, IN_TESTS):
        write(repository, file, (repository / file).read_text().replace("TooManyRequests", "Watchdog"))
    assert any("Watchdog has severity none and no priority" in each for each in said(repository))
    change(repository, IN_RULES, "          priority: P2\n", "")
    change(repository, IN_RULES, "        for: 2m\n", "")
    assert not any("severity" in each or "`for`" in each for each in said(repository))


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("HighErrorRate", "high-error-rate"),
        ("HPAAtMaximum", "hpa-at-maximum"),
        ("PVCFillsUp", "pvc-fills-up"),
        ("HighCPU", "high-cpu"),
        ("Http5xxRatio", "http5xx-ratio"),
    ],
)
def test_a_page_is_named_after_its_alert(name, page):
    assert kebab(name) == page


def test_recorded_histograms_and_summaries_are_known_by_their_series(repository):
    write(
        repository,
        "rules/metrics/prometheus.yml",
        "eval_seconds: {type: summary, labels: [rule]}\nscrape_seconds: {type: histogram, labels: [path]}\n",
    )
    expr = 'eval_seconds{quantile="0.9"} + on (rule) eval_seconds_sum > 1 and on () scrape_seconds_bucket{le="1"} > 1'
    change(repository, IN_RULES, f"expr: {EXPR}", f"expr: {expr}")
    change(repository, IN_RULES, "$labels.job", "$labels.rule")
    assert said(repository) == []
