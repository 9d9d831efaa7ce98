"""Each check, by a dashboard in which one thing is wrong."""

from __future__ import annotations

import json

import pytest

from dashboards import files
from dashboards.checks import CHECKS, Dashboard, Dashboards, problems, replaced

PANEL = "Requests by endpoint"
FILES = files()
OTHERS = [Dashboard.read(f"dashboards/json/{name}", text) for name, text in FILES.items() if name != "service.json"]


@pytest.fixture
def folder(tmp_path):
    """Files in which nothing is wrong."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def content():
    return json.loads(FILES["service.json"])


def panel_of(content, title=PANEL):
    return next(each for each in content["panels"] if each["title"] == title)


def said(folder, content, known=lambda name: name != "no_such"):
    """What is wrong with the folder, once `service.json` is this."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "service.json").write_text(text)
    lines = text.splitlines()
    found = []
    for problem in problems(folder, known):
        line = lines[problem.line - 1].strip() if problem.file == "dashboards/json/service.json" else ""
        found.append((str(problem).partition(" ")[2], line.removesuffix(",")))
    return found


def target(content):
    return panel_of(content)["targets"][0]


def defaults(content):
    return panel_of(content)["fieldConfig"]["defaults"]


def variable(content, name):
    return next(each for each in content["templating"]["list"] if each["name"] == name)


def annotation(content):
    return next(each for each in content["annotations"]["list"] if each["name"] == "Versions")


def query(expr):
    return lambda content: target(content).update(expr=expr)


AT_PANEL = f'"title": "{PANEL}"'
BROKEN = {
    "no unit": (lambda it: defaults(it).pop("unit"), AT_PANEL, "has no unit"),
    "wrong unit": (lambda it: defaults(it).update(unit="seconds"), AT_PANEL, "the unit seconds is unknown to Grafana"),
    "no noValue": (lambda it: defaults(it).pop("noValue"), AT_PANEL, "has no noValue"),
    "no description": (lambda it: panel_of(it).pop("description"), AT_PANEL, "the description has no **Normal:**"),
    "description without remedy": (
        lambda it: panel_of(it).update(description="Says.\n\n**Normal:** 0."),
        AT_PANEL,
        "the description has no **Otherwise:**",
    ),
    "panel without data source": (lambda it: panel_of(it).pop("datasource"), AT_PANEL, "the data source is None"),
    "query without data source": (lambda it: target(it).pop("datasource"), AT_PANEL, "the data source is None"),
    "fixed data source": (
        lambda it: target(it).update(datasource={"type": "prometheus", "uid": "prometheus"}),
        AT_PANEL,
        "the data source is {'type': 'prometheus', 'uid': 'prometheus'}",
    ),
    "annotation of another source": (
        lambda it: annotation(it).update(datasource={"type": "loki", "uid": "loki"}),
        '"name": "Versions"',
        "the data source is {'type': 'loki'",
    ),
    "variable of another source": (
        lambda it: variable(it, "endpoint").pop("datasource"),
        '"name": "endpoint"',
        "the data source is None",
    ),
    "no data source to choose": (
        lambda it: it["templating"]["list"].remove(variable(it, "datasource")),
        "{",
        "has no variable datasource of type datasource for prometheus",
    ),
    "another default source": (
        lambda it: variable(it, "datasource")["current"].update(value="thanos"),
        '"name": "datasource"',
        "its default must be the uid prometheus",
    ),
    "no query": (lambda it: panel_of(it).update(targets=[]), AT_PANEL, "has no query"),
    "empty query": (query(""), AT_PANEL, "has no query"),
    "refId twice": (
        lambda it: panel_of(it)["targets"].append(dict(target(it))),
        AT_PANEL,
        "two queries have the same refId",
    ),
    "query that does not parse": (query("sum(up"), AT_PANEL, "`sum(up` does not parse: unclosed left parenthesis"),
    "annotation that does not parse": (
        lambda it: annotation(it).update(expr="max by (x"),
        '"name": "Versions"',
        "`max by (x` does not parse",
    ),
    "quantile without le": (
        query('histogram_quantile(0.9, sum by (job) (rate(x_bucket{endpoint=~"$endpoint"}[5m])))'),
        AT_PANEL,
        "adds buckets up without `le`",
    ),
    "short range": (query("rate(http_requests_total[30s])"), AT_PANEL, "http_requests_total is read over 30s"),
    "selector without a name": (query('sum({job="node"})'), AT_PANEL, "a selector names no metric"),
    "undeclared variable": (query('up{pod=~"$pod"}'), AT_PANEL, "there is no variable pod"),
    "unused variable": (
        lambda it: it["templating"]["list"].append(variable(it, "endpoint") | {"name": "method"}),
        '"name": "method"',
        "no panel uses this variable",
    ),
    "variable of what does not exist": (
        lambda it: variable(it, "endpoint").update(query="label_values(no_such, endpoint)"),
        '"name": "endpoint"',
        "no_such is unknown",
    ),
    "variable that asks otherwise": (
        lambda it: variable(it, "endpoint").update(query="query_result(up)"),
        '"name": "endpoint"',
        "its query is `query_result(up)`, not label_values(metric, label)",
    ),
    "uid of another": (lambda it: it.update(uid="redis"), "{", "another dashboard has the uid redis, too"),
    "uid that is not the file's name": (lambda it: it.update(uid="overview"), "{", "uid is overview; it must be the"),
    "id twice": (lambda it: panel_of(it).update(id=1), AT_PANEL, "another panel has the id 1, too"),
    "no id": (lambda it: panel_of(it).pop("id"), AT_PANEL, "has no id"),
    "title twice": (
        lambda it: panel_of(it, "Replicas").update(title=PANEL),
        AT_PANEL,
        f"another panel has the title {PANEL}, too",
    ),
    "overlap": (
        lambda it: panel_of(it)["gridPos"].update(x=panel_of(it)["gridPos"]["x"] - 1),
        AT_PANEL,
        "lies on Requests by status",
    ),
    "outside of the grid": (lambda it: panel_of(it)["gridPos"].update(x=20), AT_PANEL, "not within the 24 columns"),
    "link of a panel that leads nowhere": (
        lambda it: panel_of(it, "nginx")["fieldConfig"]["defaults"]["links"][0].update(url="/d/nginxx?x=y"),
        '"title": "nginx"',
        "leads to the dashboard nginxx, which does not exist",
    ),
    "link in a table that leads nowhere": (
        lambda it: panel_of(it, "Alerts that are firing")["fieldConfig"]["overrides"][0]["properties"][0].update(
            value=[{"title": "Open", "url": "/d/alerts"}]
        ),
        '"title": "Alerts that are firing"',
        "leads to the dashboard alerts, which does not exist",
    ),
    "link to elsewhere": (
        lambda it: it["links"][0].update(url="https://example.com"),
        '"title": "nginx"',
        "leads to https://example.com, which is neither a dashboard nor a runbook",
    ),
    "dashboard without a link": (lambda it: it["links"].pop(3), "{", "has no link to redis"),
    "time that is too long": (lambda it: it["time"].update({"from": "now-30d"}), "{", "it must be the last hour"),
    "time that has passed": (lambda it: it["time"].update(to="now-1h"), "{", "it must be the last hour"),
    "no refresh": (lambda it: it.pop("refresh"), "{", "is refreshed every None; it must be one of 15s"),
    "refresh that is too quick": (lambda it: it.update(refresh="1s"), "{", "is refreshed every 1s"),
    "threshold of no alert": (
        lambda it: panel_of(it, "p95 by endpoint")["fieldConfig"]["defaults"]["thresholds"]["steps"][1].update(value=3),
        '"title": "p95 by endpoint"',
        "its colour changes at 3, which is in none of the alerts SlowResponseTime",
    ),
    "threshold without an alert": (
        lambda it: defaults(it)["thresholds"]["steps"].append({"color": "red", "value": 50}),
        AT_PANEL,
        "its colour changes at 50, which is in none of the alerts -",
    ),
    "alert that does not exist": (
        lambda it: panel_of(it).update(
            description=panel_of(it)["description"] + "\n\n**Alerts:** [TooManyRequests](https://x)"
        ),
        AT_PANEL,
        "there is no alert TooManyRequests",
    ),
    "alert that no panel names": (
        lambda it: panel_of(it, "Versions").update(
            description=panel_of(it, "Versions")["description"].replace("[MixedVersions]", "")
        ),
        "{",
        "the alert MixedVersions leads here, and no panel names it",
    ),
}


