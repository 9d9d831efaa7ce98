"""The dashboards as they are: what Grafana reads is what is declared, and nothing is wrong with it."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

import dashboards
from dashboards.__main__ import main, stale
from dashboards.alerts import ROOT, leading_to
from dashboards.checks import problems
from dashboards.service import PAGE as SERVICE
from infra.components.grafana import DASHBOARD_FILES, HOME_DASHBOARD
from infra.monitoring import promql
from infra.monitoring.checks import DASHBOARDS, load

UIDS = [page.uid for page in dashboards.PAGES]
CONTENTS = {
    page.uid: json.loads(text) for page, text in zip(dashboards.PAGES, dashboards.files().values(), strict=True)
}
PANELS = [
    pytest.param(panel, id=f"{uid}: {panel['title']}")
    for uid, content in CONTENTS.items()
    for panel in content["panels"]
    if panel["type"] != "row"
]


def known():
    """Whether the application, an exporter or a recording rule has a metric of a name."""
    monitoring, found = load(ROOT)
    assert monitoring.known.missing == ()
    recorded = {rule.name for rule in monitoring.rules if rule.kind == "record"}
    return lambda name: name in recorded or name in monitoring.known.metrics, found


def glance(uid):
    """The panels of the first row."""
    rows = [index for index, each in enumerate(CONTENTS[uid]["panels"]) if each["type"] == "row"]
    return CONTENTS[uid]["panels"][rows[0] + 1 : rows[1]]


def link_of(panel):
    links = panel["fieldConfig"]["defaults"].get("links", [])
    return [each["url"].partition("?")[0] for each in links]


def test_nothing_is_wrong():
    assert [str(problem) for problem in problems(dashboards.FOLDER, known()[0])] == []


def test_the_committed_files_are_what_is_declared():
    assert stale() == []


def test_they_are_where_grafana_gets_them():
    assert (dashboards.FOLDER, UIDS[0]) == (DASHBOARD_FILES, HOME_DASHBOARD)


def test_they_are_those_that_alerts_may_lead_to():
    assert set(UIDS) <= set(DASHBOARDS)


def test_what_is_written_is_up_to_date_and_nothing_else_is_there(tmp_path):
    (tmp_path / "gone.json").write_text("{}")
    assert (main([], tmp_path), main(["--check"], tmp_path)) == (0, 0)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(UIDS)


def test_what_is_stale_is_told_by_name(tmp_path, capsys):
    main([], tmp_path)
    (tmp_path / "redis.json").write_text("{}")
    (tmp_path / "nginx.json").unlink()
    (tmp_path / "gone.json").write_text("{}")
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"dashboards/json/{name}.json:1: is stale: run `python -m dashboards`" for name in ("gone", "nginx", "redis")
    ]


def test_from_the_overview_every_part_is_one_click_away():
    parts = {panel["title"]: link_of(panel) for panel in glance(SERVICE.uid)}
    assert {page.title: [f"/d/{page.uid}"] for page in dashboards.PAGES if page is not SERVICE}.items() <= parts.items()


@pytest.mark.parametrize("page", dashboards.PAGES, ids=UIDS)
def test_the_first_row_says_the_state_in_colours(page):
    panels = glance(page.uid)
    modes = {(each["type"], each["options"]["colorMode"]) for each in panels}
    assert (panels[0]["title"], modes) == (page.title, {("stat", "background")})


@pytest.mark.parametrize("page", dashboards.PAGES, ids=UIDS)
def test_the_state_is_that_of_the_alerts_that_lead_there(page):
    (expr,) = [each["expr"] for each in glance(page.uid)[0]["targets"]]
    names = {each.value for selector in promql.selectors(promql.parse(expr)) for each in selector.matchers}
    assert {"|".join(leading_to(page.uid)), "critical", "warning", "info"} <= names


@pytest.mark.parametrize("page", dashboards.PAGES, ids=UIDS)
def test_deployments_versions_and_alerts_are_annotated(page):
    annotations = {each["name"]: each for each in CONTENTS[page.uid]["annotations"]["list"]}
    assert "kube_deployment_status_observed_generation" in annotations["Deployments"]["expr"]
    assert "modelcard_build_info" in annotations["Versions"]["expr"]
    assert 'ALERTS{alertstate="firing"' in annotations["Alerts"]["expr"]
    assert annotations["Alerts"]["titleFormat"] == "{{alertname}}"


@pytest.mark.parametrize("panel", [each for each in PANELS if each.values[0]["type"] == "stat"])
def test_a_number_that_is_not_there_is_not_green(panel):
    mappings = panel["fieldConfig"]["defaults"]["mappings"]
    nothing = [each["options"] for each in mappings if each["type"] == "special"]
    assert [(each["match"], each["result"]["text"], each["result"]["color"]) for each in nothing] == [
        ("null+nan", "no data", "purple")
    ]


@pytest.mark.parametrize("panel", PANELS)
def test_colours_change_upwards(panel):
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {"steps": [{"value": None}]})["steps"]
    values = [step["value"] for step in steps]
    assert values[0] is None
    assert all(low < high for low, high in pairwise(values[1:]))


def test_users_are_counted_once():
    uses = [expr for _, _, expr in dashboards.queries() if "modelcard_active_users" in expr]
    assert set(uses) == {"max(modelcard_active_users)"}


def test_queries_are_those_of_all_panels_and_variables_as_prometheus_takes_them():
    found = list(dashboards.queries())
    panels = {
        (uid, panel["title"]) for uid, content in CONTENTS.items() for panel in content["panels"] if "targets" in panel
    }
    variables = {(page.uid, f"variable {each.label}") for page in dashboards.PAGES for each in page.variables}
    assert {(uid, title) for uid, title, _ in found} == panels | variables
    assert [expr for _, _, expr in found if "$" in expr or not promql.parse(expr)] == []
