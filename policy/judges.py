"""What judges say against us on purpose. They contradict each other; each conflict is decided here, once.

An entry covers one finding on one object, on those that a pattern names, or on all (`*`), until it expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

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
        return self.finding == finding and fnmatchcase(name, self.name) and today < self.expires


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
    *(
        JudgeException(
            finding="Container has the same readiness and liveness probe",
            name=name,
            reason="an exporter has one page that costs nothing; liveness is the more patient of the two, by rule",
            owner=OWNER,
            expires=date(2027, 11, 1),
        )
        for name in (
            "backup-exporter",
            "blackbox-exporter",
            "elasticsearch-exporter",
            "node-exporter",
            "postgres-exporter",
            "redis-exporter",
        )
    ),
    JudgeException(
        finding="Container has the same readiness and liveness probe",
        name="logstash",
        reason="it listens while its queue takes lines, and its page is its pod's alone; liveness is the more patient",
        owner=OWNER,
        expires=date(2027, 11, 1),
    ),
)

CHECKOV: tuple[JudgeException, ...] = (
    JudgeException(
        finding="CKV_K8S_11",  # CPU limits
        name="*",
        reason="CPU is compressible: as for kube-score",
        owner=OWNER,
        expires=date(2027, 11, 1),
    ),
    JudgeException(
        finding="CKV_K8S_43",  # image by digest
        name="*",
        reason="a version tag, asked for anew each time; a release pins the digest behind it in the stack file",
        owner=OWNER,
        expires=date(2027, 11, 1),
    ),
    *(
        JudgeException(
            finding="CKV_K8S_38",  # service account token
            name=name,
            reason="it asks the Kubernetes API; our own rule demands that the account may do something",
            owner=OWNER,
            expires=date(2027, 11, 1),
        )
        for name in ("backup-run", "incident-responder", "kube-state-metrics", "prometheus", "prometheus-adapter")
    ),
)

# Of what is declared for AWS; names as Terraform would have them, behind the stack's file.
CHECKOV_CLOUD: tuple[JudgeException, ...] = (
    JudgeException(
        finding="CKV2_AWS_62",  # event notifications
        name="*",
        reason="nothing waits for a single object: what was backed up, and when, is told by metrics",
        owner=OWNER,
        expires=date(2027, 11, 1),
    ),
    *(
        JudgeException(finding=finding, name="*logs", reason=reason, owner=OWNER, expires=date(2027, 11, 1))
        for finding, reason in (
            ("CKV_AWS_18", "the log of a log would be about itself"),
            ("CKV_AWS_144", "a record of who asked is worth keeping once"),
            ("CKV_AWS_145", "S3 delivers its log to no bucket under a key of ours"),
        )
    ),
    *(
        JudgeException(finding=finding, name="*replica", reason=reason, owner=OWNER, expires=date(2027, 11, 1))
        for finding, reason in (
            ("CKV_AWS_18", "S3 alone writes to a copy, and the original has a log"),
            ("CKV_AWS_144", "it is the copy"),
        )
    ),
    *(
        JudgeException(
            finding="CKV_AWS_144",  # a copy in another region
            name=f"{stack}.json/*_bucket",
            reason="what this stack holds can be made again; prod's alone must outlive a region",
            owner=OWNER,
            expires=date(2027, 11, 1),
        )
        for stack in ("dev", "local")
    ),
)
