"""The backups: how old, how good, how large, and what a restore of them took."""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.models import units

from dashboards.page import Page, Row
from dashboards.panels import About, above, graph, stat

YES_OR_NO: Mapping[float, tuple[str, str]] = {1: ("yes", "green"), 0: ("no", "red")}
# While the exporter is replaced there are two of it, which say the same.
LAST = "max(modelcard_backup_last_success_timestamp_seconds)"
VERIFIED = "max(modelcard_backup_last_verified_timestamp_seconds)"
DRILL = "max(modelcard_backup_last_drill_timestamp_seconds)"
COPIED = "max(modelcard_backup_uploads_copied_timestamp_seconds)"

PAGE = Page(
    uid="backups",
    title="Backups",
    description="Whether everything could be brought back, how fast, and how much of it.",
    health="modelcard_backup_bucket_readable",
    glance=[
        stat(
            "Age of the last set",
            About(
                says="Time since the last complete set was committed.",
                normal="Below a day.",
                otherwise="Look at the job: `kubectl -n modelcard get jobs`, its log, then the runbook.",
                alerts=["BackupTooOld", "BackupPartial"],
            ),
            f"time() - {LAST}",
            unit=units.Seconds,
            limits=above(26 * 3600),
        ),
        stat(
            "Age of the last verification",
            About(
                says="Time since a set was last read back without a fault.",
                normal="Below a day.",
                otherwise="Until one is verified nothing is pruned; see why the job fails.",
                alerts=["BackupNotVerified"],
            ),
            f"time() - {VERIFIED}",
            unit=units.Seconds,
            limits=above(50 * 3600),
        ),
        stat(
            "Last drill passed",
            About(
                says="Whether the last drill brought everything back within its objectives.",
                normal="yes.",
                otherwise="`mcops backup drill` says what is missing; the job's log has it too.",
                alerts=["BackupDrillFailed", "BackupDrillTooOld"],
            ),
            "max(modelcard_backup_last_drill_passed)",
            unit=units.NoUnit,
            texts=YES_OR_NO,
        ),
        stat(
            "Faults found",
            About(
                says="What the newest verification could not read back.",
                normal="0.",
                otherwise="`mcops backup verify` names each; the next run writes damaged contents again.",
                alerts=["BackupBad"],
            ),
            "max(modelcard_backup_verification_problems)",
            unit=units.Short,
            limits=above(1),
        ),
        stat(
            "Uploads copied",
            About(
                says="Time since uploads were last copied into the bucket.",
                normal="A few minutes.",
                otherwise="What was uploaded since is lost with its volume: look at the job that copies.",
                alerts=["UploadsNotCopied"],
            ),
            f"time() - {COPIED}",
            unit=units.Seconds,
            limits=above(1800),
        ),
        stat(
            "Bucket",
            About(
                says="Whether the exporter can read the bucket.",
                normal="yes.",
                otherwise="Nobody knows how old the backups are: look at its credentials and the endpoint.",
                alerts=["BackupBucketUnreadable"],
            ),
            "max(modelcard_backup_bucket_readable)",
            unit=units.NoUnit,
            texts=YES_OR_NO,
        ),
    ],
    rows=[
        Row(
            "What a disaster would cost",
            [
                [
                    graph(
                        "Time to restore",
                        About(
                            says="What the drills took until database and uploads were there, and the objective.",
                            normal="Below the objective, growing no faster than the data.",
                            otherwise="A faster volume or more of `process-max` in pgBackRest shortens it.",
                            alerts=["BackupDrillFailed"],
                        ),
                        {
                            "RTO": "max(modelcard_backup_rto_seconds)",
                            "objective": "max(modelcard_backup_rto_objective_seconds)",
                        },
                        unit=units.Seconds,
                    ),
                    graph(
                        "What would be lost",
                        About(
                            says="Age of what the drills could not bring back, and the objective.",
                            normal="Seconds to a minute: the log is archived at least each minute.",
                            otherwise="See LogArchivingFailing, and when uploads were copied last.",
                            alerts=["BackupDrillFailed", "LogArchivingFailing"],
                        ),
                        {
                            "RPO": "max(modelcard_backup_rpo_seconds)",
                            "objective": "max(modelcard_backup_rpo_objective_seconds)",
                        },
                        unit=units.Seconds,
                    ),
                    graph(
                        "How far back one can go",
                        About(
                            says="Time since the earliest moment that can be restored.",
                            normal="Grows up to what the retention keeps.",
                            otherwise="A fall means that old sets were deleted: `mcops backup prune --dry-run`.",
                        ),
                        {"earliest": "time() - (max(modelcard_backup_recoverable_from_timestamp_seconds) > 0)"},
                        unit=units.Seconds,
                    ),
                ]
            ],
        ),
        Row(
            "The sets",
            [
                [
                    graph(
                        "Sets by state",
                        About(
                            says="How many sets there are of each state. Only verified ones count for retention.",
                            normal="Nearly all verified; the newest waits for its verification.",
                            otherwise="Bad or damaged: they never push out good ones, and go by themselves.",
                        ),
                        {"{{state}}": "max by (state) (modelcard_backup_sets)"},
                        unit=units.Short,
                        stacked=True,
                    ),
                    graph(
                        "Duration",
                        About(
                            says="How long the newest set took.",
                            normal="Grows with the data; a full one each week takes longer.",
                            otherwise="Beyond an hour: raise workers and `process-max`.",
                        ),
                        {"duration": "max(modelcard_backup_duration_seconds)"},
                        unit=units.Seconds,
                    ),
                    graph(
                        "Size",
                        About(
                            says="What the newest set holds, by part, before compression.",
                            normal="Grows with the data.",
                            otherwise="A part that falls to 0 is missing: see the job's log.",
                            alerts=["BackupPartial"],
                        ),
                        {"{{part}}": "max by (part) (modelcard_backup_size_bytes)"},
                        unit=units.BytesIEC,
                        stacked=True,
                    ),
                    graph(
                        "Added",
                        About(
                            says="What the newest set added to the bucket, by part.",
                            normal="A fraction of its size: what earlier sets have is not written again.",
                            otherwise="All of it each time: somebody rewrites uploads, or the catalogue was damaged.",
                        ),
                        {"{{part}}": "max by (part) (modelcard_backup_added_bytes)"},
                        unit=units.BytesIEC,
                        stacked=True,
                    ),
                ],
                [
                    graph(
                        "Age of the log",
                        About(
                            says="Time since PostgreSQL last archived a segment of its log.",
                            normal="Below a minute or two while somebody writes; any while nobody does.",
                            otherwise="With writes it must not grow: see LogArchivingFailing.",
                            alerts=["LogArchivingFailing"],
                        ),
                        {"last segment": "min(pg_stat_archiver_last_archive_age)"},
                        unit=units.Seconds,
                    ),
                    graph(
                        "Failed attempts",
                        About(
                            says="Segments of the log that could not be archived at the first attempt, in 15 minutes.",
                            normal="0.",
                            otherwise="PostgreSQL tries again for ever, and keeps its log meanwhile: its volume fills.",
                            alerts=["LogArchivingFailing"],
                        ),
                        {"failed": "max(increase(pg_stat_archiver_failed_count[15m]))"},
                        unit=units.Short,
                    ),
                ],
            ],
        ),
    ],
)
