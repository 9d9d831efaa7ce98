"""Rules with their tests, and which of them depend on which, so that only what matters to a mutant is run."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from infra.monitoring import promql
from infra.monitoring.rules import Rule, read_rules

_TEXT, _SEQUENCE, _MAPPING = (f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))
SETTINGS = ("evaluation_interval", "group_eval_order", "fuzzy_compare")
# Where a query reads something else than what its metrics are at the moment.
ELSEWHERE = re.compile(r"[\[{@]|\boffset\b")
# What Prometheus writes about alerts: it changes with any of them.
OF_ALERTS = {"ALERTS", "ALERTS_FOR_STATE"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Test:
    """One entry of a file of tests. `alerts` and `queried` are the names that it asserts something of."""

    __test__ = False  # to pytest

    name: str
    entry: yaml.MappingNode
    settings: Sequence[tuple[str, yaml.Node]]
    alerts: frozenset[str]
    queried: frozenset[str]

    @property
    def asserts(self) -> frozenset[str]:
        """All names."""
        return self.alerts | self.queried

    def file(self) -> str:
        """The entry as a file of its own. Scalars stay as they are written."""
        return self._file(self.entry)

    def of_alerts(self, alert: str, copies: int) -> str:
        """The same, asserting of each copy of an alert what it asserts of the alert, and nothing else."""
        asserted = [each for each in self._asserted("alert_rule_test") if _value(each, "alertname") == alert]
        copied = [_with(each, "alertname", copy(alert, number)) for number in range(copies) for each in asserted]
        return self._asserting("alert_rule_test", copied)

    def of_queries(self, record: str, expressions: Sequence[str]) -> str:
        """The same, asserting of each expression what it asserts of a record, and nothing else."""
        asserted = [each for each in self._asserted("promql_expr_test") if record in _names(_value(each, "expr"))]
        name = re.compile(rf"(?<![\w:]){re.escape(record)}(?![\w:])")
        copied = []
        for number, expr in enumerate(expressions):
            for each in asserted:
                asked = name.sub(lambda _, expr=expr: f"({expr})", _value(each, "expr"))
                copied.append(_with(each, "expr", f"{asked}\n# {copy(record, number)}"))
        return self._asserting("promql_expr_test", copied)

    def asks_only(self, record: str, readers: set[str]) -> bool:
        """Whether all that it asserts of a record and its readers is what the record holds when it is evaluated."""
        step = promql.seconds(next((value.value for key, value in self.settings if key == SETTINGS[0]), "1m"))
        asked = [each for each in self._asserted("promql_expr_test") if _names(_value(each, "expr")) & readers]
        return not self.alerts & readers and all(
            _names(_value(each, "expr")) & readers == {record}
            and not ELSEWHERE.search(_value(each, "expr"))
            and _seconds(_value(each, "eval_time")) % step == 0
            for each in asked
        )

    def _asserted(self, kind: str) -> list[yaml.MappingNode]:
        return [each for key, value in self.entry.value if key.value == kind for each in value.value]

    def _asserting(self, kind: str, asserted: list[yaml.MappingNode]) -> str:
        kept = [(key, value) for key, value in self.entry.value if not key.value.endswith("_test")]
        entry = [*kept, (yaml.ScalarNode(_TEXT, kind), yaml.SequenceNode(_SEQUENCE, asserted))]
        return self._file(yaml.MappingNode(_MAPPING, entry))

    def _file(self, entry: yaml.MappingNode) -> str:
        rule_files = yaml.SequenceNode(_SEQUENCE, [yaml.ScalarNode(_TEXT, "rules.yml")])
        content = [("rule_files", rule_files), *self.settings, ("tests", yaml.SequenceNode(_SEQUENCE, [entry]))]
        file = yaml.MappingNode(_MAPPING, [(yaml.ScalarNode(_TEXT, key), value) for key, value in content])
        return str(yaml.serialize(file, Dumper=yaml.CSafeDumper))


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A file of rules with its tests, and the rules of other files that those load."""

    file: str
    rules: Sequence[Rule]
    tests: Sequence[Test]

    @cached_property
    def reads(self) -> list[set[str]]:
        """What each rule reads."""
        return [_names(rule.expr) for rule in self.rules]

    def readers(self, rule: Rule) -> set[str]:
        """The names that change when a rule does, its own among them."""
        names, fresh = set[str](), [rule]
        while fresh:
            source = fresh.pop()
            if source.name not in names:
                names.add(source.name)
                fresh += [each for each, read in zip(self.rules, self.reads, strict=True) if _reads(read, source)]
        return names | (OF_ALERTS if any(each.kind == "alert" and each.name in names for each in self.rules) else set())

    def needed(self, names: Iterable[str]) -> set[int]:
        """Which rules decide what names yield."""
        needed, wanted = set[int](), set(names)
        while True:
            fresh = {index for index, rule in enumerate(self.rules) if _reads(wanted, rule)} - needed
            if not fresh:
                return needed
            needed |= fresh
            wanted = set().union(*(self.reads[index] for index in fresh))

    def identities(self) -> list[str]:
        """Names of rules; of several of one name, with the labels that tell them apart."""
        named = []
        for rule in self.rules:
            same = [other for other in self.rules if (other.kind, other.name) == (rule.kind, rule.name)]
            apart = [key for key in sorted(rule.labels) if len({each.labels.get(key) for each in same}) > 1]
            shown = ", ".join(f"{key}={rule.labels[key]}" for key in apart)
            named.append(f"{rule.name}{{{shown}}}" if shown else rule.name)
        return named


