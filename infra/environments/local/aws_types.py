"""The types of AWS that the platform declares: how boto3 makes, changes, looks for and removes each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from botocore.exceptions import ClientError

# Names that boto3 spells otherwise than with a capital first letter.
SPELT = {
    "id": "ID",
    "kmsMasterKeyId": "KMSMasterKeyID",
    "replicaKmsKeyId": "ReplicaKmsKeyID",
    "sseAlgorithm": "SSEAlgorithm",
}
ATTEMPTS = 20  # to empty and delete a bucket that others still write to
Properties = Mapping[str, Any]


def spelt(value: Any) -> Any:
    """An input as boto3 wants it: `storageClass` is its `StorageClass`."""
    match value:
        case dict():
            return {SPELT.get(key, key[:1].upper() + key[1:]): spelt(item) for key, item in value.items()}
        case list():
            return [spelt(item) for item in value]
        case _:
            return value


def tags(properties: Properties) -> list[dict[str, str]]:
    """Tags as S3 and IAM write them."""
    return [{"Key": key, "Value": value} for key, value in properties.get("tags", {}).items()]


class Resource:
    """One type. `identity` are the inputs that cannot change; `create` returns its id and outputs."""

    service: ClassVar[str] = "s3"
    identity: ClassVar[frozenset[str]] = frozenset({"bucket", "region"})

    def __init__(self, client: Any) -> None:
        self.client = client

    def create(self, properties: Properties) -> dict[str, Any]:
        """Makes it; a part of a bucket is known by the bucket's name."""
        self.update(properties)
        return {"id": properties["bucket"]}

    def update(self, properties: Properties) -> None:
        """Has it be so."""
        raise NotImplementedError

    def exists(self, properties: Properties) -> bool:
        """Whether it is there; a part of a bucket is, as long as the bucket is."""
        self.client.head_bucket(Bucket=properties["bucket"])
        return True

    def delete(self, properties: Properties) -> None:
        """Removes it; most parts of a bucket go with the bucket."""


class Bucket(Resource):
    """`force_destroy` empties it first."""

    identity = frozenset({"bucket", "region", "objectLockEnabled"})

    def create(self, properties: Properties) -> dict[str, Any]:
        """Where it was asked for."""
        region = properties["region"]
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        name = properties["bucket"]
        self.client.create_bucket(
            Bucket=name, ObjectLockEnabledForBucket=properties.get("objectLockEnabled", False), **place
        )
        self.update(properties)
        return {"id": name, "arn": f"arn:aws:s3:::{name}"}

    def update(self, properties: Properties) -> None:
        """Nothing but tags can change."""
        self.client.put_bucket_tagging(Bucket=properties["bucket"], Tagging={"TagSet": tags(properties)})

    def delete(self, properties: Properties) -> None:
        """With what it holds only if that was declared."""
        name = properties["bucket"]
        for _ in range(ATTEMPTS if properties.get("forceDestroy") else 0):
            self._empty(name)
            try:
                self.client.delete_bucket(Bucket=name)
            except ClientError as error:
                # A bucket of access logs gets another line while its neighbours are emptied.
                if error.response["Error"]["Code"] != "BucketNotEmpty":
                    raise
            else:
                return
        self.client.delete_bucket(Bucket=name)

    def _empty(self, name: str) -> None:
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=name):
            found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            if objects:
                self.client.delete_objects(Bucket=name, Delete={"Objects": objects}, BypassGovernanceRetention=True)


class PublicAccess(Resource):
    """Who outside may see the bucket."""

    def update(self, properties: Properties) -> None:
        """All four switches."""
        switches = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        configuration = spelt({name: properties.get(name, False) for name in switches})
        self.client.put_public_access_block(Bucket=properties["bucket"], PublicAccessBlockConfiguration=configuration)


class Ownership(Resource):
    """To whom objects belong."""

    def update(self, properties: Properties) -> None:
        """One rule."""
        rules = {"Rules": [spelt(properties["rule"])]}
        self.client.put_bucket_ownership_controls(Bucket=properties["bucket"], OwnershipControls=rules)


class Versioning(Resource):
    """Whether old versions are kept."""

    def update(self, properties: Properties) -> None:
        """On or suspended."""
        configuration = spelt(properties["versioningConfiguration"])
        self.client.put_bucket_versioning(Bucket=properties["bucket"], VersioningConfiguration=configuration)


class Encryption(Resource):
    """How objects are encrypted that do not say."""

    def update(self, properties: Properties) -> None:
        """Its rules."""
        rules = {"Rules": spelt(properties["rules"])}
        self.client.put_bucket_encryption(Bucket=properties["bucket"], ServerSideEncryptionConfiguration=rules)


class Lock(Resource):
    """For how long versions stay."""

    def update(self, properties: Properties) -> None:
        """Its default."""
        configuration = {"ObjectLockEnabled": "Enabled", "Rule": spelt(properties["rule"])}
        self.client.put_object_lock_configuration(Bucket=properties["bucket"], ObjectLockConfiguration=configuration)


class Lifecycle(Resource):
    """What happens with age."""

    def update(self, properties: Properties) -> None:
        """Its rules."""
        rules = {"Rules": spelt(properties["rules"])}
        self.client.put_bucket_lifecycle_configuration(Bucket=properties["bucket"], LifecycleConfiguration=rules)


class Logging(Resource):
    """Where requests are written down."""

    def update(self, properties: Properties) -> None:
        """In that bucket."""
        enabled = {"TargetBucket": properties["targetBucket"], "TargetPrefix": properties["targetPrefix"]}
        self.client.put_bucket_logging(Bucket=properties["bucket"], BucketLoggingStatus={"LoggingEnabled": enabled})


