"""Checks a whole stack without an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from policy.exceptions import EXCEPTIONS, PolicyException, divide, out_of_date, unused
from policy.levels import STRICTEST, Level, level_of
from policy.model import Finding, Resource, Rule
from policy.rules import ALL
from policy.stack import STACK, Stack, StackRule
from policy.values import plain


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the rules say about a stack. It passes if nothing was found that no exception excuses.

    `advice` is what was found by rules that only advise in this environment.
    """

    findings: tuple[Finding, ...]
    excepted: tuple[tuple[Finding, PolicyException], ...]
    rules_run: tuple[str, ...]
    resources_checked: int  # those that at least one rule is about
    advice: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the stack may be deployed."""
        return not self.findings


def check(
    resources: Iterable[Resource],
    *,
    today: date,
    environment: str = STRICTEST,
    exceptions: Sequence[PolicyException] = EXCEPTIONS,
    rules: Sequence[Rule | StackRule] = ALL,
) -> Report:
    """Run every rule over all resources of a stack; properties may hold whatever Pulumi hands over."""
    levels = {rule.name: level_of(rule.name, environment) for rule in rules}
    counting = [rule for rule in rules if levels[rule.name] is not Level.DISABLED]
    stack = stack_of(resources, environment)
    found = [finding for resource in stack.resources for rule in counting for finding in judge(rule, resource, stack)]
    standing, excepted = divide(found, exceptions, today)
    disabled = {name for name, level in levels.items() if level is Level.DISABLED}
    standing += out_of_date(exceptions, today)
    standing += unused(
        [each for each in exceptions if each.rule not in disabled],
        (excuse for _, excuse in excepted),
        today,
        {str(resource) for resource in stack.resources},
    )
    standing.sort(key=lambda finding: (finding.resource, finding.rule, finding.path))
    advises = [
        levels.get(finding.rule) is Level.ADVISORY and not finding.internal and not finding.unknown
        for finding in standing
    ]
    kinds = frozenset[str]().union(*(rule.kinds for rule in rules if rule.kinds)) - {STACK}
    return Report(
        findings=tuple(finding for finding, only in zip(standing, advises, strict=True) if not only),
        advice=tuple(finding for finding, only in zip(standing, advises, strict=True) if only),
        excepted=tuple(excepted),
        rules_run=tuple(rule.name for rule in counting),
        resources_checked=sum(resource.type in kinds for resource in stack.resources),
    )


def stack_of(resources: Iterable[Resource], environment: str) -> Stack:
    """A stack with plain values, and with a resource that stands for the whole of it."""
    plainly = [replace(resource, properties=plain(resource.properties)) for resource in resources]
    return Stack(environment, (*(each for each in plainly if each.type != STACK), Resource(STACK, environment, {})))


def judge(rule: Rule | StackRule, resource: Resource, stack: Stack) -> Iterable[Finding]:
    """What a rule of either sort finds in a resource."""
    return rule.findings(resource, stack) if isinstance(rule, StackRule) else rule.findings(resource)
