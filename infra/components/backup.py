"""The jobs that back the platform up, read the backups back, restore them for a test, and remove old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.rbac import v1 as rbac

from infra.components import app, prometheus
from infra.components.backup_tool import TLS, BackupTool, BackupToolArgs, Command
from infra.kube.bucket import Role
from infra.kube.identity import Workload
from infra.kube.pods import FromClaim, FromSecret, Mount, Workspace
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.settings import Keep, Objectives, Schedules, Storage

RUN = Workload(component="backup", name="backup-run")
UPLOADS = Workload(component="backup", name="backup-uploads")
VERIFY = Workload(component="backup", name="backup-verify")
DRILL = Workload(component="backup", name="backup-drill")
PRUNE = Workload(component="backup", name="backup-prune")
WORKLOADS = (RUN, UPLOADS, VERIFY, DRILL, PRUNE)
# Which role each has, and after how many seconds it is taken to hang: a terabyte at 100 MB/s takes three hours.
JOBS: Mapping[Workload, tuple[Role, int]] = {
    RUN: ("writer", 4 * 3600),
    UPLOADS: ("writer", 1800),
    VERIFY: ("restorer", 4 * 3600),
    DRILL: ("restorer", 4 * 3600),
    PRUNE: ("pruner", 3600),
}
LARGE = "/var/lib/modelcard/scratch"


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """What the jobs save (`config_maps` and `secrets` by name), when, and how old a backup may become."""

    tool: BackupToolArgs
    scratch: Storage
    certificate: ServerCertificate  # of the client that may read the database's files
    database_url: pulumi.Output[str]
    uploads: pulumi.Input[str]
    uploads_on_one_node: bool
    config_maps: Sequence[str]
    secrets: Sequence[str]
    prometheus_url: str
    snapshots_url: str  # of what hands out the snapshots of that same Prometheus
    login: MonitoringLogin
    schedules: Schedules
    keep: Keep
    objectives: Objectives


class Backup(BackupTool):
    """A CronJob for each of run, uploads, verify, drill and prune, each with rights of its own."""

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.tool, opts)
        self.args = args
        certificate = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        tls = FromSecret(path=TLS, secret=certificate.metadata.name, volume="tls")
        uploads = FromClaim(path=app.UPLOADS, volume="uploads", claim=args.uploads, read_only=True)
        large = Workspace(path=LARGE, volume="scratch", storage=args.scratch)
        live = {"database_url": args.database_url}
        reading, at = {"UPLOADS_DIR": app.UPLOADS}, args.schedules
        near = app.WORKLOAD if args.uploads_on_one_node else None
        self._job(
            RUN,
            at.run,
            settings=reading | self._saved(),
            secrets=live | {"prometheus_password": args.login.password},
            mounts=[tls, uploads],
            near=near,
            backs_up=["database", "uploads"],
        )
        self._job(UPLOADS, at.uploads, settings=reading, mounts=[uploads], near=near, backs_up=["uploads"])
        self._job(VERIFY, at.verify)
        self._job(DRILL, at.drill, settings={"SCRATCH_DIR": LARGE}, secrets=live, mounts=[large])
        self._job(PRUNE, at.prune)
        self._may_read()
        self.finish()

    def _job(  # noqa: PLR0913 - what tells one job from another
        self,
        workload: Workload,
        schedule: str,
        *,
        settings: Mapping[str, pulumi.Input[str]] | None = None,
        secrets: Mapping[str, pulumi.Input[str]] | None = None,
        mounts: Sequence[Mount] = (),
        near: Workload | None = None,
        backs_up: Sequence[str] = (),
    ) -> None:
        word = workload.name.removeprefix(f"{self.name}-")
        role, deadline = JOBS[workload]
        command = Command(
            words=[word],
            role=role,
            settings=self._kept() | dict(settings or {}),
            secrets=secrets or {},
            mounts=mounts,
            near=near,
            calls_api=workload == RUN,
        )
        self.cron_job(
            workload,
            self.running(workload, command, files=word),
            schedule=schedule,
            deadline=deadline,
            config=self.files,
            rollout=self.args.tool.rollout,
            backs_up=backs_up,
        )

    def _kept(self) -> dict[str, pulumi.Input[str]]:
        """How many sets stay, and what a drill may find."""
        keep, objectives = self.args.keep, self.args.objectives
        return {
            "KEEP_DAILY": str(keep.daily),
            "KEEP_WEEKLY": str(keep.weekly),
            "KEEP_MONTHLY": str(keep.monthly),
            "RPO": str(objectives.rpo),
            "RTO": str(objectives.rto),
        }

    def _saved(self) -> dict[str, pulumi.Input[str]]:
        """What else belongs to a set."""
        args = self.args
        return {
            "NAMESPACE": self.spaces[self.space],
            "CONFIG_MAPS": ",".join(args.config_maps),
            "SECRETS": ",".join(args.secrets),
            "PROMETHEUS_URL": args.prometheus_url,
            "SNAPSHOTS_URL": args.snapshots_url,
            "PROMETHEUS_USER": args.login.user,
        }

    def _may_read(self) -> None:
        """Each object by its name: nothing else can be read, and nothing listed."""
        names = {"configmaps": self.args.config_maps, "secrets": self.args.secrets}
        rules = [
            rbac.PolicyRuleArgs(api_groups=[""], resources=[kind], resource_names=list(known), verbs=["get"])
            for kind, known in names.items()
        ]
        self.may_call_api(RUN, {self.space: rules})
        self.allow([RUN], to=prometheus.WORKLOAD, port=prometheus.PORT, what="backup")
        self.allow([RUN], to=prometheus.WORKLOAD, port=prometheus.SNAPSHOTS_PORT, what="snapshots")
