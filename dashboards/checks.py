"""What can be known of dashboards without Grafana and Prometheus. Each problem is one line, at the panel's title.

They read the files that Grafana reads, whoever wrote those.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.models import units
from promql_parser import Expr

from dashboards import alerts as rules
from dashboards.page import REFRESHES, WIDTH
from dashboards.panels import ALERTS, NORMAL, REMEDY, SOURCE
from infra.monitoring import promql
from infra.monitoring.checks import OF_ALERTS, RUNBOOKS
from infra.monitoring.promql import PromQLError
from infra.monitoring.rules import Problem

UNITS = frozenset(value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str))
SOURCE_OF_ALL = {"type": "prometheus", "uid": f"${{{SOURCE}}}"}
DURATIONS = ("__rate_interval", "__interval", "__range")
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
VARIABLE_QUERY = re.compile(r"label_values\((?P<metric>[\w:]+), (?P<label>\w+)\)")
LINK = re.compile(r"/d/(?P<uid>[\w-]+|\$\{__value\.text\})(\?.*)?")
NAMED = re.compile(r"\[(\w+)\]\(")
FROM = re.compile(r"now-(\d+[mhd])")
MINUTE, HOUR = 60, 3600
SHORTEST_RANGE = MINUTE  # four scrapes
OFTEN, SELDOM = 15, 5 * MINUTE  # a refresh: nothing is new more often than it is scraped
EXACT = 1e-9

Known = Callable[[str], bool]
Panel = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One file. `content` is what Grafana reads."""

    file: str
    text: str
    content: Mapping[str, Any]

    @classmethod
    def read(cls, file: str, text: str) -> Dashboard:
        """Raises `json.JSONDecodeError`."""
        return cls(file=file, text=text, content=json.loads(text))

    @property
    def uid(self) -> str:
        """What it is linked by."""
        return str(self.content.get("uid"))

    def panels(self) -> list[Panel]:
        """All that show something, those in collapsed rows, too."""
        return [each for each in self.elements() if each.get("type") != "row"]

    def elements(self) -> list[Panel]:
        """Rows and panels."""
        panels: list[Panel] = self.content.get("panels") or []
        return [each for panel in panels for each in (panel, *(panel.get("panels") or ()))]

    def variables(self) -> list[Mapping[str, Any]]:
        """Of whatever type."""
        return list(self.content.get("templating", {}).get("list") or ())

    def annotations(self) -> list[Mapping[str, Any]]:
        """Queries of events."""
        return list(self.content.get("annotations", {}).get("list") or ())

    def queries(self) -> Iterator[tuple[str, str, str]]:
        """Of every panel and variable: uid, title, expression with variables replaced."""
        for panel in self.panels():
            for target in panel.get("targets") or ():
                yield self.uid, str(panel.get("title")), replaced(str(target.get("expr", "")))
        for variable in self.variables():
            if variable.get("type") == "query":
                match = VARIABLE_QUERY.fullmatch(_query_of(variable))
                if match:
                    yield self.uid, f"variable {variable['name']}", match["metric"]

    def problem(self, of: Mapping[str, Any] | None, message: str) -> Problem:
        """At the line of a panel's title, or a variable's or annotation's name, or at the first."""
        if of is None:
            return Problem(self.file, 1, message)
        name = str(of.get("title", of.get("name", "")))
        pattern = re.compile(rf'\s*"(title|name)": {re.escape(json.dumps(name, ensure_ascii=False))},?')
        lines = self.text.splitlines()
        line = next((number for number, text in enumerate(lines, start=1) if pattern.fullmatch(text)), 1)
        return Problem(self.file, line, f"{name or 'a panel without a title'}: {message}")