def test_nothing_is_wrong_with_what_is_broken_below(folder, content):
    assert said(folder, content) == []


@pytest.mark.parametrize(("breaking", "line", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_is_told_with_its_file_and_line(folder, content, breaking, line, message):
    breaking(content)
    assert [each for each, at in said(folder, content) if message in each and at in (line, f"{line}:")]


def test_a_metric_that_does_not_exist(folder, content):
    query("sum(http_requests_totl) > sum(up)")(content)
    found = said(folder, content, known=lambda name: name != "http_requests_totl")
    assert found == [(f"{PANEL}: http_requests_totl is unknown", AT_PANEL)]


def test_alerts_are_no_metrics_of_anybody(folder):
    asked = set()
    problems(folder, lambda name: not asked.add(name))
    assert {"up", "http_requests_total", "job_endpoint:http_requests:rate5m"} <= asked
    assert "ALERTS" not in asked


def test_a_panel_in_a_collapsed_row_is_checked_like_others(folder, content):
    hidden = panel_of(content)
    content["panels"].remove(hidden)
    del hidden["fieldConfig"]["defaults"]["unit"]
    row = next(each for each in content["panels"] if each["title"] == "Saturation")
    row.update(collapsed=True, panels=[hidden])
    assert (f"{PANEL}: has no unit", AT_PANEL) in said(folder, content)


def test_what_is_no_json_is_told_with_its_line(folder):
    (folder / "service.json").write_text('{\n  "uid": service\n}')
    assert "dashboards/json/service.json:2: is not JSON: Expecting value" in map(
        str, problems(folder, lambda name: True)
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_each_check_is_among_those_that_are_broken_above(check):
    for breaking, _, _ in BROKEN.values():
        content = json.loads(FILES["service.json"])
        breaking(content)
        service = Dashboard.read("dashboards/json/service.json", json.dumps(content))
        if list(check(Dashboards(all=[*OTHERS, service], known=lambda name: name != "no_such"))):
            return
    pytest.fail("nothing above is a problem to it")


def test_variables_are_replaced_by_what_selects_everything():
    expr = 'rate(x{pod=~"$pod", job=~"${job:regex}"}[$__rate_interval]) / rate(y[$__range])'
    assert replaced(expr) == 'rate(x{pod=~".*", job=~".*"}[5m]) / rate(y[5m])'
