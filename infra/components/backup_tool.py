"""A pod that runs `mcops backup`: how it finds the bucket and the database's repository, and what else it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from infra.components import database
from infra.kube import pgbackrest
from infra.kube.bucket import Bucket, Role
from infra.kube.component import Component
from infra.kube.identity import Spaces, Workload
from infra.kube.pods import Container, FromConfigMap, FromSecret, Mount, Pod, Rollout, Scratch
from infra.settings import Resources

PREFIX = "MCOPS_BACKUP_"
CONFIG, SECRETS, TLS = "/etc/modelcard/backup", "/run/secrets/modelcard", "/run/secrets/tls"
SCRATCH, SCRATCH_SIZE = "/tmp", "1024Mi"


@dataclass(frozen=True, kw_only=True)
class BackupToolArgs:
    """Where the backups are, and who can read them."""

    spaces: Spaces
    image: str
    resources: Resources
    bucket: Bucket
    recipient: pulumi.Input[str]
    identity: pulumi.Output[str]
    passphrase: pulumi.Output[str]
    authority: pulumi.Output[str]
    rollout: Rollout


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a pod runs: the words after `mcops backup`, in which role.

    `secrets` are given as files, `settings` as variables; `near` is whose node it must share.
    """

    words: Sequence[str]
    role: Role
    settings: Mapping[str, pulumi.Input[str]]
    secrets: Mapping[str, pulumi.Input[str]]
    mounts: Sequence[Mount] = ()
    near: Workload | None = None
    calls_api: bool = False


class BackupTool(Component):
    """A component whose pods run `mcops backup`, each with rights of its own in the bucket."""

    def __init__(self, name: str, args: BackupToolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, args.spaces, opts)
        self.tool = args
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
        self._mounts: list[Mount] = [
            FromConfigMap(path=CONFIG, config_map=config.metadata.name, volume="config"),
            FromConfigMap(path="/etc/passwd", config_map=config.metadata.name, volume="config", key="passwd"),
            FromSecret(path=pgbackrest.SECRETS, secret=archive.metadata.name, volume="archive"),
            *args.bucket.tokens,
            Scratch(path=SCRATCH, volume="tmp", size=SCRATCH_SIZE),
        ]

    def running(self, workload: Workload, command: Command, *, files: str) -> Pod:
        """The pod, which may reach the bucket; the files that it alone is given are in a Secret `NAME-FILES`."""
        args = self.tool
        own = self.secret(files, secret_files(args.bucket, {"identity": args.identity, **command.secrets}))
        settings = {f"{PREFIX}{name}": value for name, value in {**self._common(), **command.settings}.items()}
        self.policy(f"{workload.name}-to-storage", args.bucket.egress(workload))
        return Pod(
            main=Container(
                name="mcops",
                image=args.image,
                command=["mcops"],
                args=["backup", *command.words],
                resources=args.resources,
                environment={"MCOPS_SECRETS_DIR": SECRETS, **settings, **args.bucket.environment(command.role)},
                mounts=[
                    *self._mounts,
                    FromSecret(path=SECRETS, secret=own.metadata.name, volume="secrets"),
                    *command.mounts,
                ],
            ),
            once=True,
            near=command.near,
            calls_api=command.calls_api,
            role=args.bucket.roles.get(command.role),
        )

    def _common(self) -> dict[str, pulumi.Input[str]]:
        """What every one of them is told."""
        return {
            **storage_settings(self.tool.bucket, CONFIG),
            "RECIPIENT": self.tool.recipient,
            "PGBACKREST_CONFIG": f"{pgbackrest.SECRETS}/{pgbackrest.FILE}",
            "STANZA": pgbackrest.STANZA,
            "AUTHORITY_FILE": f"{CONFIG}/ca.crt",
            "SCRATCH_DIR": SCRATCH,
        }


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
