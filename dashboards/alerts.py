"""The alerts of `rules/`, as the dashboards need them: which of them lead where, and beyond what they fire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from promql_parser import BinaryExpr, Expr, NumberLiteral, ParenExpr, UnaryExpr

from infra.monitoring import promql
from infra.monitoring.checks import RUNBOOKS, kebab
from infra.monitoring.rules import Rule, read_rules

ROOT = Path(__file__).resolve().parents[1]


@cache
def alerts() -> tuple[Rule, ...]:
    """All of them, in the order of files and lines."""
    files = sorted((ROOT / "rules").glob("*.yml"))
    return tuple(rule for path in files for rule in read_rules(path, f"rules/{path.name}")[0] if rule.kind == "alert")


def leading_to(uid: str) -> list[str]:
    """Names of the alerts whose annotation names a dashboard."""
    return sorted({rule.name for rule in alerts() if rule.annotations.get("dashboard") == f"/d/{uid}"})


def firing(names: Sequence[str], *more: str) -> str:
    """Selects the alerts of these names that are firing, and that `more` matchers fit."""
    matchers = ('alertstate="firing"', f'alertname=~"{"|".join(names)}"', *more)
    return f"ALERTS{{{', '.join(matchers)}}}"


def runbook(name: str) -> str:
    """Where its page is."""
    return f"{RUNBOOKS}/{kebab(name)}"


@cache
def numbers() -> Mapping[str, frozenset[float]]:
    """All numbers in the expressions of each alert, its threshold among them."""
    found: dict[str, frozenset[float]] = {}
    for rule in alerts():
        found[rule.name] = found.get(rule.name, frozenset()) | set(_numbers(promql.parse(rule.expr)))
    return found


def _numbers(expr: Expr) -> Iterator[float]:
    for each in promql.walk(expr):
        value = _value(each)
        if value is not None:
            yield value


def _value(expr: Expr) -> float | None:
    """Of an expression that is one number, such as `21 * 24 * 3600`."""
    match expr:
        case NumberLiteral():
            return float(expr.val)
        case ParenExpr():
            return _value(expr.expr)
        case UnaryExpr():
            inner = _value(expr.expr)
            return None if inner is None else -inner
        case BinaryExpr() if str(expr.op) in {"*", "/"}:
            left, right = _value(expr.lhs), _value(expr.rhs)
            if left is None or right is None:
                return None
            return left * right if str(expr.op) == "*" else left / right
        case _:
            return None
