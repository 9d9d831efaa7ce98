"""Hands the rules to the Pulumi engine, so that whatever cannot be checked blocks the deployment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from pulumi_policy import (
    EnforcementLevel,
    PolicyComplianceFramework,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

from policy.exceptions import EXCEPTIONS, PolicyException, divide, out_of_date
from policy.model import Finding, Resource, Rule
from policy.rules import ALL
from policy.values import plain


def policies(
    *, today: date, exceptions: Sequence[PolicyException] = EXCEPTIONS, rules: Sequence[Rule] = ALL
) -> Iterator[ResourceValidationPolicy]:
    """Each rule as a mandatory policy of the engine."""
    for rule in rules:
        yield as_policy(rule, today=today, exceptions=exceptions)


def as_policy(
    rule: Rule, *, today: date, exceptions: Sequence[PolicyException] = EXCEPTIONS
) -> ResourceValidationPolicy:
    """Adapt a rule. The engine would only advise where a policy reads an unknown; plain values never make it."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type not in rule.kinds:
            return
        resource = Resource(args.resource_type, args.name, plain(args.props))
        for finding in _standing(rule, resource, today, exceptions):
            report(str(finding), None)

    return ResourceValidationPolicy(
        name=rule.name,
        description=rule.summary,
        validate=validate,
        enforcement_level=EnforcementLevel.MANDATORY,
        framework=PolicyComplianceFramework(name=rule.control.title, reference=rule.control.reference),
        remediation_steps=rule.remedy,
        url=rule.control.reference,
    )


def _standing(rule: Rule, resource: Resource, today: date, exceptions: Sequence[PolicyException]) -> list[Finding]:
    granted = [each for each in exceptions if (each.rule, each.resource) == (rule.name, str(resource))]
    standing, _ = divide(rule.findings(resource), granted, today)
    # An exception that ran out explains a finding. It blocks nothing by itself: only the preview sees the whole stack.
    return [*standing, *out_of_date(granted, today)] if standing else []
