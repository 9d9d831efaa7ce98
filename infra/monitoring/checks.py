"""Everything that can be known of rules, their tests and runbooks without evaluating one. Each problem is one line.

Sources: prometheus.io, "Recording rules" (names) and "rate()" (four scrapes in a range: Robust Perception, "What range
should I use with rate()?"); the classes of severity and priority are the seed's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from promql_parser import Expr

from infra.monitoring import metrics, promql
from infra.monitoring.metrics import Known, Metric
from infra.monitoring.promql import PromQLError, Selector
from infra.monitoring.rules import SURVIVORS, Case, Problem, Rule, Tests, read_rules, read_tests
from infra.monitoring.scraping import INTERVAL

DASHBOARDS = (
    "service",
    "generation",
    "postgresql",
    "redis",
    "nginx",
    "kubernetes",
    "logs",
    "backups",
    "incidents",
    "prometheus",
)
RUNBOOKS = "https://runbooks.terragonlabs.com"
ANNOTATIONS = ("summary", "description", "dashboard", "runbook_url")
PRIORITIES = {"critical": ("P0", "P1"), "warning": ("P1", "P2"), "info": ("P3",)}
# Pages about what people set out to do, rather than about an alert.
PROCEDURES = frozenset({"disaster-recovery"})
# It fires as long as all is well, to nobody: that it stops is what is noticed, outside.
HEARTBEAT = "Watchdog"
ASPECTS = ("firing", "healthy", "below threshold", "pending", "missing series")
SILENT = ("healthy", "below threshold", "pending")
HOLD = 2 * INTERVAL  # seconds: one evaluation may be a fluke
SCRAPES = 4  # one may be missing, and a rate still has its two samples
LONGEST = 3 * 24 * 3600  # seconds, far within what is kept
RECORD = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*(:[a-zA-Z0-9_]+){2}")
TEMPLATE = re.compile(r"\$labels\.(\w+)")
# Series that Prometheus writes about alerts carry whatever labels those have.
OF_ALERTS = ("ALERTS", "ALERTS_FOR_STATE")


@dataclass(frozen=True, kw_only=True)
class Monitoring:
    """What is checked. `expressions` are those that parse; `pages` the runbooks, by their names without `.md`."""

    rules: Sequence[Rule]
    expressions: Sequence[tuple[Rule, Expr]]
    tests: Sequence[Tests]
    pages: frozenset[str]
    known: Known

    def labels(self, selector: Selector) -> promql.Labels:
        """What the series of a selector may carry; None where nobody knows."""
        return self._labels(selector, ())

    def _labels(self, selector: Selector, above: tuple[str, ...]) -> promql.Labels:
        if selector.metric in OF_ALERTS or selector.metric in above:
            return None
        found: list[promql.Labels] = [each.labels for each in self.sources(selector)]
        for rule, expr in self.expressions:
            if rule.kind == "record" and rule.name == selector.metric:
                within = promql.labels(expr, lambda inner: self._labels(inner, (*above, selector.metric)))
                found.append(None if within is None else within | rule.labels.keys())
        known = [each for each in found if each is not None]
        return frozenset().union(*known) if known and len(known) == len(found) else None

    def sources(self, selector: Selector) -> Sequence[Metric]:
        """The jobs' metrics that a selector may read."""
        job = selector.value("job")
        of_name = self.known.metrics.get(selector.metric, ())
        return [each for each in of_name if job in {None, each.job}]


Check = Callable[[Monitoring], Iterator[Problem]]


def load(root: Path) -> tuple[Monitoring, list[Problem]]:
    """What a repository holds, and what of it cannot be read."""
    known, problems = metrics.load(root)
    rules: list[Rule] = []
    tests: list[Tests] = []
    for path in sorted((root / "rules").glob("*.yml")):
        found, broken = read_rules(path, f"rules/{path.name}")
        rules += found
        problems += broken
    for path in sorted((root / "rules" / "tests").glob("*.yml")):
        if path.name != SURVIVORS:
            of_file, broken = read_tests(path, f"rules/tests/{path.name}")
            tests.append(of_file)
            problems += broken
    expressions = []
    for rule in rules:
        try:
            expressions.append((rule, promql.parse(rule.expr)))
        except PromQLError as error:
            problems.append(rule.problem("expr", f"the expression does not parse: {error}"))
    pages = frozenset(path.stem for path in (root / "runbooks").glob("*.md"))
    monitoring = Monitoring(rules=rules, expressions=expressions, tests=tests, pages=pages, known=known)
    return monitoring, problems