@dataclass(frozen=True, kw_only=True)
class Dashboards:
    """All of them. `known` says whether there is a metric of a name."""

    all: Sequence[Dashboard]
    known: Known

    def panels(self) -> Iterator[tuple[Dashboard, Panel]]:
        """With the dashboard that each is of."""
        for dashboard in self.all:
            for panel in dashboard.panels():
                yield dashboard, panel

    def expressions(self) -> Iterator[tuple[Dashboard, Mapping[str, Any], str]]:
        """Of panels and annotations, and what they are of."""
        for dashboard in self.all:
            for panel in dashboard.panels():
                for target in panel.get("targets") or ():
                    yield dashboard, panel, str(target.get("expr", ""))
            for annotation in dashboard.annotations():
                yield dashboard, annotation, str(annotation.get("expr", ""))

    def parsed(self) -> Iterator[tuple[Dashboard, Mapping[str, Any], Expr]]:
        """Those that parse."""
        for dashboard, of, expr in self.expressions():
            try:
                yield dashboard, of, _parse(expr)
            except PromQLError:
                continue


Check = Callable[[Dashboards], Iterator[Problem]]


def problems(folder: Path, known: Known) -> list[Problem]:
    """All of them, in the order of files and lines. `known` says whether there is a metric of a name."""
    found: list[Problem] = []
    read: list[Dashboard] = []
    for path in sorted(folder.glob("*.json")):
        file = f"dashboards/json/{path.name}"
        try:
            read.append(Dashboard.read(file, path.read_text()))
        except json.JSONDecodeError as error:
            found.append(Problem(file, error.lineno, f"is not JSON: {error.msg}"))
    dashboards = Dashboards(all=read, known=known)
    return sorted({*found, *(problem for check in CHECKS for problem in check(dashboards))})


def replaced(expr: str) -> str:
    """As Prometheus takes it, with Grafana's variables at a value that selects everything."""
    return VARIABLE.sub(lambda match: "5m" if (match[1] or match[2]) in DURATIONS else ".*", expr)


@cache
def _parse(expr: str) -> Expr:
    """Raises `PromQLError`."""
    return promql.parse(replaced(expr))


def uids(dashboards: Dashboards) -> Iterator[Problem]:
    """One name for each, which its file has, too."""
    count = Counter(each.uid for each in dashboards.all)
    for each in dashboards.all:
        if f"{each.uid}.json" != Path(each.file).name:
            yield each.problem(None, f"uid is {each.uid}; it must be the file's name without .json")
        if count[each.uid] > 1:
            yield each.problem(None, f"another dashboard has the uid {each.uid}, too")


def ids(dashboards: Dashboards) -> Iterator[Problem]:
    """Numbers and titles that tell panels apart."""
    for dashboard in dashboards.all:
        for key in ("id", "title"):
            count = Counter(each.get(key) for each in dashboard.elements())
            for each in dashboard.elements():
                if not each.get(key):
                    yield dashboard.problem(each, f"has no {key}")
                elif count[each[key]] > 1:
                    yield dashboard.problem(each, f"another panel has the {key} {each[key]}, too")


def places(dashboards: Dashboards) -> Iterator[Problem]:
    """Panels that lie on each other or outside."""
    for dashboard in dashboards.all:
        for each in dashboard.elements():
            place = each.get("gridPos") or {}
            if not (place.get("w", 0) > 0 and place.get("h", 0) > 0 and 0 <= place["x"] <= WIDTH - place["w"]):
                yield dashboard.problem(each, f"lies at {place}, not within the {WIDTH} columns")
        placed = [each for each in dashboard.elements() if each.get("gridPos")]
        for one, other in combinations(placed, 2):
            if _overlap(one["gridPos"], other["gridPos"]):
                yield dashboard.problem(other, f"lies on {one.get('title')}")


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


def descriptions(dashboards: Dashboards) -> Iterator[Problem]:
    """Panels that leave the reader alone."""
    for dashboard, panel in dashboards.panels():
        for part in (NORMAL, REMEDY):
            if part not in panel.get("description", ""):
                yield dashboard.problem(panel, f"the description has no {part}: say what is normal and what to do")


def known_units(dashboards: Dashboards) -> Iterator[Problem]:
    """Units that Grafana does not know, or none."""
    for dashboard, panel in dashboards.panels():
        unit = _defaults(panel).get("unit")
        if unit is None:
            yield dashboard.problem(panel, "has no unit")
        elif unit not in UNITS:
            yield dashboard.problem(panel, f"the unit {unit} is unknown to Grafana")


