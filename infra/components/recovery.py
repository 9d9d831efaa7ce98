"""The Job that brings a lost database and its uploads back into new volumes, before anything may use them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pulumi

from infra.components import app, backup, cache, database
from infra.components.backup_tool import BackupTool, BackupToolArgs, Command
from infra.kube.identity import Workload
from infra.kube.pods import FromClaim
from infra.settings import NEWEST

WORKLOAD = Workload(component="recovery", name="recovery")
ROLE, DEADLINE = backup.JOBS[backup.DRILL]  # it reads what a drill reads, and may take as long
ATTEMPTS = 2  # after the first; each begins anew


@dataclass(frozen=True, kw_only=True)
class RecoveryArgs:
    """Which moment comes back, and the cache that may know rows which are gone with the rest."""

    tool: BackupToolArgs
    moment: str
    cache_url: pulumi.Output[str]


class Recovery(BackupTool):
    """Fills the claims of the database and the application; refuses a volume that somebody else has filled.

    The engine takes its Job for created when all is there, so whoever depends on the component waits for that.
    """

    def __init__(self, name: str, args: RecoveryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.tool, opts)
        command = Command(
            words=[
                "restore",
                "--yes",
                "--production",
                # The platform comes back also without a file that nobody had copied yet. The log names it.
                "--accept-missing",
                f"--database={database.DATA}",
                f"--uploads={app.UPLOADS}",
                *([] if args.moment == NEWEST else [f"--at={args.moment}"]),
            ],
            role=ROLE,
            settings={},
            secrets={"cache_url": args.cache_url},
            mounts=[
                # By name, for both belong to components that wait for this one.
                FromClaim(path=database.VOLUME, volume="database", claim=database.CLAIM),
                FromClaim(path=app.UPLOADS, volume="uploads", claim=app.CLAIM),
            ],
        )
        self.job(
            WORKLOAD,
            self.running(WORKLOAD, command, files="job"),
            config=self.files,
            rollout=replace(args.tool.rollout, deadline=DEADLINE),
            attempts=ATTEMPTS,
        )
        self.allow([WORKLOAD], to=cache.WORKLOAD, port=cache.PORT, what="recovery")
        self.finish()
