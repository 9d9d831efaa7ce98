"""What keeps an `up` from doing harm: plans that hold, copies of the state, approvals; and what repairs harm done."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pulumi
import pytest
from kubernetes import client
from pulumi_kubernetes.rbac import v1 as rbac

from infra.environments import deployment, recovery, state_backups
from infra.environments.engine import DeploymentError, Engine, Operation
from infra.environments.plan import Plan
from infra.environments.recovery import recover
from infra.environments.workspace import RECOVERY
from infra.errors import UserError
from infra.kube.component import object_metadata
from infra.quantities import Moment
from tests.app.servers import eventually

CLAIM = "kubernetes:core/v1:PersistentVolumeClaim::app-uploads"
EDGE = {("update", "edge-nginx"), ("update", "modelcard-quota")}


def changed(outcome) -> set[tuple[str, str]]:
    return {(change.operation, change.name) for change in outcome.changes}


def replicas(live) -> int:
    apps = client.AppsV1Api(deployment.reachable(live.space))
    return apps.read_namespaced_deployment("edge-nginx", "modelcard").spec.replicas


def test_a_plan_is_done_as_it_was_made_or_not_at_all_and_there_is_a_way_back(live, tmp_path):
    live.clean = False
    live.configure(edge={"replicas": 3})
    file = tmp_path / "plan.json"
    deployment.plan(live.space, live.told.append).write(file)
    plan = Plan.read(file)
    assert {(step["operation"], step["name"]) for step in plan.steps} == EDGE

    live.configure(edge={"replicas": 4})
    with pytest.raises(UserError, match=r"^local: the code or the stack file is not what the plan was made of"):
        deployment.up(live.space, live.told.append, plan)
    assert replicas(live) == 2

    live.configure(edge={"replicas": 3})
    assert changed(deployment.up(live.space, live.told.append, plan)) == EDGE
    assert replicas(live) == 3
    with pytest.raises(UserError, match=r"^local: the stack was changed after the plan was made"):
        deployment.up(live.space, live.told.append, plan)

    # The state is lost, with Pulumi's own copy of it. What is left is from after that `up`, and from before it.
    state = live.space.state_file
    assert state is not None
    deployed = live.space.exported()
    state.write_text("{")
    state.with_name(f"{state.name}.bak").write_text("{")
    copy, after = state_backups.present(live.space)[-2:]
    assert json.loads(after.read_text())["deployment"] == deployed
    assert changed(state_backups.restore(live.space, copy.name, live.told.append)) == EDGE
    assert state.with_name(f"{state.name}.damaged").read_text() == "{"
    assert changed(live.up()) == EDGE
    assert replicas(live) == 2


def test_looking_for_drift_changes_neither_cluster_nor_state(live):
    autoscaling = client.AutoscalingV2Api(deployment.reachable(live.space))
    name = "modelcard-generator-hpa"
    autoscaling.patch_namespaced_horizontal_pod_autoscaler(name, "modelcard", {"spec": {"maxReplicas": 7}})
    before = live.space.exported()
    assert changed(live.run(Operation.DRIFT)) == {("update", name)}
    assert live.space.exported() == before
    found = autoscaling.read_namespaced_horizontal_pod_autoscaler(name, "modelcard").spec.max_replicas
    assert found == 7
    live.run(Operation.REFRESH)
    live.up()


def test_protected_data_is_not_lost_without_an_approval(live):
    """`foreseen` says so before the engine is asked: nothing is deployed here."""
    live.clean = False
    approval = {
        "resource": CLAIM,
        "operation": "replace",
        "approver": "alice",
        "reason": "The uploads were moved to another volume on Tuesday.",
        "expires": (datetime.now(UTC).date() + timedelta(days=7)).isoformat(),
    }
    lost = {"protect_data": True, "app": {"uploads": {"access_mode": "ReadWriteOnce"}}}
    live.configure(**lost)
    with pytest.raises(UserError, match=rf"^Pulumi\.local\.yaml: {CLAIM} would be replaced \(spec\.accessModes"):
        deployment.up(live.space, live.told.append)
    live.configure(**lost, approvals=[approval])
    # Approved, it is the API server that refuses, until somebody has deleted the old one by hand.
    with pytest.raises(DeploymentError, match="app-uploads: Preview failed"):
        deployment.plan(live.space, live.told.append)
    live.configure()


def test_what_the_state_protects_is_given_up_once_it_is_unprotected(live):
    """What approvals rest on, with a small stack: the engine refuses, `state unprotect` is what it wants."""

    def keeping() -> None:
        options = pulumi.ResourceOptions(protect=True)
        rule = rbac.PolicyRuleArgs(api_groups=[""], resources=["nodes"], verbs=["list"])
        rbac.ClusterRole("kept", metadata=object_metadata("kept", "kept"), rules=[rule], opts=options)

    space = live.space.__class__(
        stack="kept", root=live.space.root, project=live.space.project, environment=live.space.environment
    )
    space.stack_file.write_text("config: {}\n")
    engine = Engine(space, program=keeping)
    engine.run(Operation.UP, live.told.append)
    gone = Engine(space, program=lambda: None)
    with pytest.raises(DeploymentError, match="protected"):
        gone.run(Operation.PREVIEW, live.told.append)
    state = space.exported()
    assert state is not None
    (urn,) = (each["urn"] for each in state["resources"] if each.get("protect"))
    space.pulumi("state", "unprotect", urn, "--yes")
    assert changed(gone.run(Operation.UP, live.told.append)) == {("delete", "kept")}
    space.pulumi("stack", "rm", "--yes")


def test_what_is_lost_with_its_namespace_is_declared_anew_after_its_data(live):
    live.clean = False
    api = deployment.reachable(live.space)
    with pytest.raises(UserError, match=r"^modelcard: there is a database, and recovery fills new volumes only"):
        recover(live.space, Moment("newest"), live.told.append)
    assert RECOVERY not in live.space.config()

    client.CoreV1Api(api).delete_namespace("modelcard")
    eventually(lambda: "modelcard" not in namespaces(api), within=60)
    state = live.space.state_file
    assert state is not None
    state.unlink()
    recover(live.space, Moment("2026-01-31"), live.told.append)
    job = client.BatchV1Api(api).read_namespaced_job("recovery", "modelcard")
    started = client.AppsV1Api(api).read_namespaced_stateful_set("database-postgres", "modelcard").metadata
    assert job.status.completion_time <= started.creation_timestamp
    assert "--at=2026-01-31" in job.spec.template.spec.containers[0].args
    assert RECOVERY not in live.space.config()
    later = changed(live.up())
    assert later >= {("delete", "recovery"), ("delete", "recovery-archive")}
    assert {operation for operation, name in later if "recovery" not in name} == {"update"}


def test_a_recovery_does_not_begin_while_the_last_one_may_still_write(live, monkeypatch):
    live.clean = False
    api = deployment.reachable(live.space)
    batch = client.BatchV1Api(api)
    client.AppsV1Api(api).delete_namespaced_stateful_set("database-postgres", "modelcard")
    batch.create_namespaced_job("modelcard", failed_job_whose_pod_does_not_end())
    monkeypatch.setattr(recovery, "GONE", 2)
    with pytest.raises(UserError, match=r"^modelcard: job/recovery has failed and its pod does not end"):
        recover(live.space, Moment("newest"), live.told.append)
    assert RECOVERY not in live.space.config()
    batch.patch_namespaced_job("recovery", "modelcard", {"metadata": {"finalizers": None}})
    eventually(lambda: not batch.list_namespaced_job("modelcard", label_selector="stuck").items, within=30)
    live.run(Operation.REFRESH)  # the next `up` makes the database again


def failed_job_whose_pod_does_not_end():
    return {
        "metadata": {"name": "recovery", "labels": {"stuck": ""}, "finalizers": ["modelcard.test/kept"]},
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "none", "image": "none"}]}},
        },
    }


def namespaces(api) -> set[str]:
    return {each.metadata.name for each in client.CoreV1Api(api).list_namespace().items}