def empty_texts(dashboards: Dashboards) -> Iterator[Problem]:
    """Panels that say nothing when there is nothing."""
    for dashboard, panel in dashboards.panels():
        if not _defaults(panel).get("noValue"):
            yield dashboard.problem(panel, "has no noValue: say what it means that there is no data")


def data_sources(dashboards: Dashboards) -> Iterator[Problem]:
    """What is not asked by the variable."""
    for dashboard in dashboards.all:
        source = next((each for each in dashboard.variables() if each.get("name") == SOURCE), {})
        if source.get("type") != "datasource" or source.get("query") != "prometheus":
            yield dashboard.problem(None, f"has no variable {SOURCE} of type datasource for prometheus")
        elif source.get("current", {}).get("value") != "prometheus":
            yield dashboard.problem(source, "its default must be the uid prometheus")
        queried = [each for each in dashboard.variables() if each.get("type") == "query"]
        for each in (*dashboard.panels(), *queried, *dashboard.annotations()):
            for asked in (each, *(each.get("targets") or ())):
                if asked.get("datasource") != SOURCE_OF_ALL:
                    message = f"the data source is {asked.get('datasource')}; it must be {SOURCE_OF_ALL}"
                    yield dashboard.problem(each, message)


def targets(dashboards: Dashboards) -> Iterator[Problem]:
    """Panels that ask for nothing, and queries of one panel that share a name."""
    for dashboard, panel in dashboards.panels():
        asked = panel.get("targets") or []
        if not asked or not all(str(each.get("expr", "")).strip() for each in asked):
            yield dashboard.problem(panel, "has no query")
        if len({each.get("refId") for each in asked}) < len(asked):
            yield dashboard.problem(panel, "two queries have the same refId")


def syntax(dashboards: Dashboards) -> Iterator[Problem]:
    """Expressions that Prometheus would refuse, and quantiles of buckets without bounds."""
    for dashboard, of, expr in dashboards.expressions():
        try:
            _parse(expr)
        except PromQLError as error:
            yield dashboard.problem(of, f"`{expr}` does not parse: {error}")
    for dashboard, of, parsed in dashboards.parsed():
        for call in promql.quantiles_without_le(parsed):
            yield dashboard.problem(of, f"{call} adds buckets up without `le`")


def variables(dashboards: Dashboards) -> Iterator[Problem]:
    """Variables that nobody declares, or nobody uses, and queries of them that cannot be read."""
    for dashboard in dashboards.all:
        declared = {each["name"]: each for each in dashboard.variables()}
        used = {SOURCE}
        for panel in dashboard.panels():
            names = {
                match[1] or match[2]
                for target in panel.get("targets") or ()
                for match in VARIABLE.finditer(str(target.get("expr", "")))
            } - set(DURATIONS)
            used |= names
            for name in sorted(names - declared.keys()):
                yield dashboard.problem(panel, f"there is no variable {name}")
        for name, variable in declared.items():
            if name not in used:
                yield dashboard.problem(variable, "no panel uses this variable")
            if variable.get("type") == "query" and not VARIABLE_QUERY.fullmatch(_query_of(variable)):
                yield dashboard.problem(
                    variable, f"its query is `{_query_of(variable)}`, not label_values(metric, label)"
                )


def ranges(dashboards: Dashboards) -> Iterator[Problem]:
    """Fixed ranges that hold too few samples."""
    for dashboard, of, expr in dashboards.parsed():
        for selector in promql.selectors(expr):
            if selector.seconds is not None and selector.seconds < SHORTEST_RANGE:
                message = f"{selector.metric} is read over {selector.seconds:g}s: use $__rate_interval"
                yield dashboard.problem(of, message)


def metrics(dashboards: Dashboards) -> Iterator[Problem]:
    """Names that nothing exposes and no rule records."""
    for dashboard, of, expr in dashboards.parsed():
        for metric in sorted({each.metric for each in promql.selectors(expr)} - set(OF_ALERTS)):
            if not metric:
                yield dashboard.problem(of, "a selector names no metric")
            elif not dashboards.known(metric):
                yield dashboard.problem(of, f"{metric} is unknown")
    for dashboard in dashboards.all:
        for variable in dashboard.variables():
            match = VARIABLE_QUERY.fullmatch(_query_of(variable))
            if match and not dashboards.known(match["metric"]):
                yield dashboard.problem(variable, f"{match['metric']} is unknown")


