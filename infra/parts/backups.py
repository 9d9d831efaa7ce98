"""The backups: where they are, who of the cluster may do what there, and what makes and watches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi

from infra import cloud
from infra.components import backup, backup_exporter, database, prometheus, recovery
from infra.components.backup import Backup, BackupArgs
from infra.components.backup_exporter import BackupExporter, BackupExporterArgs
from infra.components.backup_storage import BackupStorage, BackupStorageArgs
from infra.components.backup_tool import BackupToolArgs
from infra.components.cache import Cache
from infra.components.recovery import Recovery, RecoveryArgs
from infra.kube.bucket import ROLES, Bucket, Keys, Role
from infra.kube.bucket_rights import role_arn
from infra.kube.component import Component
from infra.kube.identity import Workload, namespace_names
from infra.parts.ground import Ground, secret
from infra.settings import Settings


def bucket_of(settings: Settings) -> Bucket:
    """How pods reach the bucket."""
    section = settings.backup
    provider, access, key = section.identity_provider, section.access_key, section.secret_key
    ours = section.storage == "aws" and provider is not None
    return Bucket(
        name=section.bucket,
        region=section.region,
        folder=settings.namespace,
        endpoint=section.endpoint,
        authority=section.endpoint_authority,
        keys=Keys(access=secret(access), secret=secret(key)) if access and key else None,
        roles={role: role_arn(provider, section.bucket, role) for role in ROLES} if ours and provider else {},
    )


def declare_storage(settings: Settings) -> BackupStorage:
    """The bucket, where the stack makes it itself."""
    section = settings.backup
    provider = section.identity_provider
    if provider is None:
        raise ValueError("`settings_reading.parse` lets no such settings through")
    # Whatever credentials happen to be around: they open no other account's cloud.
    account = cloud.Provider("aws", region=section.region, allowed_account_ids=[provider.account])
    return BackupStorage(
        "backup-storage",
        BackupStorageArgs(
            bucket=section.bucket,
            folder=settings.namespace,
            region=section.region,
            replica_region=section.replica_region,
            identity_provider=provider,
            accounts=_role_accounts(settings),
            object_lock=section.object_lock,
            protect=settings.protect_data,
        ),
        pulumi.ResourceOptions(provider=account),
    )


def _role_accounts(settings: Settings) -> Mapping[Role, list[str]]:
    """Who of the cluster may take which role in the bucket."""
    names = namespace_names(settings)

    def accounts(*workloads: Workload) -> list[str]:
        return [f"{names[each.space]}:{each.name}" for each in workloads]

    jobs: dict[Role, list[str]] = {
        role: accounts(*(each for each, (own, _) in backup.JOBS.items() if own == role)) for role in ROLES
    }
    # The one for recovery is let in before it is needed: a disaster is no time to change who may read what.
    jobs[recovery.ROLE] = [*jobs[recovery.ROLE], *accounts(recovery.WORKLOAD)]
    return jobs | {"archiver": accounts(database.WORKLOAD), "observer": accounts(backup_exporter.WORKLOAD)}


def declare_backup(
    ground: Ground,
    bucket: Bucket,
    *,
    database_url: pulumi.Output[str],
    uploads: pulumi.Output[str],
    configured: Sequence[Component],
) -> Backup:
    """The jobs. They save the database, the uploads, and what the components `configured` are configured with."""
    settings, secrets = ground.settings, ground.settings.secrets
    monitor = f"https://{prometheus.FIRST}.{ground.names['observability']}"
    return Backup(
        "backup",
        BackupArgs(
            tool=_tool(ground, bucket),
            scratch=settings.backup.scratch,
            certificate=ground.issued(secrets.backup_client_certificate),
            database_url=database_url,
            uploads=uploads,
            uploads_on_one_node=settings.app.uploads.access_mode == "ReadWriteOnce",
            config_maps=[each for component in configured for each in component.config_maps],
            secrets=[each for component in configured for each in component.secrets],
            prometheus_url=f"{monitor}:{prometheus.PORT}",
            snapshots_url=f"{monitor}:{prometheus.SNAPSHOTS_PORT}",
            login=ground.login,
            schedules=settings.backup.schedules,
            keep=settings.backup.keep,
            objectives=settings.backup.objectives,
        ),
        ground.options,
    )


def declare_recovery(ground: Ground, bucket: Bucket, cache: Cache) -> Recovery:
    """What brings a moment back, once there is a cache to be emptied."""
    moment = ground.settings.recovery
    if moment is None:
        raise ValueError("`settings.recovery` says which moment")
    tool = _tool(replace(ground, after=[cache]), bucket)
    return Recovery("recovery", RecoveryArgs(tool=tool, moment=moment, cache_url=cache.url), ground.options)


def _tool(ground: Ground, bucket: Bucket) -> BackupToolArgs:
    settings, secrets = ground.settings, ground.settings.secrets
    return BackupToolArgs(
        spaces=ground.spaces,
        image=settings.ops.image,
        resources=settings.backup.resources,
        bucket=bucket,
        # Public, whether a stack file says it or `mcenv` made it.
        recipient=settings.backup.recipient or secrets.backup_recipient.get_secret_value(),
        identity=secret(secrets.backup_identity),
        passphrase=secret(secrets.backup_passphrase),
        authority=ground.authority,
        rollout=ground.rollout,
    )


def declare_backup_exporter(ground: Ground, bucket: Bucket) -> BackupExporter:
    """What tells how old the backups are."""
    settings = ground.settings
    certificate = settings.secrets.backup_exporter_certificate
    return BackupExporter(
        "backup-exporter",
        BackupExporterArgs(
            spaces=ground.spaces,
            serving=ground.serving(settings.ops.image, certificate, settings.ops.resources),
            bucket=bucket,
            objectives=settings.backup.objectives,
        ),
        ground.options,
    )