@dataclass
class RuleFile:
    """Some rules, in their groups."""

    groups: dict[str, list[dict[str, object]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rule: Rule, name: str) -> None:
        """A rule, by any name."""
        holds = {"for": rule.hold, "keep_firing_for": rule.keep_firing_for, "annotations": dict(rule.annotations)}
        entry = {rule.kind: name, "expr": rule.expr, "labels": dict(rule.labels), **holds}
        self.groups[rule.group].append({key: value for key, value in entry.items() if value})

    def text(self) -> str:
        """JSON is YAML, and quicker."""
        return json.dumps({"groups": [{"name": name, "rules": rules} for name, rules in self.groups.items()]})


def query(rules: Iterable[Rule]) -> str:
    """What records of one name would hold at the moment, asked for directly."""
    several = []
    for rule in rules:
        expr = f"(\n{rule.expr}\n)"
        for label, value in {"__name__": rule.name, **rule.labels}.items():
            expr = f'label_replace({expr}, "{label}", {json.dumps(value)}, "", "")'
        several.append(expr)
    return " or ".join(several)


def suites(root: Path, files: Iterable[str] = ()) -> list[Suite]:
    """Those of the files that are named, or all."""
    paths = sorted(root / each for each in files) or sorted((root / "rules").glob("*.yml"))
    return [_suite(root, path.name) for path in paths]


def copy(name: str, number: int) -> str:
    """What a copy of a rule is called."""
    return f"{name}__{number}"


def _suite(root: Path, name: str) -> Suite:
    path = root / "rules" / "tests" / name
    node = yaml.compose(path.read_text(), yaml.CSafeLoader) if path.exists() else None
    entries = {key.value: value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}
    loaded = [Path(each.value).name for each in entries["rule_files"].value] if "rule_files" in entries else []
    rules: list[Rule] = []
    for each in dict.fromkeys([name, *loaded]):
        found, problems = read_rules(root / "rules" / each, f"rules/{each}")
        if problems:
            raise ValueError("\n".join(map(str, problems)))
        rules += found
    settings = [(key, entries[key]) for key in SETTINGS if key in entries]
    tests = [_test(settings, each) for each in (entries["tests"].value if "tests" in entries else ())]
    return Suite(file=f"rules/{name}", rules=rules, tests=tests)


def _test(settings: Sequence[tuple[str, yaml.Node]], entry: yaml.MappingNode) -> Test:
    plain = yaml.load(yaml.serialize(entry, Dumper=yaml.CSafeDumper), yaml.CBaseLoader)  # noqa: S506 - makes text only
    return Test(
        name=plain.get("name", ""),
        entry=entry,
        settings=settings,
        alerts=frozenset(each["alertname"] for each in plain.get("alert_rule_test") or ()),
        queried=frozenset(name for each in plain.get("promql_expr_test") or () for name in _names(each["expr"])),
    )


def _with(asserted: yaml.MappingNode, key: str, text: str) -> yaml.MappingNode:
    others = [(each, value) for each, value in asserted.value if each.value != key]
    return yaml.MappingNode(_MAPPING, [(yaml.ScalarNode(_TEXT, key), yaml.ScalarNode(_TEXT, text)), *others])


def _value(asserted: yaml.MappingNode, key: str) -> str:
    return next((str(value.value).strip() for each, value in asserted.value if each.value == key), "")


def _seconds(duration: str) -> float:
    return promql.seconds(duration) if duration.strip("0") else 0


def _names(expr: str) -> set[str]:
    return {selector.metric for selector in promql.selectors(promql.parse(expr))}


def _reads(read: set[str], rule: Rule) -> bool:
    return rule.name in read or (rule.kind == "alert" and bool(read & OF_ALERTS))
