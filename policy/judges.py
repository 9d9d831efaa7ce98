"""What kube-score says against us on purpose. Judges contradict each other; each conflict is decided here, once.

An entry covers one finding on one object, or of all (`*`), until it expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

OWNER = "platform-team"


@dataclass(frozen=True, kw_only=True)
class JudgeException:
    """A finding that is accepted: what the judge says, of what, why, by whom, and until when."""

    finding: str
    name: str
    reason: str
    owner: str
    expires: date

    def covers(self, finding: str, name: str, *, today: date) -> bool:
        """Whether this accepts that finding on the object of that name."""
        return self.finding == finding and self.name in {"*", name} and today < self.expires


KUBE_SCORE: tuple[JudgeException, ...] = (
    JudgeException(
        finding="CPU limit is not set",
        name="*",
        reason="CPU is compressible: a limit on nginx, PostgreSQL or Redis throttles them while the node idles; "
        "requests keep their share, and memory is limited",
        owner=OWNER,
        expires=date(2027, 11, 1),
    ),
    JudgeException(
        finding="Deployment few replicas",
        name="cache-redis",
        reason="the cache is one process; a second would be another cache, and losing it costs hits only",
        owner=OWNER,
        expires=date(2027, 11, 1),
    ),
    *(
        JudgeException(
            finding="Deployment few replicas",
            name=name,
            reason="two would measure the same thing twice, and a minute without it is an alert, not an outage",
            owner=OWNER,
            expires=date(2027, 11, 1),
        )
        for name in ("blackbox-exporter", "grafana", "kube-state-metrics", "postgres-exporter", "redis-exporter")
    ),
    *(
        JudgeException(
            finding="Container has the same readiness and liveness probe",
            name=name,
            reason="an exporter has one page that costs nothing; liveness is the more patient of the two, by rule",
            owner=OWNER,
            expires=date(2027, 11, 1),
        )
        for name in ("blackbox-exporter", "node-exporter", "postgres-exporter", "redis-exporter")
    ),
)
