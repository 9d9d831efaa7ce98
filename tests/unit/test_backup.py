"""The backup's jobs: when, with whose rights, on which files, and that two never run at once."""

import pytest

from infra.components.backup import JOBS, WORKLOADS
from tests.conftest import container_of, jobs, peers, platform_of, pod_of

NAMES = [each.name for each in WORKLOADS]
ROLES = {each.name: role for each, (role, _) in JOBS.items()}
each_job = pytest.mark.parametrize("name", NAMES)


def cron(platform, name):
    return platform.one("batch/v1:CronJob", name)["spec"]


def told(platform, name):
    return {each["name"]: each["value"] for each in container_of(jobs(platform)[name])["env"]}


def test_there_is_a_job_for_each_command(each_platform):
    assert sorted(jobs(each_platform)) == sorted(NAMES)


@each_job
def test_it_never_runs_twice_at_once_nor_for_ever_nor_again_by_itself(each_platform, name):
    spec = cron(each_platform, name)
    job = spec["jobTemplate"]["spec"]
    assert (spec["concurrencyPolicy"], spec["timeZone"]) == ("Forbid", "UTC")
    assert job["activeDeadlineSeconds"] > 0
    assert (job["backoffLimit"], pod_of(spec["jobTemplate"])["restartPolicy"]) == (2, "Never")


@each_job
def test_it_runs_its_own_command(each_platform, name):
    container = container_of(jobs(each_platform)[name])
    assert (container["command"], container["args"]) == (["mcops"], ["backup", name.removeprefix("backup-")])


@each_job
def test_it_is_as_hardened_as_everything_else(each_platform, name):
    pod = pod_of(jobs(each_platform)[name])
    (container,) = pod["containers"]
    context = container["securityContext"]
    assert (context["readOnlyRootFilesystem"], context["capabilities"]) == (True, {"drop": ["ALL"]})
    assert (pod["securityContext"]["runAsUser"], context["allowPrivilegeEscalation"]) == (10001, False)


@each_job
def test_it_takes_the_role_of_its_account_and_no_other(platform, name):
    account = platform.one("v1:ServiceAccount", name)["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
    assert account == told(platform, name)["AWS_ROLE_ARN"]
    assert account.endswith(f":role/modelcard-backups-{ROLES[name]}")


@each_job
def test_only_the_run_may_ask_the_kubernetes_api(platform, name):
    assert pod_of(jobs(platform)[name])["automountServiceAccountToken"] == (name == "backup-run")


def test_the_run_reads_what_it_saves_by_name_and_lists_nothing(platform):
    rules = platform.one("v1:Role", "backup-run")["rules"]
    assert {rule["verbs"][0] for rule in rules} == {"get"}
    granted = {rule["resources"][0]: rule["resourceNames"] for rule in rules}
    assert granted["secrets"] == told(platform, "backup-run")["MCOPS_BACKUP_SECRETS"].split(",")
    assert {"database-auth", "database-archive", "app-secrets", "edge-tls"} <= set(granted["secrets"])
    assert "backup-run" not in granted["secrets"]


def test_everything_that_the_run_saves_is_there(each_platform):
    for kind, variable in (("ConfigMap", "CONFIG_MAPS"), ("Secret", "SECRETS")):
        names = told(each_platform, "backup-run")[f"MCOPS_BACKUP_{variable}"].split(",")
        there = {each.inputs["metadata"]["name"] for each in each_platform.all(f"core/v1:{kind}")}
        assert set(names) <= there


def test_uploads_are_read_only_and_on_their_own_node_where_only_one_can_have_them():
    for stack, shared in (("dev", False), ("prod", True)):
        pod = pod_of(jobs(platform_of(stack))["backup-run"])
        (claim,) = [each for each in pod["volumes"] if each["name"] == "uploads"]
        assert claim["persistentVolumeClaim"] == {"claimName": "app-uploads", "readOnly": True}
        assert ("affinity" in pod) == (not shared)


def test_a_drill_has_room_for_the_database_and_every_upload(platform):
    (scratch,) = [
        each["ephemeral"] for each in pod_of(jobs(platform)["backup-drill"])["volumes"] if "ephemeral" in each
    ]
    assert scratch["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"] == "400Gi"


def test_who_may_be_reached(platform):
    assert peers(platform.one("v1:NetworkPolicy", "prometheus-snapshots")) == {"modelcard/backup-run"}
    assert peers(platform.one("v1:NetworkPolicy", "backup-prune-to-storage")) == {"0.0.0.0/0"}


@each_job
def test_another_storage_is_reached_with_keys_and_no_role(extended, name):
    given = told(extended, name)
    assert given["MCOPS_BACKUP_ENDPOINT"] == "https://storage.example.com:9000"
    assert [variable for variable in given if variable.startswith("AWS_")] == []
    secret = extended.one("v1:Secret", name)["stringData"]
    assert {"mcops_backup_access_key", "mcops_backup_secret_key"} <= secret.keys()
    egress = extended.one("v1:NetworkPolicy", f"{name}-to-storage")["spec"]["egress"]
    assert [port["port"] for port in egress[0]["ports"]] == [9000]


def test_another_storage_needs_nothing_of_aws(extended):
    assert [each.name for each in extended.registrations if each.type.startswith("aws:")] == []
