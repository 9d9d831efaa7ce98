"""Rule files and their tests as data that knows where it stands, so that what is wrong can be said with file and line.

Sources: prometheus.io, "Recording rules", "Alerting rules" and "Unit testing for rules". All scalars stay text, as they
are written: what is a number in YAML is a series' value or a duration here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from infra.monitoring import promql
from infra.monitoring.promql import PromQLError
from infra.monitoring.scraping import INTERVAL

FILE_KEYS = ("groups",)
GROUP_KEYS = ("name", "interval", "labels", "rules")  # without limit
RULE_KEYS = {
    "alert": ("alert", "expr", "for", "keep_firing_for", "labels", "annotations"),
    "record": ("record", "expr", "labels"),
}
TEST_FILE_KEYS = ("rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests")
TEST_KEYS = (
    "name",
    "interval",
    "input_series",
    "alert_rule_test",
    "promql_expr_test",
    "external_labels",
    "external_url",
    "start_timestamp",
)
SURVIVORS = "survivors.yml"


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong, where, and what to do about it. `file` is relative to the repository."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alerting or a recording rule. `lines` are those of its keys;"""

    file: str
    line: int
    group: str
    kind: Literal["alert", "record"]
    name: str
    expr: str
    hold: str | None = None  # `for`
    keep_firing_for: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def problem(self, key: str, message: str) -> Problem:
        """At the line of a key, or of the rule if it has no such key."""
        return Problem(self.file, self.lines.get(key, self.line), f"{self.name}: {message}")


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a test says of an alert at one time: which are firing."""

    line: int
    alert: str
    alerts: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One entry under `tests`: `queries` are the expressions that it evaluates."""

    file: str
    line: int
    name: str
    expected: Sequence[Expected] = ()
    queries: Sequence[str] = ()

    @property
    def subject(self) -> str:
        """What it is about: `HighErrorRate` of `HighErrorRate: firing`."""
        return self.name.partition(": ")[0]

    @property
    def aspect(self) -> str:
        """`firing` of `HighErrorRate: firing`."""
        return self.name.partition(": ")[2]


@dataclass(frozen=True, kw_only=True)
class Tests:
    """A file of tests. `order` is that in which promtool is told to evaluate groups."""

    file: str
    order: Sequence[str]
    cases: Sequence[Case]


class Located(dict[str, Any]):
    """A mapping of YAML, with its line and those of its keys."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class _Loader(yaml.CBaseLoader):
    """Keeps lines, and refuses what YAML lets pass: a key that is there twice."""

    def construct_located(self, node: yaml.MappingNode) -> Iterator[Located]:
        located = Located(node.start_mark.line + 1)
        yield located
        for key_node, value_node in node.value:
            key = str(self.construct_object(key_node))
            if key in located:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is there twice", key_node.start_mark)
            located[key] = self.construct_object(value_node, deep=True)
            located.lines[key] = key_node.start_mark.line + 1


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_located)


def read(path: Path, file: str) -> tuple[Any, list[Problem]]:
    """The content of a YAML file; of one that is none, where it ceases to be."""
    try:
        return yaml.load(path.read_text(), _Loader), []  # noqa: S506 - a BaseLoader, which makes text only
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return None, [Problem(file, line, f"is not YAML as we write it: {error.problem}")]


def read_rules(path: Path, file: str) -> tuple[list[Rule], list[Problem]]:
    """The rules of a file, and what is wrong with its form. What is malformed is left out of the rules."""
    content, problems = read(path, file)
    if problems:
        return [], problems
    rules: list[Rule] = []
    problems = list(_unknown(content, FILE_KEYS, file, "a rule file"))
    for group in _sequence(content, "groups"):
        problems += _unknown(group, GROUP_KEYS, file, "a group")
        problems += _interval(group, file)
        for entry in _sequence(group, "rules"):
            if not isinstance(entry, Located) or ("alert" in entry) == ("record" in entry) or not entry.get("expr"):
                line = entry.line if isinstance(entry, Located) else group.line
                problems.append(Problem(file, line, "a rule has `expr`, and either `alert` or `record`"))
            else:
                kind: Literal["alert", "record"] = "alert" if "alert" in entry else "record"
                problems += _unknown(entry, RULE_KEYS[kind], file, f"a rule of kind `{kind}`")
                rules.append(_rule(entry, kind, file, group))
    return rules, problems


def _interval(group: Located, file: str) -> Iterator[Problem]:
    """What is wrong with how often a group is evaluated: more often than all others, or as they are."""
    if not isinstance(group, Located) or (interval := group.get("interval")) is None:
        return
    try:
        if promql.seconds(interval) < INTERVAL:
            return
        message = f"a group's interval is {interval}; it must be shorter than that of all, {INTERVAL}s: remove it"
    except PromQLError as error:
        message = str(error)
    yield Problem(file, group.lines["interval"], message)


def _rule(entry: Located, kind: Literal["alert", "record"], file: str, group: Located) -> Rule:
    return Rule(
        file=file,
        line=entry.line,
        group=group.get("name", ""),
        kind=kind,
        name=entry[kind],
        expr=entry["expr"],
        hold=entry.get("for"),
        keep_firing_for=entry.get("keep_firing_for"),
        labels={**(group.get("labels") or {}), **(entry.get("labels") or {})},
        annotations=entry.get("annotations") or {},
        lines=_lines(entry),
    )


def read_tests(path: Path, file: str) -> tuple[Tests, list[Problem]]:
    """The tests of a file, and what is wrong with its form."""
    content, problems = read(path, file)
    if problems:
        return Tests(file=file, order=(), cases=()), problems
    problems = list(_unknown(content, TEST_FILE_KEYS, file, "a test file"))
    cases = []
    for entry in _sequence(content, "tests"):
        problems += _unknown(entry, TEST_KEYS, file, "a test")
        if isinstance(entry, Located):
            cases.append(_case(entry, file))
    return Tests(file=file, order=_sequence(content, "group_eval_order"), cases=cases), problems


def _case(entry: Located, file: str) -> Case:
    return Case(
        file=file,
        line=entry.line,
        name=entry.get("name", ""),
        expected=[
            Expected(line=each.line, alert=each.get("alertname", ""), alerts=_sequence(each, "exp_alerts"))
            for each in _sequence(entry, "alert_rule_test")
        ],
        queries=[each.get("expr", "") for each in _sequence(entry, "promql_expr_test")],
    )


def _sequence(mapping: Any, key: str) -> list[Any]:
    found = mapping.get(key) if isinstance(mapping, Located) else None
    return found if isinstance(found, list) else []


def _unknown(mapping: Any, known: Sequence[str], file: str, what: str) -> Iterator[Problem]:
    if not isinstance(mapping, Located):
        yield Problem(file, 1, f"{what} is a mapping with the keys {', '.join(known)}")
        return
    for key in mapping:
        if key not in known:
            yield Problem(file, mapping.lines[key], f"{what} has no `{key}`; it knows {', '.join(known)}")


def _lines(entry: Located) -> dict[str, int]:
    """Lines of a rule's keys; those of labels and annotations as `labels.severity`."""
    lines = dict(entry.lines)
    for key, value in entry.items():
        if isinstance(value, Located):
            lines |= {f"{key}.{inner}": line for inner, line in value.lines.items()}
    return lines
