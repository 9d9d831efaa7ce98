"""Checks a whole stack without an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from policy.exceptions import EXCEPTIONS, PolicyException, divide, out_of_date, unused
from policy.model import Finding, Resource, Rule
from policy.rules import ALL
from policy.values import plain


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the rules say about a stack. It passes if nothing was found that no exception excuses."""

    findings: tuple[Finding, ...]
    excepted: tuple[tuple[Finding, PolicyException], ...]
    rules_run: tuple[str, ...]
    resources_checked: int  # those that at least one rule is about

    @property
    def passed(self) -> bool:
        """Whether the stack may be deployed."""
        return not self.findings


def check(
    resources: Iterable[Resource],
    *,
    today: date,
    exceptions: Sequence[PolicyException] = EXCEPTIONS,
    rules: Sequence[Rule] = ALL,
) -> Report:
    """Run every rule over all resources of a stack; properties may hold whatever Pulumi hands over."""
    kinds = frozenset[str]().union(*(rule.kinds for rule in rules))
    checked = [
        replace(resource, properties=plain(resource.properties)) for resource in resources if resource.type in kinds
    ]
    found = [finding for resource in checked for rule in rules for finding in rule.findings(resource)]
    standing, excepted = divide(found, exceptions, today)
    standing += out_of_date(exceptions, today)
    standing += unused(exceptions, (exception for _, exception in excepted), today)
    return Report(
        findings=tuple(sorted(standing, key=lambda finding: (finding.resource, finding.rule, finding.path))),
        excepted=tuple(excepted),
        rules_run=tuple(rule.name for rule in rules),
        resources_checked=len(checked),
    )
