"""The real engine makes the backups' bucket in the local cloud, and finds out what is gone from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from infra.environments.engine import Engine, Operation
from infra.environments.local.cloud import LocalCloud
from infra.environments.workspace import ROOT, local_workspace
from infra.parts.backups import declare_storage
from tests.conftest import settings_of

BUCKET = "modelcard-backups-local"
EVERYTHING = {"replica_region": "eu-west-1"}


class Storage:
    """A stack of nothing but the bucket and what belongs to it."""

    def __init__(self, folder) -> None:
        self.space = local_workspace(ROOT, folder)
        self.told: list[str] = []

    def run(self, operation: Operation, **backup):
        settings = settings_of("local", backup=EVERYTHING | backup)
        return Engine(self.space, program=lambda: declare_storage(settings) and None).run(operation, self.told.append)

    def client(self, service: str, region: str = "eu-central-1"):
        return self.space.cloud.access.client(service, region)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Iterator[SimpleNamespace]:
    stack = Storage(tmp_path_factory.mktemp("cloud"))
    cloud = stack.space.cloud
    assert isinstance(cloud, LocalCloud)
    cloud.start()
    try:
        cloud.wait()
        yield SimpleNamespace(stack=stack, cloud=cloud, first=stack.run(Operation.UP))
    finally:
        cloud.stop()


def test_the_engine_makes_all_of_it(made):
    s3 = made.stack.client("s3")
    names = {each["Name"] for each in s3.list_buckets()["Buckets"]}
    assert names == {BUCKET, f"{BUCKET}-logs", f"{BUCKET}-replica"}
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    lock = s3.get_object_lock_configuration(Bucket=BUCKET)["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"].items() >= {"Mode": "GOVERNANCE", "Days": 1}.items()
    assert set(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values()) == {True}
    rule = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    key = rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    assert made.stack.client("kms").get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    assert s3.get_bucket_logging(Bucket=BUCKET)["LoggingEnabled"]["TargetBucket"] == f"{BUCKET}-logs"
    destination = s3.get_bucket_replication(Bucket=BUCKET)["ReplicationConfiguration"]["Rules"][0]["Destination"]
    assert destination["Bucket"] == f"arn:aws:s3:::{BUCKET}-replica"


def test_a_role_is_lent_to_its_own_accounts_only(made):
    role = made.stack.client("iam").get_role(RoleName=f"{BUCKET}-pruner")["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    (subjects,) = [value for name, value in statement["Condition"]["StringEquals"].items() if name.endswith(":sub")]
    assert subjects == ["system:serviceaccount:modelcard:backup-prune"]


def test_a_second_run_changes_nothing_and_another_setting_only_what_it_is_about(made):
    assert made.stack.run(Operation.UP).changes == []
    outcome = made.stack.run(Operation.UP, object_lock={"days": 2})
    parts = {"lock", "lifecycle"}
    assert {(each.operation, each.name) for each in outcome.changes} == {
        ("update", f"backup-storage-{bucket}-{part}") for bucket in ("bucket", "replica") for part in parts
    }
    made.stack.run(Operation.UP)


def test_what_was_taken_away_is_found_and_made_again(made):
    iam = made.stack.client("iam")
    iam.delete_role_policy(RoleName=f"{BUCKET}-writer", PolicyName="backups")
    made.stack.run(Operation.REFRESH)
    outcome = made.stack.run(Operation.UP)
    assert [(each.operation, each.name) for each in outcome.changes] == [("create", "backup-storage-writer-rights")]
    policy = iam.get_role_policy(RoleName=f"{BUCKET}-writer", PolicyName="backups")["PolicyDocument"]
    actions = json.dumps(policy)
    assert "s3:PutObject" in actions
    assert "DeleteObjectVersion" not in actions


def test_destroying_the_stack_leaves_nothing(made):
    s3 = made.stack.client("s3")
    s3.delete_bucket_policy(Bucket=BUCKET)  # moto takes a refusal under a condition for one without
    s3.put_object(Bucket=BUCKET, Key="modelcard/object", Body=b"body")
    made.stack.run(Operation.DESTROY)
    assert s3.list_buckets()["Buckets"] == []
    with pytest.raises(ClientError, match="NoSuchEntity"):
        made.stack.client("iam").get_role(RoleName=f"{BUCKET}-writer")
    made.stack.run(Operation.UP)
