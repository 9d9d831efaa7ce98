"""Who may deviate from which rule, why, and until when."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from policy.model import Finding

LONGEST = timedelta(days=366)
SHORTEST_REASON = 20  # characters: enough for a sentence, too many for "legacy"
TEAM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*-team", re.ASCII)
RESOURCE = re.compile(r"[^:\s]+:[^:\s]+:[^:\s]+::\S+")


@dataclass(frozen=True, kw_only=True)
class PolicyException:
    """One rule that one resource (`type::name`) need not keep, for a year at most."""

    rule: str
    resource: str
    owner: str
    reason: str
    granted: date
    expires: date

    def __post_init__(self) -> None:
        """Refuse an exception that nobody answers for, reporting every problem at once."""
        problems = {
            'resource must be type::name, as in "kubernetes:apps/v1:DaemonSet::agents"': not RESOURCE.fullmatch(
                self.resource,
            ),
            'owner must be a team, as in "platform-team"': not TEAM.fullmatch(self.owner),
            f"reason must be a sentence of at least {SHORTEST_REASON} characters": len(self.reason.strip())
            < SHORTEST_REASON,
            "expires must be after granted": self.expires <= self.granted,
            "expires must be within a year of granted": self.expires - self.granted > LONGEST,
        }
        if any(problems.values()):
            wrong = "; ".join(problem for problem, present in problems.items() if present)
            raise ValueError(f"{self}: {wrong}")

    def __str__(self) -> str:
        """What it is about and who answers for it."""
        return f"exception from {self.rule} for {self.resource} ({self.owner})"

    def covers(self, finding: Finding, today: date) -> bool:
        """Whether it excuses the finding today. A rule that failed to run is never excused."""
        matches = (self.rule, self.resource) == (finding.rule, finding.resource)
        return matches and not finding.internal and self.granted <= today <= self.expires


EXCEPTIONS: tuple[PolicyException, ...] = (
    PolicyException(
        rule="restricted-volume-types",
        resource="kubernetes:apps/v1:DaemonSet::node-exporter",
        owner="platform-team",
        reason="It measures the node's file systems, memory and processors, which are files of the node; read-only.",
        granted=date(2026, 11, 24),
        expires=date(2027, 11, 24),
    ),
    PolicyException(
        rule="restricted-volume-types",
        resource="kubernetes:apps/v1:DaemonSet::filebeat",
        owner="platform-team",
        reason="What containers write is in files of the node; it reads those below /var/log/pods, of our namespaces.",
        granted=date(2026, 11, 25),
        expires=date(2027, 11, 25),
    ),
    PolicyException(
        rule="several-replicas",
        resource="kubernetes:apps/v1:Deployment::cache-redis",
        owner="platform-team",
        reason="The cache is one process: a second would be another cache, and losing it costs hits only.",
        granted=date(2026, 11, 25),
        expires=date(2027, 11, 25),
    ),
    *(
        PolicyException(
            rule="several-replicas",
            resource=f"kubernetes:apps/v1:Deployment::{name}",
            owner="platform-team",
            reason="Two would measure the same thing twice, and a minute without it is an alert, not an outage.",
            granted=date(2026, 11, 25),
            expires=date(2027, 11, 25),
        )
        for name in (
            "backup-exporter",
            "blackbox-exporter",
            "elasticsearch-exporter",
            "grafana",
            "kibana",
            "kube-state-metrics",
            "postgres-exporter",
            "redis-exporter",
        )
    ),
)


def divide(
    findings: Iterable[Finding], exceptions: Iterable[PolicyException], today: date
) -> tuple[list[Finding], list[tuple[Finding, PolicyException]]]:
    """Tell the findings that stand from those that an exception excuses."""
    valid = tuple(exceptions)
    standing: list[Finding] = []
    excepted: list[tuple[Finding, PolicyException]] = []
    for finding in findings:
        excuse = next((exception for exception in valid if exception.covers(finding, today)), None)
        if excuse is None:
            standing.append(finding)
        else:
            excepted.append((finding, excuse))
    return standing, excepted


def out_of_date(exceptions: Iterable[PolicyException], today: date) -> Iterator[Finding]:
    """Find the exceptions that do not count today."""
    for exception in exceptions:
        if today > exception.expires:
            yield about(exception, f"expired on {exception.expires}; keep the rule, or have it granted anew")
        elif today < exception.granted:
            yield about(exception, f"does not count before {exception.granted}; correct its date")


def unused(
    exceptions: Iterable[PolicyException], used: Iterable[PolicyException], today: date, declared: Container[str]
) -> Iterator[Finding]:
    """Find the exceptions that count and excuse nothing of a resource (`type::name`) that is declared."""
    needed = set(used)
    for exception in exceptions:
        counts = exception.granted <= today <= exception.expires
        if counts and exception not in needed and exception.resource in declared:
            yield about(exception, "excuses nothing; remove it")


def about(exception: PolicyException, message: str) -> Finding:
    """Make a finding about an exception itself."""
    return Finding("policy-exception", exception.resource, "", f"{exception} {message}")