def problems(root: Path) -> list[Problem]:
    """All of them, in the order of files and lines."""
    monitoring, found = load(root)
    return sorted({*found, *(problem for check in CHECKS for problem in check(monitoring))})


def kebab(name: str) -> str:
    """`HTTPErrorsHigh` is `http-errors-high`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def uncatalogued_jobs(monitoring: Monitoring) -> Iterator[Problem]:
    """Jobs whose metrics nobody has recorded."""
    for job in monitoring.known.missing:
        file = f"{metrics.FOLDER}/{job}.yml"
        yield Problem(file, 1, f"job {job} has no catalogue: write down what its exporter exposes")


def unknown_metrics(monitoring: Monitoring) -> Iterator[Problem]:
    """Names that nothing exposes and no rule of ours records."""
    recorded = {rule.name for rule in monitoring.rules if rule.kind == "record"}
    for rule, expr in monitoring.expressions:
        for selector in promql.selectors(expr):
            job = selector.value("job")
            if job is not None and job not in metrics.JOBS:
                yield rule.problem("expr", f"no job is called {job}; there are {', '.join(sorted(metrics.JOBS))}")
            elif selector.metric in {*recorded, *OF_ALERTS} or monitoring.sources(selector):
                continue
            elif job in monitoring.known.missing or (job is None and monitoring.known.missing):
                continue  # `uncatalogued_jobs` says it once
            else:
                where = "the application's catalogue, rules/metrics" if job is None else f"job {job}"
                name = selector.metric or "a selector without a name"
                yield rule.problem("expr", f"{name} is unknown to {where} and our recording rules: correct the name")


def unknown_labels(monitoring: Monitoring) -> Iterator[Problem]:
    """Labels that what they are asked of does not have."""
    for rule, expr in monitoring.expressions:
        for selector in promql.selectors(expr):
            carried = monitoring.labels(selector)
            for matcher in selector.matchers:
                if carried is not None and matcher.label not in carried:
                    yield rule.problem("expr", f"{selector.metric} has no label {matcher.label}{_instead(carried)}")
        for use in promql.uses(expr, monitoring.labels):
            for label in use.labels:
                if use.available is not None and label not in use.available:
                    message = f"`{use.clause}` names {label}, which nothing there has{_instead(use.available)}"
                    yield rule.problem("expr", message)


def unknown_labels_in_text(monitoring: Monitoring) -> Iterator[Problem]:
    """`$labels.x` of a label that the alert does not carry: the reader would see nothing in its place."""
    for rule, expr in monitoring.expressions:
        carried = promql.labels(expr, monitoring.labels)
        if carried is None:
            continue
        for kind, texts in (("annotations", rule.annotations), ("labels", rule.labels)):
            for key, text in texts.items():
                for label in sorted(set(TEMPLATE.findall(text)) - carried - rule.labels.keys()):
                    message = f"{key} says $labels.{label}, which the alert does not have{_instead(carried)}"
                    yield rule.problem(f"{kind}.{key}", message)


def _instead(labels: frozenset[str]) -> str:
    return f"; it has {', '.join(sorted(labels))}" if labels else "; it has none"


def duplicates(monitoring: Monitoring) -> Iterator[Problem]:
    """Rules of one name that no static label tells apart."""
    first: dict[tuple[str, str, frozenset[tuple[str, str]]], Rule] = {}
    for rule in monitoring.rules:
        key = (rule.kind, rule.name, frozenset(rule.labels.items()))
        if key in first:
            where = f"{first[key].file}:{first[key].line}"
            yield rule.problem(rule.kind, f"is already at {where}: rename it, or give it a label of its own")
        else:
            first[key] = rule


def record_names(monitoring: Monitoring) -> Iterator[Problem]:
    """`level:metric:operations`."""
    for rule in monitoring.rules:
        if rule.kind == "record" and not RECORD.fullmatch(rule.name):
            yield rule.problem("record", "a recording rule is named level:metric:operations")


def severities(monitoring: Monitoring) -> Iterator[Problem]:
    """Severity and priority that are missing or do not go together."""
    for rule in _alerts(monitoring):
        severity, priority = rule.labels.get("severity"), rule.labels.get("priority")
        if rule.name == HEARTBEAT:
            if severity != "none" or priority is not None:
                yield rule.problem("labels", f"{HEARTBEAT} has severity none and no priority")
        elif severity not in PRIORITIES:
            message = f"severity is {severity}; it must be one of {', '.join(PRIORITIES)}"
            yield rule.problem("labels.severity" if severity else "labels", message)
        elif priority not in PRIORITIES[severity]:
            message = f"priority is {priority}; with severity {severity} it is {' or '.join(PRIORITIES[severity])}"
            yield rule.problem("labels.priority" if priority else "labels", message)


def links(monitoring: Monitoring) -> Iterator[Problem]:
    """Annotations that are missing, and links that lead nowhere."""
    for rule in _alerts(monitoring):
        for key in ANNOTATIONS:
            if not rule.annotations.get(key):
                yield rule.problem("annotations", f"lacks the annotation {key}")
        url, derived = rule.annotations.get("runbook_url"), f"{RUNBOOKS}/{kebab(rule.name)}"
        if url and url != derived:
            yield rule.problem("annotations.runbook_url", f"runbook_url is {url}; it must be {derived}")
        dashboard = rule.annotations.get("dashboard")
        if dashboard and dashboard not in {f"/d/{uid}" for uid in DASHBOARDS}:
            message = f"dashboard is {dashboard}; it must be /d/ and one of {', '.join(DASHBOARDS)}"
            yield rule.problem("annotations.dashboard", message)


def runbooks(monitoring: Monitoring) -> Iterator[Problem]:
    """Alerts without a page, and pages without an alert."""
    wanted = {kebab(rule.name) for rule in _alerts(monitoring)}
    for rule in _alerts(monitoring):
        if kebab(rule.name) not in monitoring.pages:
            yield rule.problem("alert", f"runbooks/{kebab(rule.name)}.md is missing: write it")
    for page in sorted(monitoring.pages - wanted - PROCEDURES):
        yield Problem(f"runbooks/{page}.md", 1, "no alert has this name: rename the page or remove it")


def holds(monitoring: Monitoring) -> Iterator[Problem]:
    """Alerts that one evaluation makes fire."""
    for rule in _alerts(monitoring):
        try:
            too_short = (promql.seconds(rule.hold) if rule.hold else 0) < HOLD
        except PromQLError as error:
            yield rule.problem("for", str(error))
            continue
        if too_short and rule.name != HEARTBEAT:
            yield rule.problem(
                "for", f"`for` is {rule.hold or 'missing'}; it must be {HOLD}s, two evaluations, or more"
            )


def ranges(monitoring: Monitoring) -> Iterator[Problem]:
    """Ranges that hold too few samples, or more than three days."""
    for rule, expr in monitoring.expressions:
        for selector in promql.selectors(expr):
            every = max((metrics.JOBS[each.job] for each in monitoring.sources(selector)), default=INTERVAL)
            if selector.seconds is not None:
                yield from _range(rule, selector.metric, selector.seconds, every)
        for over, inner in promql.subqueries(expr):
            yield from _range(rule, inner.prettify(), over, INTERVAL)


def _range(rule: Rule, what: str, over: float, every: int) -> Iterator[Problem]:
    if over < SCRAPES * every:
        message = f"{what} is read over {over:g}s; {SCRAPES} scrapes of it take {SCRAPES * every}s: widen the range"
        yield rule.problem("expr", message)
    elif over > LONGEST:
        yield rule.problem("expr", f"{what} is read over {over / 86400:g} days; {LONGEST // 86400} are the most")


def quantiles(monitoring: Monitoring) -> Iterator[Problem]:
    """Quantiles of buckets that have lost their bounds."""
    for rule, expr in monitoring.expressions:
        for call in promql.quantiles_without_le(expr):
            yield rule.problem("expr", f"{call} adds buckets up without `le`: add it to `by`")


def group_orders(monitoring: Monitoring) -> Iterator[Problem]:
    """Rules that read another group's, where promtool is not told which to evaluate first: it would draw lots."""
    tests = {each.file.rpartition("/")[2]: each for each in monitoring.tests}
    for rule, expr in monitoring.expressions:
        of_file = tests.get(rule.file.rpartition("/")[2])
        read = {selector.metric for selector in promql.selectors(expr)}
        for other in monitoring.rules:
            if of_file is None or other.name not in read or (other.file, other.group) == (rule.file, rule.group):
                continue
            order = list(of_file.order)
            if {other.group, rule.group} - set(order) or order.index(other.group) > order.index(rule.group):
                message = f"reads {other.name} of the group {other.group}"
                remedy = f"{of_file.file} must name that before {rule.group} in group_eval_order"
                yield rule.problem("expr", f"{message}: {remedy}")