class BucketPolicy(Resource):
    """Who may do what with the bucket."""

    def update(self, properties: Properties) -> None:
        """As JSON."""
        self.client.put_bucket_policy(Bucket=properties["bucket"], Policy=properties["policy"])

    def delete(self, properties: Properties) -> None:
        """A bucket without one is open to its account."""
        self.client.delete_bucket_policy(Bucket=properties["bucket"])


class Replication(Resource):
    """Where copies go."""

    def update(self, properties: Properties) -> None:
        """Its rules."""
        configuration = {"Role": properties["role"], "Rules": spelt(properties["rules"])}
        self.client.put_bucket_replication(Bucket=properties["bucket"], ReplicationConfiguration=configuration)


class Key(Resource):
    """A key of KMS."""

    service = "kms"
    identity = frozenset({"region"})

    def create(self, properties: Properties) -> dict[str, Any]:
        """With its policy, and turning if that was declared."""
        named = [{"TagKey": each["Key"], "TagValue": each["Value"]} for each in tags(properties)]
        made = self.client.create_key(Description=properties["description"], Policy=properties["policy"], Tags=named)[
            "KeyMetadata"
        ]
        state = {"id": made["KeyId"], "keyId": made["KeyId"], "arn": made["Arn"]}
        self.update({**properties, **state})
        return state

    def update(self, properties: Properties) -> None:
        """What of it may change."""
        key = properties["keyId"]
        self.client.put_key_policy(KeyId=key, PolicyName="default", Policy=properties["policy"])
        turn = self.client.enable_key_rotation if properties.get("enableKeyRotation") else None
        (turn or self.client.disable_key_rotation)(KeyId=key)

    def exists(self, properties: Properties) -> bool:
        """Unless it is about to go."""
        state = self.client.describe_key(KeyId=properties["keyId"])["KeyMetadata"]["KeyState"]
        return bool(state != "PendingDeletion")

    def delete(self, properties: Properties) -> None:
        """After the days that were declared."""
        window = properties.get("deletionWindowInDays", 30)
        self.client.schedule_key_deletion(KeyId=properties["keyId"], PendingWindowInDays=window)


class Alias(Resource):
    """A name of a key."""

    service = "kms"
    identity = frozenset({"name", "region"})

    def create(self, properties: Properties) -> dict[str, Any]:
        """By its name."""
        self.client.create_alias(AliasName=properties["name"], TargetKeyId=properties["targetKeyId"])
        return {"id": properties["name"]}

    def update(self, properties: Properties) -> None:
        """For another key."""
        self.client.update_alias(AliasName=properties["name"], TargetKeyId=properties["targetKeyId"])

    def exists(self, properties: Properties) -> bool:
        """Among all."""
        return properties["name"] in {each["AliasName"] for each in self.client.list_aliases()["Aliases"]}

    def delete(self, properties: Properties) -> None:
        """The key stays."""
        self.client.delete_alias(AliasName=properties["name"])


class Role(Resource):
    """A role of IAM."""

    service = "iam"
    identity = frozenset({"name"})

    def create(self, properties: Properties) -> dict[str, Any]:
        """Lent to whom its trust policy says."""
        made = self.client.create_role(
            RoleName=properties["name"],
            AssumeRolePolicyDocument=properties["assumeRolePolicy"],
            Description=properties.get("description", ""),
            MaxSessionDuration=properties.get("maxSessionDuration", 3600),
            Tags=tags(properties),
        )["Role"]
        return {"id": properties["name"], "arn": made["Arn"]}

    def update(self, properties: Properties) -> None:
        """To whom else it is lent."""
        self.client.update_assume_role_policy(
            RoleName=properties["name"], PolicyDocument=properties["assumeRolePolicy"]
        )

    def exists(self, properties: Properties) -> bool:
        """By its name."""
        return bool(self.client.get_role(RoleName=properties["name"]))

    def delete(self, properties: Properties) -> None:
        """Its policies went before it."""
        self.client.delete_role(RoleName=properties["name"])


class RolePolicy(Resource):
    """What a role may do."""

    service = "iam"
    identity = frozenset({"name", "role"})

    def create(self, properties: Properties) -> dict[str, Any]:
        """Inside the role."""
        self.update(properties)
        return {"id": f"{properties['role']}:{properties['name']}"}

    def update(self, properties: Properties) -> None:
        """As JSON."""
        json.loads(properties["policy"])  # moto takes anything
        self.client.put_role_policy(
            RoleName=properties["role"], PolicyName=properties["name"], PolicyDocument=properties["policy"]
        )

    def exists(self, properties: Properties) -> bool:
        """By both names."""
        return bool(self.client.get_role_policy(RoleName=properties["role"], PolicyName=properties["name"]))

    def delete(self, properties: Properties) -> None:
        """The role may do nothing then."""
        self.client.delete_role_policy(RoleName=properties["role"], PolicyName=properties["name"])


TYPES: Mapping[str, type[Resource]] = {
    "aws:iam/role:Role": Role,
    "aws:iam/rolePolicy:RolePolicy": RolePolicy,
    "aws:kms/alias:Alias": Alias,
    "aws:kms/key:Key": Key,
    "aws:s3/bucket:Bucket": Bucket,
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": Lifecycle,
    "aws:s3/bucketLogging:BucketLogging": Logging,
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": Lock,
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": Ownership,
    "aws:s3/bucketPolicy:BucketPolicy": BucketPolicy,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": PublicAccess,
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": Replication,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": Encryption,
    "aws:s3/bucketVersioning:BucketVersioning": Versioning,
}
