"""Independent judges on what every stack declares: nothing but what is excepted, and each exception is needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from policy.judges import CHECKOV, CHECKOV_CLOUD, KUBE_SCORE, JudgeException
from tests.judges import judging
from tests.judges.judging import Verdict
from tests.judges.verdicts import excepted, objects_of, verdicts
from tests.policy.small_stack import CLOUD

TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="session")
def judged() -> list[Verdict]:
    """What all judges say of all stacks."""
    return verdicts()


def test_nothing_is_found_but_what_is_excepted(judged):
    assert [each for each in judged if not excepted(each, TODAY)] == []


@pytest.mark.parametrize("exception", [*KUBE_SCORE, *CHECKOV], ids=lambda each: f"{each.finding} {each.name}")
def test_an_exception_that_nothing_needs_is_removed(exception, judged):
    assert any(exception.covers(each.finding, each.name, today=TODAY) for each in judged)


def test_an_exception_ends():
    exception: JudgeException = KUBE_SCORE[0]
    assert not exception.covers(exception.finding, "app", today=exception.expires)


def test_the_judges_do_judge():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "careless", "namespace": "open"}}
    pod["spec"] = {"containers": [{"name": "web", "image": "nginx:latest"}]}
    assert Verdict("kube-score", "open", "careless", "Image with latest tag") in judging.kube_score([pod])
    assert Verdict("checkov", "open", "careless", "CKV_K8S_14") in judging.checkov_objects([pod])


def test_the_judges_of_the_cloud_do_judge():
    open_to_all = [each for each in CLOUD if each.name != "bucket-public-access"]
    found = judging.checkov_plans({"small": CLOUD, "open": open_to_all})
    assert {each.finding for each in found if not excepted(each, TODAY)} == {"CKV2_AWS_6"}
    policy = next(each for each in CLOUD if each.type == "aws:iam/policy:Policy")
    text = policy.properties["policy"].replace("s3:PutObject", "iam:PassRole")
    text = text.replace("arn:aws:s3:::modelcard-backups/sets/*", "*")
    careless = replace(policy, properties={**policy.properties, "policy": text})
    assert judging.cloudsplaining([careless])
    assert judging.cloudsplaining([policy]) == []


def test_every_stack_is_judged():
    assert all(objects_of(stack) for stack in ("local", "dev", "prod"))


def test_every_exception_of_the_cloud_says_why():
    assert all(each.reason for each in CHECKOV_CLOUD)
