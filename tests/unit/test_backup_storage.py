"""The bucket: nobody outside sees it, nobody inside can do more to it than its role says."""

import json

import pytest

from infra.kube.bucket_rights import RIGHTS
from tests.conftest import STACKS, platform_of

BUCKET = "arn:aws:s3:::modelcard-backups"
VAULTS = ("bucket", "replica")


def statements(platform, role):
    policy = json.loads(platform.one(":RolePolicy", f"backup-storage-{role}-rights")["policy"])
    return policy["Statement"]


def policy_of(platform, bucket):
    policy = json.loads(platform.one(":BucketPolicy", f"backup-storage-{bucket}-policy")["policy"])
    return {each["Sid"]: each for each in policy["Statement"]}


@pytest.mark.parametrize("bucket", [*VAULTS, "logs"])
def test_nobody_outside_sees_any_bucket(platform, bucket):
    block = platform.one(":BucketPublicAccessBlock", f"backup-storage-{bucket}-public-access")
    assert {value for name, value in block.items() if name not in {"bucket", "region"}} == {True}


@pytest.mark.parametrize("bucket", VAULTS)
def test_what_is_written_is_locked_versioned_and_encrypted(platform, bucket):
    name = f"backup-storage-{bucket}"
    assert platform.one(":BucketVersioning", f"{name}-versioning")["versioningConfiguration"] == {"status": "Enabled"}
    lock = platform.one(":BucketObjectLockConfiguration", f"{name}-lock")["rule"]["defaultRetention"]
    assert lock == {"mode": "COMPLIANCE", "days": 30}
    (rule,) = platform.one(":BucketServerSideEncryptionConfiguration", f"{name}-encryption")["rules"]
    assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms"


@pytest.mark.parametrize("bucket", [*VAULTS, "logs"])
def test_nothing_travels_in_plain(platform, bucket):
    rules = policy_of(platform, bucket)
    assert rules["OnlyTls"]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert {rules[sid]["Effect"] for sid in ("OnlyTls", "OnlyModernTls")} == {"Deny"}


@pytest.mark.parametrize("stack", STACKS)
def test_keys_turn_by_themselves_and_only_roles_use_them(stack):
    for key in platform_of(stack).all("kms/key:Key"):
        assert key.inputs["enableKeyRotation"] is True
        uses = {each["Sid"]: each for each in json.loads(key.inputs["policy"])["Statement"]}
        assert not [action for action in uses["Administer"]["Action"] if "crypt" in action or "Data" in action]
        assert all(
            ":role/modelcard-backups" in arn for arn in uses["Use"]["Condition"]["ArnEquals"]["aws:PrincipalArn"]
        )


@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_is_about_the_bucket_its_folder_and_its_key(platform, role):
    for statement in statements(platform, role):
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        assert all(
            each == BUCKET or each.startswith((f"{BUCKET}/modelcard/", "arn:aws:kms:eu-central-1:"))
            for each in resources
        )
        assert not [action for action in statement["Action"] if "*" in action]


def test_only_the_pruner_ends_a_version(platform):
    ends = {role for role in RIGHTS if "s3:DeleteObjectVersion" in json.dumps(statements(platform, role))}
    assert ends == {"pruner"}


def test_the_writer_hides_nothing_but_what_a_killed_backup_left(platform):
    hides = [each for each in statements(platform, "writer") if "s3:DeleteObject" in each["Action"]]
    assert [each["Resource"] for each in hides] == [[f"{BUCKET}/modelcard/pgbackrest/backup/modelcard/*"]]


def test_nobody_changes_the_bucket_itself(platform):
    changes = ("s3:Put", "s3:Delete", "kms:")
    allowed = {"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "kms:Decrypt", "kms:GenerateDataKey"}
    actions = {action for role in RIGHTS for each in statements(platform, role) for action in each["Action"]}
    assert {action for action in actions if action.startswith(changes)} == allowed


def test_a_stack_that_is_not_protected_takes_its_bucket_with_it():
    destroyed = {stack: platform_of(stack).one("s3/bucket:Bucket", "backup-storage-bucket") for stack in STACKS}
    assert {stack: each["forceDestroy"] for stack, each in destroyed.items()} == {
        "local": True, "dev": True, "prod": False,
    }  # fmt: skip


def test_only_prod_has_a_copy_elsewhere():
    assert {stack: len(platform_of(stack).all(":BucketReplicationConfig")) for stack in STACKS} == {
        "local": 0, "dev": 0, "prod": 1,
    }  # fmt: skip


def test_the_engine_is_held_to_the_account_of_the_cluster(platform):
    provider = platform.one("pulumi:providers:aws", "aws")
    assert json.loads(provider["allowedAccountIds"]) == ["123456789012"]
