"""The jobs that back the platform up, read the backups back, restore them for a test, and remove old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes.rbac import v1 as rbac

from infra.components import app, database, prometheus
from infra.kube import pgbackrest
from infra.kube.bucket import Bucket, Role
from infra.kube.component import Component
from infra.kube.identity import Spaces, Workload
from infra.kube.pods import Container, FromClaim, FromConfigMap, FromSecret, Mount, Pod, Rollout, Scratch, Workspace
from infra.kube.tls import MonitoringLogin, ServerCertificate
from infra.settings import Keep, Objectives, Resources, Schedules, Storage

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
PREFIX = "MCOPS_BACKUP_"
CONFIG, SECRETS, TLS = "/etc/modelcard/backup", "/run/secrets/modelcard", "/run/secrets/tls"
SCRATCH, LARGE = "/tmp", "/var/lib/modelcard/scratch"
SCRATCH_SIZE = "1024Mi"


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """What the jobs save (`config_maps` and `secrets` by name), where to, when, and how old a backup may become."""

    spaces: Spaces
    image: str
    resources: Resources
    scratch: Storage
    bucket: Bucket
    recipient: pulumi.Input[str]
    identity: pulumi.Output[str]
    passphrase: pulumi.Output[str]
    certificate: ServerCertificate  # of the client that may read the database's files
    authority: pulumi.Output[str]
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
    rollout: Rollout


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one of them needs beside what all need, and what it `backs_up`.

    `secrets` are given as files; `near` is whose node it must share.
    """

    workload: Workload
    schedule: str
    settings: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    secrets: Mapping[str, pulumi.Input[str]]
    near: Workload | None = None
    calls_api: bool = False
    backs_up: Sequence[str] = ()

    @property
    def command(self) -> str:
        """Of `mcops backup`."""
        return self.workload.name.removeprefix("backup-")


class Backup(Component):
    """A CronJob for each of run, uploads, verify, drill and prune, each with rights of its own."""

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        self.args = args
        self.files = {
            "passwd": database.PASSWD,
            **({pgbackrest.AUTHORITY: args.bucket.authority} if args.bucket.authority else {}),
        }
        config = self.config_map("config", {**self.files, "ca.crt": args.authority})
        repository = pgbackrest.job_conf(
            args.bucket,
            database.SERVER,
            pgbackrest.Client(host=database.WORKLOAD.name, folder=CONFIG, tls=TLS),
            args.passphrase,
        )
        archive = self.secret("archive", {pgbackrest.FILE: repository})
        tls = self.secret("tls", args.certificate.files(), type_="kubernetes.io/tls")
        self.shared: list[Mount] = [
            FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"),
            FromConfigMap(path="/etc/passwd", config_map=config.metadata.name, volume="config", key="passwd"),
            FromSecret(path=pgbackrest.SECRETS, secret=archive.metadata.name, volume="archive"),
            *args.bucket.tokens,
            Scratch(path=SCRATCH, volume="tmp", size=SCRATCH_SIZE),
        ]
        for job in self._jobs(FromSecret(path=TLS, secret=tls.metadata.name, volume="tls")):
            self._declare(job)
        self._may_read()
        self.finish()

    def _jobs(self, tls: Mount) -> list[Job]:
        args = self.args
        identity = {"identity": args.identity}
        live = identity | {"database_url": args.database_url}
        uploads = FromClaim(path=app.UPLOADS, volume="uploads", claim=args.uploads, read_only=True)
        reading = {"UPLOADS_DIR": app.UPLOADS}
        near = app.WORKLOAD if args.uploads_on_one_node else None
        return [
            Job(
                workload=RUN,
                schedule=args.schedules.run,
                settings=reading | self._saved(),
                mounts=[tls, uploads],
                secrets=live | {"prometheus_password": args.login.password},
                near=near,
                calls_api=True,
                backs_up=["database", "uploads"],
            ),
            Job(
                workload=UPLOADS,
                schedule=args.schedules.uploads,
                settings=reading,
                mounts=[uploads],
                secrets=identity,
                near=near,
                backs_up=["uploads"],
            ),
            Job(workload=VERIFY, schedule=args.schedules.verify, secrets=identity),
            Job(
                workload=DRILL,
                schedule=args.schedules.drill,
                settings={"SCRATCH_DIR": LARGE},
                mounts=[Workspace(path=LARGE, volume="scratch", storage=args.scratch)],
                secrets=live,
            ),
            Job(workload=PRUNE, schedule=args.schedules.prune, secrets=identity),
        ]

    def _declare(self, job: Job) -> None:
        args, (role, deadline) = self.args, JOBS[job.workload]
        secret = self.secret(job.command, secret_files(args.bucket, job.secrets))
        settings = {f"{PREFIX}{name}": value for name, value in {**self._common(), **job.settings}.items()}
        self.cron_job(
            job.workload,
            Pod(
                main=Container(
                    name="mcops",
                    image=args.image,
                    command=["mcops"],
                    args=["backup", job.command],
                    resources=args.resources,
                    environment={"MCOPS_SECRETS_DIR": SECRETS, **settings, **args.bucket.environment(role)},
                    mounts=[
                        *self.shared,
                        FromSecret(path=SECRETS, secret=secret.metadata.name, volume="secrets"),
                        *job.mounts,
                    ],
                ),
                once=True,
                near=job.near,
                calls_api=job.calls_api,
                role=args.bucket.roles.get(role),
            ),
            schedule=job.schedule,
            deadline=deadline,
            config=self.files,
            rollout=args.rollout,
            backs_up=job.backs_up,
        )
        self.policy(f"{job.workload.name}-to-storage", args.bucket.egress(job.workload))

    def _common(self) -> dict[str, pulumi.Input[str]]:
        """What every job is told."""
        args, bucket = self.args, self.args.bucket
        return {
            **storage_settings(bucket, CONFIG),
            "RECIPIENT": args.recipient,
            "PGBACKREST_CONFIG": f"{pgbackrest.SECRETS}/{pgbackrest.FILE}",
            "STANZA": pgbackrest.STANZA,
            "AUTHORITY_FILE": f"{CONFIG}/ca.crt",
            "SCRATCH_DIR": SCRATCH,
            "KEEP_DAILY": str(args.keep.daily),
            "KEEP_WEEKLY": str(args.keep.weekly),
            "KEEP_MONTHLY": str(args.keep.monthly),
            "RPO": str(args.objectives.rpo),
            "RTO": str(args.objectives.rto),
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


def storage_settings(bucket: Bucket, folder: str) -> dict[str, pulumi.Input[str]]:
    """How `mcops backup` finds the bucket."""
    return {
        "BUCKET": bucket.name,
        "REGION": bucket.region,
        "PREFIX": bucket.folder,
        **({"ENDPOINT": str(bucket.endpoint)} if bucket.endpoint else {}),
        **({"ENDPOINT_AUTHORITY_FILE": f"{folder}/{pgbackrest.AUTHORITY}"} if bucket.authority else {}),
    }


def secret_files(bucket: Bucket, others: Mapping[str, pulumi.Input[str]]) -> dict[str, pulumi.Input[str]]:
    """What `mcops backup` is told as files: these, and the bucket's keys if it has some."""
    keys = {"access_key": bucket.keys.access, "secret_key": bucket.keys.secret} if bucket.keys else {}
    return {f"{PREFIX}{name}".lower(): value for name, value in {**keys, **others}.items()}
