"""What brings lost data back: into the claims of the database and the application, and before both of them start."""

from types import SimpleNamespace

import pytest
from kubernetes import client

from infra.components import app, database
from infra.components.backup import JOBS
from infra.environments import recovery
from tests.conftest import EXTENDED, container_of, peers, platform_of, pod_of

WAITING = ("database-postgres", "modelcard-generator", "edge-nginx", "incident-responder", "prometheus")


def job(platform):
    return platform.one("batch/v1:Job", "recovery")


def arguments(platform):
    return container_of(job(platform))["args"]


def test_a_stack_that_has_lost_nothing_has_none(each_platform):
    assert [each.name for each in each_platform.registrations if "recovery" in each.name] == []


def test_it_fills_the_volumes_that_the_others_use(extended):
    volumes = {
        each["name"]: each["persistentVolumeClaim"]
        for each in pod_of(job(extended))["volumes"]
        if "persistentVolumeClaim" in each
    }
    assert volumes == {"database": {"claimName": database.CLAIM}, "uploads": {"claimName": app.CLAIM}}
    for claim in (database.CLAIM, app.CLAIM):
        assert extended.one("v1:PersistentVolumeClaim", claim)
    mounts = {each["name"]: each["mountPath"] for each in container_of(job(extended))["volumeMounts"]}
    theirs = {each["name"]: each["mountPath"] for each in container_of(postgres(extended))["volumeMounts"]}
    assert mounts["database"] == theirs["data"]
    assert f"--database={database.DATA}" in arguments(extended)


def postgres(platform):
    return platform.one("apps/v1:StatefulSet", "database-postgres")


def test_it_becomes_production_of_the_moment_that_was_asked_for(extended):
    assert f"--at={EXTENDED['recovery']}" in arguments(extended)
    assert {"--production", "--yes"} <= set(arguments(extended))
    assert [each for each in arguments(platform_of("prod", recovery="newest")) if each.startswith("--at")] == []


@pytest.mark.parametrize("name", WAITING)
def test_whoever_could_use_the_volumes_or_miss_the_service_waits_for_it(extended, name):
    (waiting,) = [each for each in extended.registrations if each.name == name and "apps/v1" in each.type]
    assert [each for each in waiting.dependencies if each.endswith("Job::recovery")]


def test_it_waits_for_the_cache_that_it_empties(extended):
    (own,) = [each for each in extended.registrations if each.name == "recovery" and "Job" in each.type]
    assert [each for each in own.dependencies if each.endswith("Deployment::cache-redis")]
    assert "mcops_backup_cache_url" in extended.one("v1:Secret", "recovery-job")["stringData"]
    assert peers(extended.one("v1:NetworkPolicy", "cache-redis-recovery")) == {"recovery"}


def test_it_may_read_the_backups_and_its_role_knows_it_before_a_disaster(platform):
    on_aws = platform_of("prod", recovery="newest")
    account = on_aws.one("v1:ServiceAccount", "recovery")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert account.endswith("modelcard-backups-restorer")
    trusted = platform.one("aws:iam/role:Role", "backup-storage-restorer")["assumeRolePolicy"]
    assert "system:serviceaccount:modelcard:recovery" in trusted


def test_two_attempts_never_write_at_once(extended):
    assert job(extended)["spec"]["podReplacementPolicy"] == "Failed"


def test_the_engine_sees_when_it_has_failed(extended):
    assert "podFailurePolicy" not in job(extended)["spec"]  # of the reasons that a Job fails for, it knows two others


def test_the_namespace_has_room_for_it(extended, platform):
    def pods(each):
        return int(each.one("v1:ResourceQuota", "modelcard-quota")["spec"]["hard"]["pods"])

    assert pods(extended) == pods(platform) + 1


def test_it_hangs_no_longer_than_a_drill(extended):
    assert job(extended)["spec"]["activeDeadlineSeconds"] == max(deadline for _, deadline in JOBS.values())


@pytest.mark.parametrize(
    ("log", "said"), [(None, ()), ("", ()), ("restoring\n\nrestored\n", ("restoring", "restored"))]
)
def test_a_pod_is_followed_from_before_its_first_word(monkeypatch, log, said):
    pod = client.V1Pod(metadata=client.V1ObjectMeta(name="recovery-1"))
    pods = SimpleNamespace(
        list_namespaced_pod=lambda *_, **__: client.V1PodList(items=[pod]),
        read_namespaced_pod_log=lambda *_: log,  # the client makes None of an empty body
    )
    monkeypatch.setattr(client, "CoreV1Api", lambda _: pods)
    assert recovery._said(None, "modelcard") == said
