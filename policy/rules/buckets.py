"""Buckets hold the backups: closed, encrypted, versioned, locked, and elsewhere a second time."""

from __future__ import annotations

from collections.abc import Iterator

from policy.documents import readable, statements
from policy.kinds import BUCKET_POLICY, BUCKETS, KEY
from policy.model import Control, Resource, Violation
from policy.pods import resource_rule
from policy.stack import Stack, stack_rule

BENCHMARK = Control(
    "CIS AWS Foundations Benchmark, 2.1: Simple Storage Service",
    "https://docs.aws.amazon.com/securityhub/latest/userguide/s3-controls.html",
)
RANSOM = Control(
    "AWS Well-Architected, REL09-BP02: secure and encrypt backups",
    "https://docs.aws.amazon.com/wellarchitected/latest/reliability-pillar/rel_backing_up_data_secured_backups_data.html",
)


def _part(kind: str) -> tuple[str, str]:
    """The tokens of what belongs to a bucket, as pulumi-aws 7 and 6 name it."""
    name = f"{kind[0].lower()}{kind[1:]}"
    return f"aws:s3/{name}:{kind}", f"aws:s3/{name}V2:{kind}V2"


PUBLIC_ACCESS = ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",)
VERSIONING = _part("BucketVersioning")
ENCRYPTION = _part("BucketServerSideEncryptionConfiguration")
OWNERSHIP = ("aws:s3/bucketOwnershipControls:BucketOwnershipControls",)
POLICY = (BUCKET_POLICY,)
LIFECYCLE = _part("BucketLifecycleConfiguration")
LOCK = _part("BucketObjectLockConfiguration")
REPLICATION = ("aws:s3/bucketReplicationConfig:BucketReplicationConfig",)
ACL = _part("BucketAcl")
BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


LOGGING = _part("BucketLogging")
# Each is judged where its bucket is.
PARTS = frozenset(
    {*PUBLIC_ACCESS, *VERSIONING, *ENCRYPTION, *OWNERSHIP, *LIFECYCLE, *LOCK, *REPLICATION, *ACL, *LOGGING}
)


def _parts(stack: Stack, bucket: Resource, kinds: tuple[str, ...]) -> list[Resource]:
    return [part for kind in kinds for part in stack.parts(bucket, kind, "bucket")]


@stack_rule(BENCHMARK, "Declare a BucketPublicAccessBlock with all four settings true.", *BUCKETS)
def bucket_closed_to_public(bucket: Resource, stack: Stack) -> Iterator[Violation]:
    """No bucket can be opened to the public, whatever somebody writes into a policy later."""
    parts = _parts(stack, bucket, PUBLIC_ACCESS)
    if not parts:
        yield "", "has no BucketPublicAccessBlock; declare one with all four settings true"
    for part in parts:
        for key in BLOCKS:
            if part.at(key).value is not True:
                yield f"{part.name}.{key}", "leaves a way to the public; set it to true"
    for part in _parts(stack, bucket, ACL):
        yield part.name, "grants by an access list; use the bucket's policy"


@stack_rule(BENCHMARK, "Declare a BucketVersioning with the status Enabled.", *BUCKETS)
def bucket_versioned(bucket: Resource, stack: Stack) -> Iterator[Violation]:
    """What is overwritten or deleted in a bucket can be had back."""
    parts = _parts(stack, bucket, VERSIONING)
    if not any(part.at("versioningConfiguration", "status").value == "Enabled" for part in parts):
        yield "", "keeps no versions; declare a BucketVersioning with the status Enabled"


@stack_rule(BENCHMARK, "Declare a BucketServerSideEncryptionConfiguration by aws:kms and a key of the stack.", *BUCKETS)
def bucket_encrypted(bucket: Resource, stack: Stack) -> Iterator[Violation]:
    """Buckets are encrypted with a key of their own, so that reading takes two rights."""
    parts = _parts(stack, bucket, ENCRYPTION)
    if not parts:
        yield "", "is not encrypted with a key of its own; declare a BucketServerSideEncryptionConfiguration"
    if _takes_logs(stack, bucket):
        return  # S3 delivers no logs under a key of ours (S3 user guide, "Enabling server access logging")
    keys = {key.urn for key in stack.of(KEY)} - {""}
    for part in parts:
        for rule in part.at("rules").elements():
            default = rule.at("applyServerSideEncryptionByDefault")
            if default.at("sseAlgorithm").value not in {"aws:kms", "aws:kms:dsse"}:
                yield default.at("sseAlgorithm").path, "is not by KMS; set it to aws:kms"
            # Which key it is, the engine knows when the key exists; that it is one of the stack's, at once.
            elif not keys & part.depends.get("rules", frozenset()) and not default.at("kmsMasterKeyId").value:
                yield default.at("kmsMasterKeyId").path, "is Amazon's key for everybody; name a key of the stack"
            if rule.at("bucketKeyEnabled").value is not True:
                yield rule.at("bucketKeyEnabled").path, "asks KMS for each object; set it to true"


@stack_rule(BENCHMARK, "Declare BucketOwnershipControls with BucketOwnerEnforced.", *BUCKETS)
def bucket_owned_alone(bucket: Resource, stack: Stack) -> Iterator[Violation]:
    """Everything in a bucket is its owner's, and access lists count for nothing."""
    parts = _parts(stack, bucket, OWNERSHIP)
    if not any(part.at("rule", "objectOwnership").value == "BucketOwnerEnforced" for part in parts):
        yield "", "may hold objects of others; declare BucketOwnershipControls with BucketOwnerEnforced"


