"""Hands the rules to the Pulumi engine, so that whatever cannot be checked blocks the deployment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyComplianceFramework,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)

from policy.exceptions import EXCEPTIONS, PolicyException, divide, out_of_date
from policy.levels import STRICTEST, level_of
from policy.model import Finding, Resource, Rule
from policy.rules import ALL
from policy.runner import stack_of
from policy.stack import StackRule
from policy.values import plain

ENVIRONMENT = "modelcard-platform:environment"
EXPIRED = "policy-exception"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One operation of the engine: for what, and what was declared so far, by URN.

    The engine shows policies of the stack what its providers answered, in which a cluster has filled in what nobody
    declared. They are judged by what was declared, too.
    """

    today: date
    environment: str = STRICTEST
    preview: bool = False
    exceptions: Sequence[PolicyException] = EXCEPTIONS
    declared: dict[str, Resource] = field(default_factory=dict)

    def standing(self, findings: Iterable[Finding], name: str) -> list[Finding]:
        """What no exception excuses, with why one does not that ran out."""
        found = list(findings)
        granted = [each for each in self.exceptions if each.rule == name]
        standing, _ = divide(found, granted, self.today)
        about = {finding.resource for finding in standing}
        # An exception that ran out explains a finding here; by itself it is found by a policy of its own.
        return [*standing, *out_of_date([each for each in granted if each.resource in about], self.today)]


def run_of(variables: Mapping[str, str], *, today: date) -> Run:
    """What the engine says of its operation in the environment of the pack's process."""
    config = json.loads(variables.get("PULUMI_CONFIG") or "{}")
    return Run(
        today=today,
        environment=str(config.get(ENVIRONMENT, STRICTEST)),
        preview=variables.get("PULUMI_DRY_RUN") == "true",
    )


def policies(run: Run, *, rules: Sequence[Rule | StackRule] = ALL) -> Iterator[Policy]:
    """Each rule as a policy of the engine, and one about the exceptions themselves."""
    for rule in rules:
        yield as_stack_policy(rule, run) if isinstance(rule, StackRule) else as_policy(rule, run)

    def in_force(_: StackValidationArgs, report: ReportViolation) -> None:
        for finding in out_of_date(run.exceptions, run.today):
            report(str(finding), None)

    yield StackValidationPolicy(
        name=EXPIRED,
        description="No exception is kept beyond its time.",
        validate=in_force,
        enforcement_level=EnforcementLevel.MANDATORY,
    )


def as_policy(rule: Rule, run: Run) -> ResourceValidationPolicy:
    """Adapt a rule. The engine would only advise where a policy reads an unknown; plain values never make it."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if not rule.is_about(args.resource_type):
            return
        if rule.kinds is None or args.urn not in run.declared:
            run.declared[args.urn] = Resource(
                args.resource_type, args.name, plain(args.props), urn=args.urn, protect=bool(args.opts.protect)
            )
        found = run.standing(rule.findings(run.declared[args.urn]), rule.name)
        later = [finding for finding in found if finding.unknown and rule.deferred and run.preview]
        for finding in found:
            if finding not in later:
                report(str(finding), None)
        if later:
            args.not_applicable(f"{later[0].path} exists only later: judged before {args.name} is made")

    return ResourceValidationPolicy(validate=validate, **_about(rule, run))


def as_stack_policy(rule: StackRule, run: Run) -> StackValidationPolicy:
    """Adapt a rule about a resource among all; each finding is told of the resource that it is about."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        stack = stack_of([_declared(each, run) for each in args.resources], run.environment)
        for resource in stack.resources:
            for finding in run.standing(rule.findings(resource, stack), rule.name):
                report(str(finding), resource.urn or None)

    return StackValidationPolicy(validate=validate, **_about(rule, run))


def _declared(shown: PolicyResource, run: Run) -> Resource:
    known = run.declared.get(shown.urn) or Resource(shown.resource_type, shown.name, plain(shown.props), urn=shown.urn)
    depends = {key: frozenset(each.urn for each in on) for key, on in shown.property_dependencies.items()}
    return replace(known, protect=bool(shown.opts.protect), depends=depends)


def _about(rule: Rule | StackRule, run: Run) -> dict[str, Any]:
    return {
        "name": rule.name,
        "description": rule.summary,
        "enforcement_level": EnforcementLevel(level_of(rule.name, run.environment).value),
        "framework": PolicyComplianceFramework(name=rule.control.title, reference=rule.control.reference),
        "remediation_steps": rule.remedy,
        "url": rule.control.reference,
    }
