"""What a dashboard is to us, and how Grafana's comes of it: places, numbers, links, annotations, variables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from dashboards.alerts import firing, leading_to
from dashboards.panels import BLUE, ORANGE, PROMETHEUS, RED, SOURCE, Panel, state
from infra.monitoring.checks import RUNBOOKS

WIDTH = 24  # columns of Grafana's grid
GLANCE, TALL = 4, 8  # rows of the grid
FROM, REFRESH, REFRESHES = "now-3h", "30s", ["15s", "30s", "1m", "5m", "15m"]
HOME = "service"
# A change of scale is a new generation too; only what is left is a new template.
DEPLOYMENTS = (
    "max by (namespace, deployment) (changes(kube_deployment_status_observed_generation[$__rate_interval])) > 0"
    " unless max by (namespace, deployment) (changes(kube_deployment_spec_replicas[$__rate_interval])) > 0"
)
# One range for each, whatever becomes of it: its state is a label, too.
INCIDENTS = "max by (incident, severity, title) (incidents_open_info)"
VERSIONS = (
    "max by (version) (modelcard_build_info)"
    " unless on (version) max by (version) (modelcard_build_info offset $__rate_interval)"
)


@dataclass(frozen=True, kw_only=True)
class Variable:
    """Narrows a dashboard to some values of a label, at first to all. `metric` is one that has them."""

    label: str
    metric: str


@dataclass(frozen=True)
class Row:
    """A heading and the lines of panels below it; those of a line share its width."""

    title: str
    lines: Sequence[Sequence[Panel]]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A dashboard. `health` selects series that are 1 while what it shows works.

    `glance` are the first panels, beside the state of its alerts: numbers that say whether, and where, to look on.
    """

    uid: str
    title: str
    description: str
    health: str
    glance: Sequence[Panel]
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()


def text(page: Page, pages: Sequence[Page]) -> str:
    """The file that Grafana reads."""
    return json.dumps(build(page, pages), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def build(page: Page, pages: Sequence[Page]) -> dashboard.Dashboard:
    """Grafana's dashboard, with links to all `pages`."""
    builder = (
        builders.Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags(["modelcard"])
        .timezone("browser")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time(FROM, "now")
        .refresh(REFRESH)
        .timepicker(builders.TimePicker().refresh_intervals(REFRESHES))
        .variables([_source(), *(_variable(each) for each in page.variables)])
        .annotations(_annotations(page))
        .links([*(_link(each) for each in pages if each is not page), _runbooks()])
    )
    number = 0
    glance = Row("State", [[state(page.uid, page.title, page.health), *page.glance]])
    for row in (glance, *page.rows):
        number += 1
        builder.with_row(builders.Row(row.title).id(number))
        for line in row.lines:
            height = GLANCE if row is glance else TALL
            for panel, width in zip(line, _widths(len(line)), strict=True):
                number += 1
                built = panel.build()
                built.id_val = number
                built.grid_pos = dashboard.GridPos(h=height, w=width)
                builder.with_panel(panel)
    return builder.build()


def _widths(panels: int) -> list[int]:
    """The grid's columns, shared out as evenly as whole numbers allow."""
    return [WIDTH * (index + 1) // panels - WIDTH * index // panels for index in range(panels)]


def _source() -> builders.DatasourceVariable:
    default = dashboard.VariableOption(text="Prometheus", value="prometheus", selected=True)
    return builders.DatasourceVariable(SOURCE).label("Data source").type("prometheus").current(default)


def _variable(variable: Variable) -> builders.QueryVariable:
    everything = dashboard.VariableOption(text="All", value="$__all", selected=True)
    query = f"label_values({variable.metric}, {variable.label})"
    return (
        builders.QueryVariable(variable.label)
        .label(variable.label)
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": variable.label})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)  # noqa: FBT003 - Grafana's builder takes nothing else
        .include_all(True)  # noqa: FBT003 - as above
        .all_value(".*")
        .current(everything)
    )


class _Annotation(dashboard.AnnotationQuery):
    """With the texts that Prometheus' annotations have and the schema leaves out."""

    def __init__(self, *, name: str, color: str, expr: str, title: str, detail: str) -> None:
        super().__init__(name=name, datasource=PROMETHEUS, icon_color=color, expr=expr)
        self.texts = {"titleFormat": title, "textFormat": detail}

    def to_json(self) -> dict[str, object]:
        return super().to_json() | self.texts


class _Ready(builders.AnnotationQuery):
    """Hands over an annotation that is built already."""

    def __init__(self, annotation: dashboard.AnnotationQuery) -> None:
        self._internal = annotation


def _annotations(page: Page) -> list[Builder[dashboard.AnnotationQuery]]:
    # Of the Watchdog, which always fires, there is nothing to tell.
    told = 'severity!="none"'
    alerts = f'ALERTS{{alertstate="firing", {told}}}' if page.uid == HOME else firing(leading_to(page.uid), told)
    return [
        _Ready(
            _Annotation(
                name="Deployments",
                color=BLUE,
                expr=DEPLOYMENTS,
                title="Deployed {{deployment}}",
                detail="{{namespace}}/{{deployment}}",
            )
        ),
        _Ready(
            _Annotation(name="Versions", color=BLUE, expr=VERSIONS, title="Version {{version}}", detail="Began to run.")
        ),
        _Ready(
            _Annotation(
                name="Alerts",
                color=RED,
                expr=f"max by (alertname, severity, priority) ({alerts})",
                title="{{alertname}}",
                detail="{{severity}}, {{priority}}",
            )
        ),
        _Ready(
            _Annotation(
                name="Incidents",
                color=ORANGE,
                expr=INCIDENTS,
                title="{{incident}} ({{severity}})",
                detail="{{title}}",
            )
        ),
    ]


def _link(page: Page) -> Builder[dashboard.DashboardLink]:
    return (
        builders.DashboardLink(page.title)
        .type(dashboard.DashboardLinkType.LINK)
        .icon("dashboard")
        .tooltip(page.description)
        .url(f"/d/{page.uid}?${{{SOURCE}:queryparam}}")
        .keep_time(True)  # noqa: FBT003 - Grafana's builder takes nothing else
    )


def _runbooks() -> Builder[dashboard.DashboardLink]:
    return (
        builders.DashboardLink("Runbooks")
        .type(dashboard.DashboardLinkType.LINK)
        .icon("doc")
        .tooltip("What to do about each alert.")
        .url(RUNBOOKS)
        .target_blank(True)  # noqa: FBT003 - Grafana's builder takes nothing else
    )
