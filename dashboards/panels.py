"""The few kinds of panel that all dashboards are made of. What every panel needs is an argument without a default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import heatmap, prometheus, table, timeseries
from grafana_foundation_sdk.builders import stat as stat_builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard, units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.alerts import firing, leading_to, runbook

Panel = Builder[dashboard.Panel]
SOURCE = "datasource"  # the variable
PROMETHEUS = dashboard.DataSourceRef(type_val="prometheus", uid=f"${{{SOURCE}}}")
# Of every link to a dashboard: what it shows is of the same time, from the same source.
KEPT = f"${{__url_time_range}}&${{{SOURCE}:queryparam}}"
NORMAL, REMEDY, ALERTS = "**Normal:**", "**Otherwise:**", "**Alerts:**"
NO_DATA = "no data"
GREEN, ORANGE, RED, BLUE, UNKNOWN = "green", "orange", "red", "blue", "purple"
SEVERITIES: Mapping[str, int] = {"info": 1, "warning": 2, "critical": 3}


@dataclass(frozen=True, kw_only=True)
class About:
    """What a panel says, what is normal, what to do if it is not, and the alerts whose thresholds it shows."""

    says: str
    normal: str
    otherwise: str
    alerts: Sequence[str] = ()

    def text(self) -> str:
        """The panel's description, in Markdown."""
        lines = [self.says, f"{NORMAL} {self.normal}", f"{REMEDY} {self.otherwise}"]
        if self.alerts:
            lines.append(f"{ALERTS} {', '.join(f'[{each}]({runbook(each)})' for each in self.alerts)}")
        return "\n\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Colours by value: `base` up to the first step, from each step on its own."""

    base: str
    steps: Sequence[tuple[float, str]] = ()

    def build(self) -> Builder[dashboard.ThresholdsConfig]:
        """As Grafana has it."""
        steps = [dashboard.Threshold(color=self.base)]
        steps += [dashboard.Threshold(value=value, color=color) for value, color in self.steps]
        return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


NEUTRAL = Limits(base=BLUE)  # a number that is neither good nor bad


def above(red: float | None = None, *, orange: float | None = None) -> Limits:
    """Bad from a value on."""
    steps = ((orange, ORANGE), (red, RED))
    return Limits(base=GREEN, steps=[(value, color) for value, color in steps if value is not None])


def below(red: float | None = None, *, orange: float | None = None) -> Limits:
    """Bad up to a value."""
    if red is None:
        return Limits(base=ORANGE, steps=[(orange, GREEN)] if orange is not None else [])
    return Limits(base=RED, steps=[(red, GREEN)] if orange is None else [(red, ORANGE), (orange, GREEN)])


def mapped(texts: Mapping[float, tuple[str, str]]) -> list[dashboard.ValueMapping]:
    """Text and colour of single values."""
    options = {
        f"{value:g}": dashboard.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(texts.items())
    }
    return [dashboard.ValueMap(options=options)]


UP_OR_DOWN: Mapping[float, tuple[str, str]] = {0: ("down", RED), 1: ("up", GREEN)}


def stat(  # noqa: PLR0913 - what a panel consists of
    title: str,
    about: About,
    expr: str,
    *,
    unit: str,
    limits: Limits = NEUTRAL,
    texts: Mapping[float, tuple[str, str]] | None = None,
    link: str | None = None,
) -> Panel:
    """One number as it is now, on its colour. `link` is the dashboard that a click leads to."""
    # Grafana would show nothing in the colour of the first step, which may be green.
    nothing = dashboard.SpecialValueMap(
        options=dashboard.DashboardSpecialValueMapOptions(
            match=dashboard.SpecialValueMatch.NULL_AND_NAN,
            result=dashboard.ValueMappingResult(text=NO_DATA, color=UNKNOWN),
        )
    )
    panel = (
        stat_builders.Panel()
        .title(title)
        .description(about.text())
        .datasource(PROMETHEUS)
        .with_target(_query(0, expr, "").instant())
        .unit(unit)
        .no_value(NO_DATA)
        .thresholds(limits.build())
        .mappings([*mapped(texts or {}), nothing] if texts else [nothing])
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE)
        .justify_mode(common.BigValueJustifyMode.CENTER)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if link is not None:
        panel.data_links([to_dashboard(link, title)])
    return panel