def alerts_without_tests(monitoring: Monitoring) -> Iterator[Problem]:
    """Alerts of which not all five aspects are tested in the file of that name."""
    cases: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in _cases(monitoring):
        cases[case.file, case.name].append(case)
    for rule in _alerts(monitoring):
        file = f"rules/tests/{rule.file.rpartition('/')[2]}"
        for aspect in ASPECTS:
            of_aspect = cases[file, f"{rule.name}: {aspect}"]
            if not of_aspect:
                yield rule.problem("alert", f'{file} has no test "{rule.name}: {aspect}"')
            for case in of_aspect:
                yield from _aspect(rule, aspect, case)


def _aspect(rule: Rule, aspect: str, case: Case) -> Iterator[Problem]:
    """Whether a test asserts what its name says."""
    asserted = [each for each in case.expected if each.alert == rule.name]
    if not asserted:
        yield Problem(case.file, case.line, f'"{case.name}" asserts nothing about {rule.name}: add an alert_rule_test')
    firing = [each for each in asserted if each.alerts]
    if aspect in SILENT and firing and rule.name != HEARTBEAT:
        yield Problem(case.file, firing[0].line, f'"{case.name}" expects {rule.name} to fire; it is about silence')
    if aspect == "firing" and asserted and not firing:
        yield Problem(case.file, asserted[0].line, f'"{case.name}" never expects {rule.name}: add exp_alerts')
    for each in firing:
        if any(not alert.get("exp_annotations") for alert in each.alerts):
            yield Problem(case.file, each.line, f'"{case.name}" does not state all annotations: add exp_annotations')


