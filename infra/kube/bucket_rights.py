"""Who may do what with the backups' buckets and keys, as AWS' policy documents.

Source of their form: IAM user guide, "JSON policy element reference".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.kube.bucket import TOKEN, Role
from infra.kube.pgbackrest import STANZA
from infra.quantities import IdentityProvider

USE = ["kms:Decrypt", "kms:GenerateDataKey"]
# What the account's administrators may do with the key. To read what it encrypts is not among it.
ADMINISTER = [
    "kms:CancelKeyDeletion", "kms:DescribeKey", "kms:DisableKey", "kms:EnableKey", "kms:EnableKeyRotation",
    "kms:GetKeyPolicy", "kms:GetKeyRotationStatus", "kms:ListAliases", "kms:ListGrants", "kms:ListKeyPolicies",
    "kms:ListResourceTags", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:TagResource", "kms:UntagResource",
    "kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias", "kms:UpdateKeyDescription",
]  # fmt: skip
Statement = dict[str, Any]


def role_name(bucket: str, role: str) -> str:
    """Known before it exists: accounts in the cluster name it."""
    return f"{bucket}-{role}"


def role_arn(provider: IdentityProvider, bucket: str, role: Role) -> str:
    """By what pods ask for it."""
    return f"arn:{provider.cloud}:iam::{provider.account}:role/{role_name(bucket, role)}"


ALLOW: Statement = {"Effect": "Allow"}
DENY: Statement = {"Effect": "Deny", "Principal": {"AWS": "*"}}


def document(statements: Sequence[Statement]) -> dict[str, Any]:
    """A policy. Source: IAM user guide, "JSON policy element reference"."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trust_policy(provider: IdentityProvider, accounts: Sequence[str]) -> dict[str, Any]:
    """These accounts of the cluster, and nobody else, may take a role."""
    condition = {
        f"{provider.issuer}:aud": TOKEN.audience,
        f"{provider.issuer}:sub": [f"system:serviceaccount:{account}" for account in accounts],
    }
    return document(
        [
            {
                **ALLOW,
                "Principal": {"Federated": str(provider)},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": condition},
            }
        ]
    )


# Per role: what it may do to which keys of the stack's folder. pgBackRest's index files are rewritten by all who write.
INDEX, LOG_INDEX = f"pgbackrest/backup/{STANZA}/backup.info*", f"pgbackrest/archive/{STANZA}/archive.info*"
READ, WRITE = ["s3:GetObject"], ["s3:PutObject", "s3:AbortMultipartUpload"]
RIGHTS: Mapping[Role, Mapping[str, tuple[list[str], list[str]]]] = {
    "archiver": {
        "Archive": ([*READ, *WRITE], ["pgbackrest/archive/*", INDEX]),
    },
    "writer": {
        "Write": ([*READ, *WRITE], ["*"]),
        # pgBackRest removes what a killed backup left. That hides a version, as writing over it would, and ends none.
        "Resume": (["s3:DeleteObject"], [f"pgbackrest/backup/{STANZA}/*"]),
    },
    "pruner": {
        "Prune": ([*READ, "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion"], ["*"]),
        "Record": (
            WRITE,
            ["lease.json", "condemned.json", "sets/*/manifest.json", INDEX, LOG_INDEX],
        ),
    },
    "restorer": {
        "Restore": (READ, ["*"]),
        "Record": (WRITE, ["lease.json", "sets/*/verification.json", "drills/*"]),
    },
    "observer": {
        "Observe": (READ, ["sets/*.json", "drills/*", "uploads.json"]),
    },
}  # fmt: skip