def state(uid: str, title: str, health: str, *, link: str | None = None) -> Panel:
    """The worst alert that leads to a dashboard. Green only where `health` is 1: silence alone proves nothing."""
    alerts = leading_to(uid)
    severities = {severity: f'severity="{severity}"' for severity in SEVERITIES}
    worst = " or ".join(f"{SEVERITIES[each]} * {firing(alerts, matcher)}" for each, matcher in severities.items())
    about = About(
        says=f"The worst alert that is firing among those of {title}.",
        normal="`ok`: no alert, and what is looked at says that it works.",
        otherwise="Open its dashboard by a click, then the runbook of the alert, which its notification names. "
        f"`{NO_DATA}`: it does not say that it works, and no alert has fired yet.",
    )
    return stat(
        title,
        about,
        f"max({worst}) or 0 * max({health} == 1)",
        unit=units.NoUnit,
        texts={0: ("ok", GREEN), 1: ("hint", BLUE), 2: ("warning", ORANGE), 3: ("critical", RED)},
        link=link,
    )


def graph(  # noqa: PLR0913 - what a panel consists of
    title: str,
    about: About,
    queries: Mapping[str, str],
    *,
    unit: str,
    limits: Limits = NEUTRAL,
    stacked: bool = False,
    minimum: float | None = 0,
    maximum: float | None = None,
) -> Panel:
    """Series over time. `queries` are expressions by legend; the steps of `limits` are drawn as lines."""
    style = common.GraphThresholdsStyleMode.DASHED if limits.steps else common.GraphThresholdsStyleMode.OFF
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about.text())
        .datasource(PROMETHEUS)
        .targets([_query(index, expr, legend).range() for index, (legend, expr) in enumerate(queries.items())])
        .unit(unit)
        .no_value(NO_DATA)
        .thresholds(limits.build())
        .thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(style))
        .color_scheme(builders.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(1)
        .fill_opacity(25 if stacked else 0)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)  # noqa: FBT003 - Grafana's builder takes nothing else
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if minimum is not None:
        panel.min(minimum)
    if maximum is not None:
        panel.max(maximum)
    return panel


def rows_of(  # noqa: PLR0913 - what a panel consists of
    title: str,
    about: About,
    expr: str,
    *,
    unit: str,
    columns: Mapping[str, str],
    limits: Limits = NEUTRAL,
    link: tuple[str, str] | None = None,
) -> Panel:
    """A table of the series as they are now. `columns` are headings by label, `Value` among them; others are left out.

    `link` is a label and the URL that its cells lead to.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(about.text())
        .datasource(PROMETHEUS)
        .with_target(_query(0, expr, "").instant().format(PromQueryFormat.TABLE))
        .unit(unit)
        .no_value(NO_DATA)
        .thresholds(limits.build())
        .filterable(True)  # noqa: FBT003 - Grafana's builder takes nothing else
        .with_transformation(dashboard.DataTransformerConfig(id_val="filterFieldsByName", options=_only(columns)))
        .with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=_named(columns)))
    )
    if limits.steps and "Value" in columns:
        colored = {"type": common.TableCellDisplayMode.COLOR_TEXT}
        panel.override_by_name(
            columns["Value"], [dashboard.DynamicConfigValue(id_val="custom.cellOptions", value=colored)]
        )
    if link is not None:
        label, url = link
        links = [{"title": "Open", "url": url}]
        panel.override_by_name(columns[label], [dashboard.DynamicConfigValue(id_val="links", value=links)])
    return panel


def _only(columns: Mapping[str, str]) -> Mapping[str, object]:
    return {"include": {"names": list(columns)}}


def _named(columns: Mapping[str, str]) -> Mapping[str, object]:
    return {"renameByName": dict(columns), "indexByName": {label: index for index, label in enumerate(columns)}}


def buckets(title: str, about: About, expr: str, *, unit: str) -> Panel:
    """A histogram over time: how many fell into each bucket."""
    return (
        heatmap.Panel()
        .title(title)
        .description(about.text())
        .datasource(PROMETHEUS)
        .with_target(_query(0, expr, "{{le}}").range().format(PromQueryFormat.HEATMAP))
        .unit(units.Short)
        .no_value(NO_DATA)
        .y_axis(heatmap.YAxisConfig().unit(unit))
    )


def to_dashboard(uid: str, title: str) -> Builder[dashboard.DashboardLink]:
    """A link to another dashboard of ours."""
    return builders.DashboardLink(title).type(dashboard.DashboardLinkType.LINK).url(f"/d/{uid}?{KEPT}")


def _query(index: int, expr: str, legend: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().datasource(PROMETHEUS).ref_id(chr(ord("A") + index)).expr(expr)
    return query.legend_format(legend) if legend else query
