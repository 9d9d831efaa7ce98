"""The bucket that backups go to, on AWS: locked, encrypted, logged, and open to the platform's own jobs alone.

Who breaks into a pod may add to the bucket, but can neither read what its role does not need nor take away for good
what is there: versions stay for as long as the lock says, and only the pruner may delete any after that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from infra.cloud import iam, kms, s3
from infra.kube.bucket import ROLES, Role
from infra.kube.bucket_rights import (
    ALLOW,
    document,
    key_policy,
    logs_policy,
    replication_policy,
    role_arn,
    role_name,
    role_policy,
    trust_policy,
    vault_policy,
)
from infra.kube.component import PREFIX
from infra.quantities import IdentityProvider
from infra.settings import ObjectLock

TAGS = {"modelcard/part-of": "modelcard", "modelcard/managed-by": "pulumi"}
# Days. S3 moves nothing to infrequent access before the 30th; from the 90th on even a yearly restore is cheaper so.
INFREQUENT, ARCHIVE = 30, 90
ABANDONED = 3  # days after which the parts of an upload that nobody finished are removed
LOGS_KEPT = 365  # days: an attack is often noticed months later
DELETION_WINDOW = 30  # days in which a key's deletion can be taken back; AWS' longest


@dataclass(frozen=True, kw_only=True)
class BackupStorageArgs:
    """`folder` is the stack's own in the bucket; `accounts` are who may take each role, as `NAMESPACE:ACCOUNT`."""

    bucket: str
    folder: str
    region: str
    replica_region: str | None
    identity_provider: IdentityProvider
    accounts: Mapping[Role, Sequence[str]]
    object_lock: ObjectLock
    protect: bool


