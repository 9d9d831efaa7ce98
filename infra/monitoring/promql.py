"""What an expression reads and what it yields, by promql_parser. It keeps no positions: lines are those of the rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import promql_parser
from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    LabelModifierType,
    MatchOp,
    MatrixSelector,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
)

Labels = frozenset[str] | None  # None: nobody knows
KEEPS_SERIES = ("topk", "bottomk", "limitk", "limit_ratio")  # aggregations that hand their series on as they are
OPERATORS = ((MatchOp.Equal, "="), (MatchOp.NotEqual, "!="), (MatchOp.Re, "=~"), (MatchOp.NotRe, "!~"))


class PromQLError(Exception):
    """The parser's message."""


@dataclass(frozen=True, kw_only=True)
class Matcher:
    """`label op value` of a selector."""

    label: str
    op: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Selector:
    """Which series are read, and over how many seconds; None is the latest sample."""

    metric: str
    matchers: tuple[Matcher, ...]
    seconds: float | None

    def value(self, label: str) -> str | None:
        """What an equality matcher demands of a label."""
        return next((each.value for each in self.matchers if each.label == label and each.op == "="), None)


@dataclass(frozen=True, kw_only=True)
class Use:
    """Labels that `by`, `on` or `group_left` names, and the labels of what it is applied to."""

    clause: str
    labels: tuple[str, ...]
    available: Labels


def parse(text: str) -> Expr:
    """Raises `PromQLError`."""
    try:
        parsed: Expr = promql_parser.parse(text)
    except ValueError as error:
        raise PromQLError(str(error)) from None
    return parsed


def seconds(duration: str) -> float:
    """Of `1h30m`. Raises `PromQLError`."""
    try:
        return promql_parser.parse_duration(duration).total_seconds()
    except ValueError as error:
        raise PromQLError(f"{duration} is no duration: {error}") from None


def children(expr: Expr) -> list[Expr]:
    """What an expression is made of, but for the selector within a range."""
    match expr:
        case BinaryExpr():
            return [expr.lhs, expr.rhs]
        case AggregateExpr():
            return [*([expr.param] if expr.param is not None else []), expr.expr]
        case Call():
            return list(expr.args)
        case ParenExpr() | UnaryExpr() | SubqueryExpr():
            return [expr.expr]
        case _:
            return []


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything in it, outermost first, in the order in which it is written."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def selectors(expr: Expr) -> Iterator[Selector]:
    """All series that are read."""
    for each in walk(expr):
        if isinstance(each, MatrixSelector):
            yield _selector(each.vector_selector, each.range.total_seconds())
        elif isinstance(each, VectorSelector):
            yield _selector(each, None)


def subqueries(expr: Expr) -> Iterator[tuple[float, Expr]]:
    """Seconds of each subquery, and what it evaluates."""
    for each in walk(expr):
        if isinstance(each, SubqueryExpr) and each.range is not None:
            yield each.range.total_seconds(), each.expr


def quantiles_without_le(expr: Expr) -> Iterator[str]:
    """Every `histogram_quantile` of buckets that were added up without their bounds."""
    for call in walk(expr):
        if isinstance(call, Call) and call.func.name == "histogram_quantile":
            # Only the outermost aggregation decides what reaches the function.
            inner = next((each for each in walk(call.args[1]) if isinstance(each, AggregateExpr)), None)
            if inner is not None and "le" not in (_grouping(inner, frozenset({"le"})) or frozenset()):
                yield call.prettify()


def labels(expr: Expr, of: Callable[[Selector], Labels]) -> Labels:
    """Every label that a result may carry. `of` knows the labels of a selector's series."""
    match expr:
        case MatrixSelector() | VectorSelector():
            return of(next(selectors(expr)))
        case AggregateExpr():
            return _aggregated(expr, labels(expr.expr, of))
        case Call() if expr.func.name in {"absent", "absent_over_time"}:
            demanded = (matcher for selector in selectors(expr) for matcher in selector.matchers)
            return frozenset(each.label for each in demanded if each.op == "=")
        case Call():
            written = {str(each.val) for each in expr.args[1:2] if isinstance(each, StringLiteral)}
            made = written if expr.func.name in {"label_replace", "label_join"} else set()
            return _union(frozenset(made), *(labels(each, of) for each in children(expr)))
        case BinaryExpr() if str(expr.op) in {"and", "unless"}:
            return labels(expr.lhs, of)
        case _:
            return _union(frozenset(), *(labels(each, of) for each in children(expr)))


def uses(expr: Expr, of: Callable[[Selector], Labels]) -> Iterator[Use]:
    """Where labels are named outside of selectors."""
    for each in walk(expr):
        if isinstance(each, AggregateExpr) and each.modifier is not None:
            by = each.modifier.type == AggModifierType.By
            names = tuple(each.modifier.labels)
            yield Use(clause="by" if by else "without", labels=names, available=labels(each.expr, of))
        elif isinstance(each, BinaryExpr) and each.modifier is not None:
            available = _union(labels(each.lhs, of), labels(each.rhs, of))
            matching = each.modifier.matching
            if matching is not None:
                clause = "on" if matching.type == LabelModifierType.Include else "ignoring"
                yield Use(clause=clause, labels=tuple(matching.labels), available=available)
            if each.modifier.group_labels:
                names = tuple(each.modifier.group_labels)
                yield Use(clause="group_left or group_right", labels=names, available=available)


def _selector(expr: VectorSelector, over: float | None) -> Selector:
    written = [*expr.matchers.matchers, *(each for group in expr.matchers.or_matchers for each in group)]
    matchers = [
        Matcher(label=each.name, op=next(text for op, text in OPERATORS if op == each.op), value=each.value)
        for each in written
    ]
    named = next((each.value for each in matchers if each.label == "__name__" and each.op == "="), "")
    others = tuple(each for each in matchers if each.label != "__name__")
    return Selector(metric=expr.name or named, matchers=others, seconds=over)


def _aggregated(expr: AggregateExpr, inner: Labels) -> Labels:
    if str(expr.op) in KEEPS_SERIES:
        return inner
    made = {str(expr.param.val)} if str(expr.op) == "count_values" and isinstance(expr.param, StringLiteral) else set()
    return _union(frozenset(made), _grouping(expr, inner))


def _grouping(expr: AggregateExpr, inner: Labels) -> Labels:
    """What `by` or `without` leave of the labels."""
    if expr.modifier is None:
        return frozenset()
    if expr.modifier.type == AggModifierType.By:
        return frozenset(expr.modifier.labels)
    return None if inner is None else inner - set(expr.modifier.labels)


def _union(*several: Labels) -> Labels:
    known = [each for each in several if each is not None]
    return frozenset().union(*known) if len(known) == len(several) else None