def role_policy(role: Role, bucket: str, folder: str, region: str, key: str) -> dict[str, Any]:
    """What a role may do in the bucket, and with the key by way of the bucket."""
    listing = ["s3:ListBucket", "s3:GetBucketVersioning", *(["s3:ListBucketVersions"] if role == "pruner" else [])]
    return document(
        [
            {**ALLOW, "Sid": "List", "Action": listing, "Resource": bucket},
            *(
                {**ALLOW, "Sid": sid, "Action": actions, "Resource": [f"{bucket}/{folder}/{key}" for key in keys]}
                for sid, (actions, keys) in RIGHTS[role].items()
            ),
            {
                **ALLOW,
                "Sid": "Encryption",
                "Action": USE[:1] if role == "observer" else USE,
                "Resource": key,
                "Condition": {"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}},
            },
        ]
    )


def key_policy(root: str, region: str, users: Sequence[str]) -> dict[str, Any]:
    """Administrators may look after the key; only these roles may use it, and only by way of S3."""
    principal = {"Principal": {"AWS": root}, "Resource": "*"}  # a key's policy is about that key
    return document(
        [
            {**ALLOW, "Sid": "Administer", **principal, "Action": ADMINISTER},
            {
                **ALLOW,
                "Sid": "Use",
                **principal,
                "Action": USE,
                "Condition": {
                    "ArnEquals": {"aws:PrincipalArn": list(users)},
                    "StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"},
                },
            },
        ]
    )


def _encrypted_in_transit(bucket: str) -> list[Statement]:
    everything = {"Resource": [bucket, f"{bucket}/*"], "Action": "s3:*"}
    return [
        {**DENY, "Sid": "OnlyTls", **everything, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {**DENY, "Sid": "OnlyModernTls", **everything, "Condition": {"NumericLessThan": {"s3:TlsVersion": "1.2"}}},
    ]


def vault_policy(bucket: str, key: str) -> dict[str, Any]:
    """TLS only, encrypted under the key only, and nobody shortens the lock. The bucket encrypts what does not ask."""
    put = {"Action": "s3:PutObject", "Resource": f"{bucket}/*"}
    header = "s3:x-amz-server-side-encryption"
    return document(
        [
            *_encrypted_in_transit(bucket),
            {**DENY, "Sid": "OnlyKms", **put, "Condition": {"StringNotEqualsIfExists": {header: "aws:kms"}}},
            {
                **DENY,
                "Sid": "OnlyThisKey",
                **put,
                "Condition": {"StringNotEqualsIfExists": {f"{header}-aws-kms-key-id": key}},
            },
            {**DENY, "Sid": "Locked", "Action": "s3:BypassGovernanceRetention", "Resource": f"{bucket}/*"},
        ]
    )


def logs_policy(bucket: str, source: str, account: str) -> dict[str, Any]:
    """S3 may deliver the log of that bucket. Source: S3 user guide, "Enabling Amazon S3 server access logging"."""
    return document(
        [
            *_encrypted_in_transit(bucket),
            {
                **ALLOW,
                "Sid": "Deliver",
                "Principal": {"Service": "logging.s3.amazonaws.com"},
                "Action": "s3:PutObject",
                "Resource": f"{bucket}/s3/*",
                "Condition": {"ArnEquals": {"aws:SourceArn": source}, "StringEquals": {"aws:SourceAccount": account}},
            },
        ]
    )


def replication_policy(source: str, target: str, ours: tuple[str, str], theirs: tuple[str, str]) -> dict[str, Any]:
    """What S3 needs to copy; regions come with their keys. Source: S3 user guide, "Setting up permissions for live
    replication".
    """

    def use(sid: str, action: str, place: tuple[str, str]) -> Statement:
        region, key = place
        via = {"StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"}}
        return {**ALLOW, "Sid": sid, "Action": action, "Resource": key, "Condition": via}

    read = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"]
    locks = ["s3:GetObjectRetention", "s3:GetObjectLegalHold"]
    return document(
        [
            {**ALLOW, "Sid": "Look", "Action": ["s3:GetReplicationConfiguration", "s3:ListBucket"], "Resource": source},
            {**ALLOW, "Sid": "Read", "Action": [*read, *locks], "Resource": f"{source}/*"},
            {**ALLOW, "Sid": "Copy", "Action": ["s3:ReplicateObject", "s3:ReplicateTags"], "Resource": f"{target}/*"},
            use("Decrypt", "kms:Decrypt", ours),
            use("Encrypt", "kms:GenerateDataKey", theirs),
        ]
    )