class BackupStorage(pulumi.ComponentResource):
    """The bucket with its key, its log, its roles and, if asked for, its copy in another region."""

    def __init__(self, name: str, args: BackupStorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"{PREFIX}:BackupStorage", name, None, opts)
        self.name = name
        self.args = args
        self.keeping = pulumi.ResourceOptions(parent=self, protect=args.protect, retain_on_delete=args.protect)
        self.children = pulumi.ResourceOptions(parent=self)
        provider = args.identity_provider
        copying = f"{args.bucket}-replication"
        users = [role_arn(provider, args.bucket, role) for role in ROLES]
        if args.replica_region:
            users.append(f"arn:{provider.cloud}:iam::{provider.account}:role/{copying}")
        logs, open_for_logs = self._logs()
        key = self._key("key", args.bucket, args.region, users)
        bucket, versioning = self._vault("bucket", args.bucket, args.region, key)
        s3.BucketLogging(
            f"{name}-bucket-logging",
            bucket=bucket.bucket,
            region=args.region,
            target_bucket=logs.bucket,
            target_prefix="s3/",
            opts=pulumi.ResourceOptions.merge(self.children, pulumi.ResourceOptions(depends_on=[open_for_logs])),
        )
        for role in ROLES:
            self._role(role, key)
        if args.replica_region:
            self._replicate(args.replica_region, bucket, versioning, key, copying)
        self.register_outputs({})

    # --- Buckets -------------------------------------------------------------------------------------------------

    def _bucket(self, what: str, physical: str, region: str, *, locked: bool) -> tuple[s3.Bucket, s3.BucketVersioning]:
        """A bucket that keeps every version and shows nothing to anybody outside."""
        name = f"{self.name}-{what}"
        bucket = s3.Bucket(
            name,
            bucket=physical,
            region=region,
            object_lock_enabled=locked,
            force_destroy=not self.args.protect,
            tags=TAGS | {"Name": physical},
            opts=self.keeping,
        )
        s3.BucketPublicAccessBlock(
            f"{name}-public-access",
            bucket=bucket.bucket,
            region=region,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self.children,
        )
        s3.BucketOwnershipControls(
            f"{name}-ownership",
            bucket=bucket.bucket,
            region=region,
            # Access is what policies say; no object has a list of its own.
            rule=s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=self.children,
        )
        versioning = s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket.bucket,
            region=region,
            versioning_configuration=s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=self.keeping,
        )
        return bucket, versioning

    def _vault(self, what: str, physical: str, region: str, key: kms.Key) -> tuple[s3.Bucket, s3.BucketVersioning]:
        """A bucket for backups: encrypted under the key, locked, tidied by itself."""
        name = f"{self.name}-{what}"
        bucket, versioning = self._bucket(what, physical, region, locked=True)
        self._encrypted(what, bucket, region, key)
        lock = self.args.object_lock
        s3.BucketObjectLockConfiguration(
            f"{name}-lock",
            bucket=bucket.bucket,
            region=region,
            rule=s3.BucketObjectLockConfigurationRuleArgs(
                default_retention=s3.BucketObjectLockConfigurationRuleDefaultRetentionArgs(
                    mode=lock.mode, days=lock.days
                )
            ),
            opts=pulumi.ResourceOptions.merge(self.keeping, pulumi.ResourceOptions(depends_on=[versioning])),
        )
        s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.bucket,
            region=region,
            rules=lifecycle(lock.days),
            opts=pulumi.ResourceOptions.merge(self.children, pulumi.ResourceOptions(depends_on=[versioning])),
        )
        policy = key.arn.apply(lambda arn: json.dumps(vault_policy(self._arn(physical), arn)))
        s3.BucketPolicy(f"{name}-policy", bucket=bucket.bucket, region=region, policy=policy, opts=self.children)
        return bucket, versioning

    def _encrypted(self, what: str, bucket: s3.Bucket, region: str, key: kms.Key | None) -> None:
        default = s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="aws:kms" if key else "AES256", kms_master_key_id=key.arn if key else None
        )
        s3.BucketServerSideEncryptionConfiguration(
            f"{self.name}-{what}-encryption",
            bucket=bucket.bucket,
            region=region,
            rules=[
                s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=default,
                    bucket_key_enabled=True if key else None,  # one call of KMS for many objects
                )
            ],
            opts=self.children,
        )

    def _logs(self) -> tuple[s3.Bucket, s3.BucketPolicy]:
        """Who asked the bucket for what. S3 delivers it, and to no bucket under a key of ours."""
        args, physical = self.args, f"{self.args.bucket}-logs"
        bucket, versioning = self._bucket("logs", physical, args.region, locked=False)
        self._encrypted("logs", bucket, args.region, None)
        s3.BucketLifecycleConfiguration(
            f"{self.name}-logs-lifecycle",
            bucket=bucket.bucket,
            region=args.region,
            rules=[
                s3.BucketLifecycleConfigurationRuleArgs(
                    id="expire",
                    status="Enabled",
                    filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    expiration=s3.BucketLifecycleConfigurationRuleExpirationArgs(days=LOGS_KEPT),
                    noncurrent_version_expiration=s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                        noncurrent_days=1
                    ),
                    abort_incomplete_multipart_upload=s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                        days_after_initiation=ABANDONED
                    ),
                )
            ],
            opts=pulumi.ResourceOptions.merge(self.children, pulumi.ResourceOptions(depends_on=[versioning])),
        )
        policy = logs_policy(self._arn(physical), self._arn(args.bucket), args.identity_provider.account)
        delivery = s3.BucketPolicy(
            f"{self.name}-logs-policy",
            bucket=bucket.bucket,
            region=args.region,
            policy=json.dumps(policy),
            opts=self.children,
        )
        return bucket, delivery

    def _replicate(
        self, region: str, source: s3.Bucket, versioning: s3.BucketVersioning, key: kms.Key, copying: str
    ) -> None:
        args, physical = self.args, f"{self.args.bucket}-replica"
        provider = args.identity_provider
        itself = f"arn:{provider.cloud}:iam::{provider.account}:role/{copying}"
        copy_key = self._key("replica-key", physical, region, [itself])
        copy, copy_versioning = self._vault("replica", physical, region, copy_key)
        trust = {"Service": "s3.amazonaws.com"}
        role = iam.Role(
            f"{self.name}-replication",
            name=copying,
            description="S3 copies backups to another region.",
            assume_role_policy=json.dumps(document([{**ALLOW, "Principal": trust, "Action": "sts:AssumeRole"}])),
            tags=TAGS,
            opts=self.children,
        )
        rights = pulumi.Output.all(key.arn, copy_key.arn).apply(
            lambda arns: json.dumps(
                replication_policy(
                    self._arn(args.bucket), self._arn(physical), (args.region, arns[0]), (region, arns[1])
                )
            )
        )
        granted = iam.RolePolicy(
            f"{self.name}-replication-rights", name="replication", role=role.name, policy=rights, opts=self.children
        )
        s3.BucketReplicationConfig(
            f"{self.name}-bucket-replication",
            bucket=source.bucket,
            region=args.region,
            role=role.arn,
            rules=[
                s3.BucketReplicationConfigRuleArgs(
                    id="everything",
                    status="Enabled",
                    priority=0,
                    filter=s3.BucketReplicationConfigRuleFilterArgs(prefix=""),
                    # What the pruner hides here stays there until its versions run out: a copy survives its mistakes.
                    delete_marker_replication=s3.BucketReplicationConfigRuleDeleteMarkerReplicationArgs(
                        status="Disabled"
                    ),
                    source_selection_criteria=s3.BucketReplicationConfigRuleSourceSelectionCriteriaArgs(
                        sse_kms_encrypted_objects=s3.BucketReplicationConfigRuleSourceSelectionCriteriaSseKmsEncryptedObjectsArgs(
                            status="Enabled"
                        )
                    ),
                    destination=s3.BucketReplicationConfigRuleDestinationArgs(
                        bucket=copy.arn,
                        storage_class="STANDARD_IA",
                        encryption_configuration=s3.BucketReplicationConfigRuleDestinationEncryptionConfigurationArgs(
                            replica_kms_key_id=copy_key.arn
                        ),
                    ),
                )
            ],
            opts=pulumi.ResourceOptions.merge(
                self.children, pulumi.ResourceOptions(depends_on=[versioning, copy_versioning, granted])
            ),
        )

    # --- Who may do what -----------------------------------------------------------------------------------------

    def _key(self, what: str, physical: str, region: str, users: Sequence[str]) -> kms.Key:
        provider = self.args.identity_provider
        root = f"arn:{provider.cloud}:iam::{provider.account}:root"
        key = kms.Key(
            f"{self.name}-{what}",
            description=f"Encrypts {physical}.",
            region=region,
            enable_key_rotation=True,
            deletion_window_in_days=DELETION_WINDOW if self.args.protect else 7,
            policy=json.dumps(key_policy(root, region, users)),
            tags=TAGS | {"Name": physical},
            opts=self.keeping,
        )
        kms.Alias(
            f"{self.name}-{what}-alias",
            name=f"alias/{physical}",
            region=region,
            target_key_id=key.key_id,
            opts=self.children,
        )
        return key

    def _role(self, role: Role, key: kms.Key) -> None:
        args = self.args
        name = f"{self.name}-{role}"
        made = iam.Role(
            name,
            name=role_name(args.bucket, role),
            description=f"Backups: {role}.",
            assume_role_policy=json.dumps(trust_policy(args.identity_provider, args.accounts[role])),
            max_session_duration=12 * 3600,  # of a backup of terabytes; each token is good for an hour
            tags=TAGS,
            opts=self.children,
        )
        bucket, folder, region = self._arn(args.bucket), args.folder, args.region
        rights = key.arn.apply(lambda arn: json.dumps(role_policy(role, bucket, folder, region, arn)))
        iam.RolePolicy(f"{name}-rights", name="backups", role=made.name, policy=rights, opts=self.children)

    def _arn(self, bucket: str) -> str:
        return f"arn:{self.args.identity_provider.cloud}:s3:::{bucket}"


def lifecycle(locked: int) -> list[s3.BucketLifecycleConfigurationRuleArgs]:
    """Cheaper with age; what was replaced or pruned ends with its lock, which is when it can."""
    moves = (("STANDARD_IA", INFREQUENT), ("GLACIER_IR", ARCHIVE))
    return [
        s3.BucketLifecycleConfigurationRuleArgs(
            id="age",
            status="Enabled",
            filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            transitions=[
                s3.BucketLifecycleConfigurationRuleTransitionArgs(storage_class=storage, days=days)
                for storage, days in moves
            ],
            noncurrent_version_expiration=s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                noncurrent_days=locked
            ),
            abort_incomplete_multipart_upload=s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                days_after_initiation=ABANDONED
            ),
        ),
        s3.BucketLifecycleConfigurationRuleArgs(
            id="markers",
            status="Enabled",
            filter=s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            expiration=s3.BucketLifecycleConfigurationRuleExpirationArgs(expired_object_delete_marker=True),
        ),
    ]