def records_without_tests(monitoring: Monitoring) -> Iterator[Problem]:
    """Recording rules that no test reads."""
    tested = {case.subject for case in _cases(monitoring) if any(case.subject in query for query in case.queries)}
    for rule in monitoring.rules:
        if rule.kind == "record" and rule.name not in tested:
            file = f"rules/tests/{rule.file.rpartition('/')[2]}"
            yield rule.problem("record", f'{file} has no test "{rule.name}" with a promql_expr_test that reads it')


def tests_of_nothing(monitoring: Monitoring) -> Iterator[Problem]:
    """Tests of alerts and recording rules that do not exist, or of no name."""
    alerts = {rule.name for rule in _alerts(monitoring)}
    names = {rule.name for rule in monitoring.rules}
    for case in _cases(monitoring):
        if case.subject not in names:
            message = f'"{case.name}" is about no rule of ours: a test is named "<Alert>: <aspect>" or "<record name>"'
            yield Problem(case.file, case.line, message)
        for each in case.expected:
            if each.alert not in alerts:
                yield Problem(case.file, each.line, f"there is no alert {each.alert or 'without a name'}")


def _alerts(monitoring: Monitoring) -> list[Rule]:
    return [rule for rule in monitoring.rules if rule.kind == "alert"]


def _cases(monitoring: Monitoring) -> list[Case]:
    return [case for tests in monitoring.tests for case in tests.cases]


CHECKS: tuple[Check, ...] = (
    uncatalogued_jobs,
    unknown_metrics,
    unknown_labels,
    unknown_labels_in_text,
    duplicates,
    record_names,
    severities,
    links,
    runbooks,
    holds,
    ranges,
    quantiles,
    group_orders,
    alerts_without_tests,
    records_without_tests,
    tests_of_nothing,
)
