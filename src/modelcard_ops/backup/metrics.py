"""What the exporter tells of the sets in the bucket: the catalogue that rules and dashboards are checked against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A name, what it means, and its labels."""

    name: str
    help: str
    type: Literal["gauge", "counter"] = "gauge"
    labels: tuple[str, ...] = ()


PARTS = ("database", "uploads", "cluster", "prometheus")
STATES = ("verified", "not verified", "partial", "bad", "damaged")

READABLE = Metric(name="modelcard_backup_bucket_readable", help="1 if the bucket could be read for this answer.")
SETS = Metric(name="modelcard_backup_sets", help="Sets by state.", labels=("state",))
LAST_SUCCESS = Metric(
    name="modelcard_backup_last_success_timestamp_seconds", help="When the last complete set was committed; 0: never."
)
LAST_PARTIAL = Metric(
    name="modelcard_backup_last_partial", help="1 if the newest set lacks this part.", labels=("part",)
)
LAST_VERIFIED = Metric(
    name="modelcard_backup_last_verified_timestamp_seconds",
    help="When a set was last read back without fault; 0: never.",
)
VERIFICATION_PROBLEMS = Metric(
    name="modelcard_backup_verification_problems", help="Faults that the newest verification found."
)
DURATION = Metric(name="modelcard_backup_duration_seconds", help="How long the newest set took.")
SIZE = Metric(
    name="modelcard_backup_size_bytes", help="What the newest set holds, before compression.", labels=("part",)
)
STORED = Metric(name="modelcard_backup_added_bytes", help="What the newest set added to the bucket.", labels=("part",))
RECOVERABLE_FROM = Metric(
    name="modelcard_backup_recoverable_from_timestamp_seconds", help="The earliest point that can be restored; 0: none."
)
COPIED = Metric(
    name="modelcard_backup_uploads_copied_timestamp_seconds", help="When uploads were last copied, by a set or between."
)
DRILL = Metric(name="modelcard_backup_last_drill_timestamp_seconds", help="When a drill last ended; 0: never.")
DRILL_PASSED = Metric(name="modelcard_backup_last_drill_passed", help="1 if the last drill found everything, in time.")
DRILL_PROBLEMS = Metric(name="modelcard_backup_last_drill_problems", help="Faults that the last drill found.")
RTO = Metric(name="modelcard_backup_rto_seconds", help="How long the last drill took to restore.")
RPO = Metric(name="modelcard_backup_rpo_seconds", help="What would have been lost at the last drill.")
RTO_OBJECTIVE = Metric(name="modelcard_backup_rto_objective_seconds", help="How long a restore may take.")
RPO_OBJECTIVE = Metric(name="modelcard_backup_rpo_objective_seconds", help="What may be lost.")

CATALOGUE = (
    READABLE, SETS, LAST_SUCCESS, LAST_PARTIAL, LAST_VERIFIED, VERIFICATION_PROBLEMS, DURATION, SIZE, STORED,
    RECOVERABLE_FROM, COPIED, DRILL, DRILL_PASSED, DRILL_PROBLEMS, RTO, RPO, RTO_OBJECTIVE, RPO_OBJECTIVE,
)  # fmt: skip