def links(dashboards: Dashboards) -> Iterator[Problem]:
    """Links that lead nowhere, and dashboards that one does not get to from another."""
    there = {each.uid for each in dashboards.all}
    for dashboard in dashboards.all:
        tops = list(dashboard.content.get("links") or ())
        for of in (*tops, *dashboard.elements()):
            for url in _urls(of):
                match = LINK.fullmatch(url)
                if match is None and not url.startswith(RUNBOOKS):
                    yield dashboard.problem(of, f"leads to {url}, which is neither a dashboard nor a runbook")
                elif match is not None and not match["uid"].startswith("$") and match["uid"] not in there:
                    yield dashboard.problem(of, f"leads to the dashboard {match['uid']}, which does not exist")
        linked = {match["uid"] for top in tops if (match := LINK.fullmatch(str(top.get("url"))))}
        for uid in sorted(there - linked - {dashboard.uid}):
            yield dashboard.problem(None, f"has no link to {uid}")


def times(dashboards: Dashboards) -> Iterator[Problem]:
    """Ranges of time and intervals of refresh that nobody wants."""
    for dashboard in dashboards.all:
        time, refresh = dashboard.content.get("time") or {}, str(dashboard.content.get("refresh"))
        match = FROM.fullmatch(str(time.get("from")))
        if match is None or time.get("to") != "now" or not HOUR <= promql.seconds(match[1]) <= 24 * HOUR:
            yield dashboard.problem(None, f"shows {time}; it must be the last hour to the last day")
        if refresh not in REFRESHES or not OFTEN <= promql.seconds(refresh) <= SELDOM:
            yield dashboard.problem(None, f"is refreshed every {refresh}; it must be one of {', '.join(REFRESHES)}")


def thresholds(dashboards: Dashboards) -> Iterator[Problem]:
    """Colours that change elsewhere than alerts do, and alerts that do not exist."""
    for dashboard, panel in dashboards.panels():
        numbers: set[float] = {1.0}  # one of what there should be none, or all of it
        named = _alerts(panel)
        for name in named:
            if name not in rules.numbers():
                yield dashboard.problem(panel, f"there is no alert {name}")
            # An alert on what is taken is one on what is left.
            numbers |= {value for number in rules.numbers().get(name, ()) for value in (number, 1 - number)}
        for step in _defaults(panel).get("thresholds", {}).get("steps", ()):
            value = step.get("value")
            if value is not None and not any(abs(value - number) < EXACT for number in numbers):
                message = f"its colour changes at {value:g}, which is in none of the alerts {', '.join(named) or '-'}"
                yield dashboard.problem(panel, message)


def alerts_without_panels(dashboards: Dashboards) -> Iterator[Problem]:
    """Alerts that lead to a dashboard which does not show what they are about."""
    for dashboard in dashboards.all:
        shown = {name for panel in dashboard.panels() for name in _alerts(panel)}
        for name in rules.leading_to(dashboard.uid):
            if name not in shown:
                yield dashboard.problem(None, f"the alert {name} leads here, and no panel names it")


def _alerts(panel: Panel) -> list[str]:
    """Those that its description names."""
    return NAMED.findall(str(panel.get("description", "")).partition(ALERTS)[2])


def _defaults(panel: Panel) -> Mapping[str, Any]:
    defaults: Mapping[str, Any] = panel.get("fieldConfig", {}).get("defaults", {})
    return defaults


def _query_of(variable: Mapping[str, Any]) -> str:
    query = variable.get("query", "")
    return str(query.get("query", "") if isinstance(query, Mapping) else query)


def _urls(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "url":
                yield str(value)
            else:
                yield from _urls(value)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for each in node:
            yield from _urls(each)


CHECKS: tuple[Check, ...] = (
    uids,
    ids,
    places,
    descriptions,
    known_units,
    empty_texts,
    data_sources,
    targets,
    syntax,
    variables,
    ranges,
    metrics,
    links,
    times,
    thresholds,
    alerts_without_panels,
)