@stack_rule(BENCHMARK, "Declare a BucketPolicy.", *BUCKETS)
def bucket_has_policy(bucket: Resource, stack: Stack) -> Iterator[Violation]:
    """Every bucket has a policy, which another rule reads."""
    if not _parts(stack, bucket, POLICY):
        yield "", "has no policy, so nothing refuses who asks in plain; declare a BucketPolicy"


@resource_rule(
    BENCHMARK,
    "Deny s3:* to everybody on bucket and objects where aws:SecureTransport is false.",
    *POLICY,
    deferred=True,
)
def bucket_by_tls(policy: Resource) -> Iterator[Violation]:
    """Nobody reads or writes a bucket in plain."""
    text = policy.at("policy")
    for each in statements(text) if readable(text) else ():
        refused = each.conditions("Bool").get("aws:SecureTransport") == ["false"]
        everybody = not each.allows and "s3:*" in each.listed("Action") and "*" in each.principals
        objects = {name.endswith("/*") for name in each.listed("Resource")}
        if refused and everybody and objects == {True, False}:
            return
    yield text.path, "does not refuse who asks in plain; deny s3:* where aws:SecureTransport is false"


@stack_rule(RANSOM, "Declare a BucketLifecycleConfiguration that ends unfinished uploads and old versions.", *BUCKETS)
def bucket_forgets(bucket: Resource, stack: Stack) -> Iterator[Violation]:
    """Unfinished uploads and old versions end some day, so that a bucket does not grow for ever."""
    rules = [
        rule
        for part in _parts(stack, bucket, LIFECYCLE)
        for rule in part.at("rules").elements()
        if rule.at("status").value == "Enabled"
    ]
    for keys, what in (
        (("abortIncompleteMultipartUpload", "daysAfterInitiation"), "unfinished uploads"),
        (("noncurrentVersionExpiration", "noncurrentDays"), "old versions"),
    ):
        if not any(rule.at(*keys).value for rule in rules):
            yield "", f"keeps {what} for ever; add a lifecycle rule with {'.'.join(keys)}"


@stack_rule(RANSOM, "Set objectLockEnabled, and a BucketObjectLockConfiguration with a default retention.", *BUCKETS)
def bucket_locked(bucket: Resource, stack: Stack) -> Iterator[Violation]:
    """What was backed up cannot be deleted for some time, by whoever has taken over the cluster either."""
    if _takes_logs(stack, bucket):
        return  # S3 delivers no logs to a bucket with a default retention (S3 user guide, "Object Lock considerations")
    if bucket.at("objectLockEnabled").value is not True:
        yield "objectLockEnabled", "is not set, and cannot be later; set it to true"
    retention = [part.at("rule", "defaultRetention") for part in _parts(stack, bucket, LOCK)]
    if not any(
        each.at("mode").value in {"COMPLIANCE", "GOVERNANCE"} and (each.at("days").value or each.at("years").value)
        for each in retention
    ):
        yield "", "locks nothing; declare a BucketObjectLockConfiguration with a default retention"


@stack_rule(RANSOM, "Declare an enabled BucketReplicationConfig to a bucket in another region.", *BUCKETS)
def bucket_replicated(bucket: Resource, stack: Stack) -> Iterator[Violation]:
    """A second copy is somewhere else: a bucket of backups replicates, or is where another one replicates to."""
    configured = _parts(stack, bucket, REPLICATION)
    enabled = any(rule.at("status").value == "Enabled" for part in configured for rule in part.at("rules").elements())
    if not enabled and not _is_copy(stack, bucket) and not _takes_logs(stack, bucket):
        yield "", "exists once; declare an enabled BucketReplicationConfig to a bucket in another region"


@stack_rule(BENCHMARK, "Declare a BucketLogging to a bucket that is there for logs.", *BUCKETS)
def bucket_logged(bucket: Resource, stack: Stack) -> Iterator[Violation]:
    """Who asked a bucket for what is written down; of a copy S3 alone asks."""
    if not _parts(stack, bucket, LOGGING) and not _takes_logs(stack, bucket) and not _is_copy(stack, bucket):
        yield "", "keeps no record of who asked for what; declare a BucketLogging"


def _takes_logs(stack: Stack, bucket: Resource) -> bool:
    """Whether another bucket's log goes here."""
    return any(
        bucket.urn in part.depends.get("targetBucket", frozenset())
        or (bucket.properties.get("bucket") or "") == part.properties.get("targetBucket")
        for part in stack.of(*LOGGING)
        if part not in _parts(stack, bucket, LOGGING)
    )


def _is_copy(stack: Stack, bucket: Resource) -> bool:
    """Whether another bucket is copied here."""
    arn = f":::{bucket.properties.get('bucket')}"
    for part in stack.of(*REPLICATION):
        if part in _parts(stack, bucket, REPLICATION):
            continue
        if bucket.urn and bucket.urn in part.depends.get("rules", frozenset()):
            return True
        for rule in part.at("rules").elements():
            if str(rule.at("destination", "bucket").value or "").endswith(arn):
                return True
    return False


@resource_rule(RANSOM, "Remove forceDestroy.", *BUCKETS)
def bucket_outlives_stack(bucket: Resource) -> Iterator[Violation]:
    """A bucket with something in it is not deleted with its content."""
    if bucket.at("forceDestroy").value:
        yield "forceDestroy", "deletes the content with the bucket; remove it"


RULES = (
    bucket_closed_to_public,
    bucket_versioned,
    bucket_encrypted,
    bucket_owned_alone,
    bucket_has_policy,
    bucket_by_tls,
    bucket_forgets,
    bucket_locked,
    bucket_replicated,
    bucket_logged,
    bucket_outlives_stack,
)
