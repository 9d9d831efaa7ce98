"""The real engine, provider and API server: what a deployment does, and what it refuses to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from pulumi_kubernetes.core import v1 as core

from infra.environments import deployment, rollouts, secrets
from infra.environments.engine import DeploymentError, Engine, Operation
from infra.environments.local.waiting import wait_until
from infra.environments.workspace import ROOT
from infra.errors import UserError

NAMESPACE = "modelcard"
KINDS = {"Deployment", "StatefulSet", "DaemonSet", "PersistentVolumeClaim", "Ingress"}


def api(live, kind: str) -> Any:
    return getattr(client, kind)(deployment.reachable(live.space))


def changed(outcome) -> set[tuple[str, str]]:
    return {(change.operation, change.name) for change in outcome.changes}


def test_the_first_up_creates_the_whole_stack(deployed):
    first = deployed[1]
    assert first.outputs["url"] == "https://modelcard.localhost/"
    assert {change.operation for change in first.changes} == {"create"}
    assert ("create", "modelcard-generator") in changed(first)


def test_everything_becomes_ready_and_is_said_to_be_simulated(live):
    assert wait_until(lambda: deployment.status(live.space).ready, timeout=60)
    status = deployment.status(live.space)
    assert {each.kind for each in status.objects} == KINDS
    assert status.simulated_pods == status.pods > 0


def test_a_second_up_changes_nothing(live):
    assert live.up().changes == []


def test_one_setting_changes_exactly_what_it_is_about(live):
    assert changed(live.up(edge={"replicas": 3})) == {("update", "edge-nginx"), ("update", "modelcard-quota")}


def test_a_changed_configuration_file_is_updated_in_place_and_rolls_its_pods(live):
    outcome = live.up(edge={"upload_limit": "50Mi"})
    told = {"edge-config", "edge-nginx", "edge-ingress", "modelcard-generator"}
    assert changed(outcome) == {("update", name) for name in told}


def test_an_image_that_cannot_be_pulled_fails_clearly_and_the_old_pods_still_serve(live):
    pods = api(live, "CoreV1Api")
    selector = "app.kubernetes.io/name=edge-nginx"
    before = {pod.metadata.name for pod in pods.list_namespaced_pod(NAMESPACE, label_selector=selector).items}
    with pytest.raises(DeploymentError) as failure:
        live.up(edge={"image": "docker.io/library/nginx:9.9.9-unpullable"}, rollout_deadline=10)
    assert "edge-nginx" in str(failure.value)
    assert "container nginx: ImagePullBackOff" in str(failure.value)
    serving = {
        pod.metadata.name
        for pod in pods.list_namespaced_pod(NAMESPACE, label_selector=selector).items
        if all(status.ready for status in pod.status.container_statuses)
    }
    assert before <= serving
    healed = live.up()
    assert ("update", "edge-nginx") in changed(healed)


def test_a_change_that_no_controller_has_seen_is_not_taken_for_done(live):
    cluster = deployment.reachable(live.space)
    (controllers,) = [each.pid for each in live.cluster.status().components if each.name == "kube-controller-manager"]
    patch = {"spec": {"template": {"metadata": {"annotations": {"modelcard/test": "changed"}}}}}
    os.kill(controllers, signal.SIGSTOP)
    try:
        api(live, "AppsV1Api").patch_namespaced_deployment("edge-nginx", NAMESPACE, patch)
        assert rollouts.unfinished(cluster, [NAMESPACE], within=0) == ["edge-nginx: 0 of 2 pods are new and ready"]
    finally:
        os.kill(controllers, signal.SIGCONT)
    assert rollouts.unfinished(cluster, [NAMESPACE], within=60) == []


def test_a_refresh_finds_what_was_changed_by_hand_and_an_up_puts_it_right(live):
    autoscaling = api(live, "AutoscalingV2Api")
    name = "modelcard-generator-hpa"
    autoscaling.patch_namespaced_horizontal_pod_autoscaler(name, NAMESPACE, {"spec": {"maxReplicas": 7}})
    assert changed(live.run(Operation.REFRESH)) == {("update", name)}
    assert changed(live.up()) == {("update", name)}
    assert autoscaling.read_namespaced_horizontal_pod_autoscaler(name, NAMESPACE).spec.max_replicas == 20


def test_an_object_deleted_by_hand_is_found_and_made_again(live):
    api(live, "PolicyV1Api").delete_namespaced_pod_disruption_budget("edge-nginx", NAMESPACE)
    assert changed(live.run(Operation.REFRESH)) == {("delete", "edge-nginx-budget")}
    assert changed(live.up()) == {("create", "edge-nginx-budget")}


def test_destroy_leaves_no_object_and_the_next_up_deploys_again(live):
    live.run(Operation.DESTROY)
    names = {each.metadata.name for each in api(live, "CoreV1Api").list_namespace().items}
    assert NAMESPACE not in names
    assert ("create", "modelcard-generator") in changed(live.up())


def test_a_rotation_updates_every_secret_in_place_rolls_pods_but_the_databases_and_runs_jobs_again(live):
    before = api(live, "CoreV1Api").read_namespaced_secret("database-auth", NAMESPACE).data["modelcard"]
    secrets.rotate(live.space, deployment.settings_of(live.space), authority=False)
    outcome = live.up()
    after = api(live, "CoreV1Api").read_namespaced_secret("database-auth", NAMESPACE).data["modelcard"]
    assert before != after
    assert {change.type for change in outcome.changes if change.operation != "update"} == {"kubernetes:batch/v1:Job"}
    done = changed(outcome)
    assert {("update", "database-auth"), ("update", "cache-redis"), ("update", "modelcard-generator")} <= done
    assert ("update", "database-postgres") not in done


def test_no_secret_is_in_plain_in_the_state_the_stack_file_or_what_was_told(live):
    value = json.loads(live.space.pulumi("config", "get", secrets.KEY).stdout)
    known = [value["database_password"], value["cache_password"], value["authority"]["key"].splitlines()[1]]
    texts = [path.read_text() for path in (live.folder / "state").rglob("*.json*")]
    texts += [live.space.stack_file.read_text(), "\n".join(live.told)]
    assert texts
    assert not [secret for secret in known for text in texts if secret in text]


def test_the_engine_refuses_what_the_policies_forbid_before_it_exists(live):
    def careless() -> None:
        container = core.ContainerArgs(name="web", image="docker.io/library/nginx:latest")
        core.Pod("careless", metadata={"name": "careless"}, spec=core.PodSpecArgs(containers=[container]))

    engine = Engine(live.space, program=careless)
    with pytest.raises(DeploymentError, match="pinned-image"):
        engine.run(Operation.PREVIEW, live.told.append)


def test_the_api_servers_own_admission_refuses_a_pod_that_breaks_restricted(live):
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="careless"),
        spec=client.V1PodSpec(
            containers=[client.V1Container(name="web", image="nginx", resources={"requests": REQUESTS})]
        ),
    )
    with pytest.raises(client.ApiException, match="violates PodSecurity"):
        api(live, "CoreV1Api").create_namespaced_pod(NAMESPACE, pod)


REQUESTS = {"cpu": "1m", "memory": "1Mi"}


@pytest.mark.timeout(600)
def test_a_killed_up_is_repaired_by_the_next_one(live):
    live.run(Operation.DESTROY)
    script = Path(__file__).with_name("interrupted_up.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(live.folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        for line in process.stdout or ():
            if "StatefulSet" in line:
                process.send_signal(signal.SIGKILL)
                break
    locks = list((live.folder / "state" / ".pulumi" / "locks").rglob("*.json"))
    assert locks, "the killed run left no lock: it was killed too late to be a test"
    live.up(edge={"replicas": 3})
    assert wait_until(lambda: deployment.status(live.space).ready, timeout=60)
    assert live.up(edge={"replicas": 3}).changes == []


def test_a_wrong_passphrase_is_one_clear_line(live):
    file = live.folder / "passphrase"
    right = file.read_text()
    file.write_text("wrong")
    try:
        with pytest.raises(UserError, match=r"Pulumi.local.yaml: the passphrase does not fit"):
            live.up()
    finally:
        file.write_text(right)
    assert live.up().changes == []


def state_of(live) -> Path:
    return live.folder / "state" / ".pulumi" / "stacks" / "modelcard-platform" / "local.json"


def test_after_a_state_that_a_killed_run_cut_off_everything_is_made_anew(live):
    file = state_of(live)
    file.write_text(file.read_text()[:1000])
    assert ("create", "modelcard-generator") in changed(live.up())
    assert "starting anew" in "\n".join(live.told)


def test_a_corrupt_state_file_is_one_clear_line(live):
    file = state_of(live)
    right = file.read_text()
    file.write_text(right[: len(right) // 2])
    try:
        with pytest.raises(UserError, match=r"the state of local cannot be read .*backups"):
            live.space.exported()
    finally:
        file.write_text(right)


def test_a_kubeconfig_that_points_nowhere_is_one_clear_line(live, tmp_path):
    document = (live.cluster.kubeconfig).read_text()
    server = live.cluster.status().server
    assert server is not None
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(document.replace(server, "https://127.0.0.1:9"))
    space = live.space.__class__(
        stack="dev", root=ROOT, project=ROOT, environment={**live.space.environment, "KUBECONFIG": str(elsewhere)}
    )
    with pytest.raises(UserError, match=r"127.0.0.1:9 does not answer: start it, or set KUBECONFIG"):
        deployment.reachable(space)
