"""Preview environments on a real API server: side by side, killed anywhere, reaped, and never more than that."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from infra.environments import deployment
from infra.environments.ephemeral import derived, lifecycle, registry
from infra.environments.ephemeral.registry import Found
from infra.environments.workspace import ROOT
from infra.errors import UserError
from infra.kube.marks import ENVIRONMENT
from tests.app.servers import eventually

SCRIPT = Path(__file__).with_name("environment_up.py")
LONG, SHORT = 600, 30  # minutes
LINES = 100  # about as many as are told before all is there


def start(folder: Path, name: str, minutes: int, *, kill_after: int | None = None) -> int:
    """`env up` in a process of its own, killed after that many lines of what it tells."""
    command = [sys.executable, str(SCRIPT), str(folder), name, str(minutes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        for number, _ in enumerate(process.stdout or ()):
            if number == kill_after:
                process.send_signal(signal.SIGKILL)
    return process.returncode


class Scene:
    """Two environments that were brought up at once, and one whose `env up` was killed anywhere meanwhile."""

    def __init__(self, live) -> None:
        self.folder = live.folder
        self.origin = derived.origin_of(live.space)
        self.api = deployment.reachable(live.space)
        self.killed = {f"killed-{number}": number for number in random.sample(range(LINES), 1)}
        with ThreadPoolExecutor() as pool:
            whole = [pool.submit(start, live.folder, *each) for each in (("long", LONG), ("short", SHORT))]
            cut = [pool.submit(start, live.folder, name, SHORT, kill_after=at) for name, at in self.killed.items()]
        self.whole = [each.result() for each in whole]
        self.cut = [each.result() for each in cut]

    def names(self) -> set[str]:
        return {each.name for each in registry.found(self.api, self.origin)}

    def found(self, name: str) -> Found:
        environment = registry.look_up(self.api, self.origin, name)
        assert environment is not None
        return environment

    def uids(self, namespaces) -> set[str]:
        core: Any = client.CoreV1Api(self.api)
        apps: Any = client.AppsV1Api(self.api)
        return {
            each.metadata.uid
            for namespace in namespaces
            for items in (core.list_namespaced_secret, apps.list_namespaced_deployment, core.list_namespaced_service)
            for each in items(namespace).items
        }


@pytest.mark.timeout(900)
def test_environments_from_nothing_to_nothing(live, deployed):
    scene = Scene(live)
    assert scene.whole == [0, 0]
    assert set(scene.cut) == {-signal.SIGKILL}, "an `env up` was not killed in time"
    assert scene.names() == {"long", "short", *scene.killed}
    _are_whole_and_apart(scene)
    _an_up_from_elsewhere_changes_nothing_and_renews(scene)
    _reap_takes_what_is_over_and_nothing_else(scene, live)
    assert lifecycle.down(scene.origin, "long", print)
    assert not lifecycle.down(scene.origin, "long", print)
    _nothing_is_left(scene)
    assert live.up().changes == []


def _are_whole_and_apart(scene: Scene) -> None:
    core: Any = client.CoreV1Api(scene.api)

    def listed() -> dict[str, Any]:
        return {each.name: each for each in lifecycle.listed(scene.origin)}

    def settled() -> bool:
        long, short = listed()["long"], listed()["short"]
        return long.ready == long.pods == short.pods == short.ready > 10

    # The autoscaler of each brings its application to the fewest pods in its own time.
    eventually(settled, within=60)
    hosts = {
        ingress.spec.rules[0].host
        for each in listed().values()
        for ingress in client.NetworkingV1Api(scene.api).list_namespaced_ingress(each.namespace).items
        if each.name in {"long", "short"}
    }
    assert hosts == {"long.modelcard.localhost", "short.modelcard.localhost"}
    passwords = [
        core.read_namespaced_secret("database-auth", namespace).data["modelcard"]
        for namespace in ("modelcard-env-long", "modelcard-env-short", "modelcard")
    ]
    assert len(set(passwords)) == 3
    quota = core.read_namespaced_resource_quota("quota", "modelcard-env-long").status
    assert quota.hard.keys() == quota.used.keys()


def _an_up_from_elsewhere_changes_nothing_and_renews(scene: Scene) -> None:
    """On a machine that has no file of it."""
    before = scene.found("long").expires
    shutil.rmtree(scene.origin.environment("long").project)
    _, outcome = lifecycle.up(scene.origin, "long", timedelta(minutes=2 * LONG), print)
    after = scene.found("long").expires
    assert outcome.changes == []
    assert before is not None
    assert after is not None
    assert after > before


def _reap_takes_what_is_over_and_nothing_else(scene: Scene, live) -> None:
    core: Any = client.CoreV1Api(scene.api)
    kept = ["modelcard", "modelcard-observability", "modelcard-agents", *scene.found("long").namespaces]
    label = {ENVIRONMENT: "modelcard-env-short"}
    core.create_namespace({"metadata": {"name": "stranger", "labels": label}})
    # Without files, and one of them without its state.
    shutil.rmtree(scene.origin.environment("short").project)
    state = scene.origin.environment("short").state_file
    assert state is not None
    state.unlink()
    before = scene.uids([*kept, "stranger"])
    assert lifecycle.reap(scene.origin, print).removed == ()
    assert scene.uids([*kept, "stranger"]) == before
    reaped = lifecycle.reap(scene.origin, print, now=datetime.now(UTC) + timedelta(minutes=2 * SHORT))
    assert set(reaped.removed) == {"short", *scene.killed}
    assert [line.split(":")[0] for line in reaped.failed] == ["namespace stranger"]
    assert scene.uids([*kept, "stranger"]) == before
    assert scene.names() == {"long"}
    core.delete_namespace("stranger")


def _nothing_is_left(scene: Scene) -> None:
    core: Any = client.CoreV1Api(scene.api)
    assert not [each for each in core.list_namespace().items if each.metadata.name.startswith("modelcard-env-")]
    assert list(registry.outside_of_namespaces(scene.api)) == []
    rbac: Any = client.RbacAuthorizationV1Api(scene.api)
    roles = [*rbac.list_cluster_role().items, *rbac.list_cluster_role_binding().items]
    assert not [each.metadata.name for each in roles if each.metadata.name.startswith("modelcard-env-")]
    assert list((scene.folder / "state").rglob("env-*")) == []
    assert list((scene.folder / "environments").iterdir()) == []


@pytest.fixture
def origin(live):
    return derived.origin_of(live.space)


@pytest.fixture
def core(live) -> Any:
    return client.CoreV1Api(deployment.reachable(live.space))


def test_a_namespace_of_somebody_else_is_not_taken(origin, core):
    core.create_namespace({"metadata": {"name": "modelcard-env-taken-agents"}})
    try:
        with pytest.raises(UserError, match="^taken: namespace modelcard-env-taken-agents is there and is no preview"):
            lifecycle.up(origin, "taken", timedelta(hours=1), print)
        names = [each.metadata.name for each in core.list_namespace().items]
        assert "modelcard-env-taken" not in names
        assert not origin.environment("taken").project.exists()
    finally:
        core.delete_namespace("modelcard-env-taken-agents")


def test_one_that_is_renewed_while_it_is_looked_at_is_not_reaped(origin, core):
    api = deployment.reachable(origin.space)
    registry.claim(api, origin, "renewed", datetime.now(UTC) - timedelta(minutes=1))
    environment = registry.look_up(api, origin, "renewed")
    assert environment is not None
    registry.claim(api, origin, "renewed", datetime.now(UTC) + timedelta(hours=1))
    assert not registry.condemn(api, environment)
    assert lifecycle.down(origin, "renewed", print)


def test_what_is_left_without_its_first_namespace_is_reaped(origin, core, live):
    api = deployment.reachable(origin.space)
    rbac: Any = client.RbacAuthorizationV1Api(api)
    labels = {ENVIRONMENT: "modelcard-env-lost"}
    core.create_namespace({"metadata": {"name": "modelcard-env-lost-agents", "labels": labels}})
    rbac.create_cluster_role({"metadata": {"name": "modelcard-env-lost-x", "labels": labels}, "rules": []})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}
    rbac.create_namespaced_role_binding(
        "kube-system", {"metadata": {"name": "modelcard-env-lost-y", "labels": labels}, "roleRef": role}
    )
    assert lifecycle.reap(origin, print).removed == ("lost",)
    assert registry.look_up(api, origin, "lost") is None
    assert not [each for each in rbac.list_namespaced_role_binding("kube-system").items if "lost" in each.metadata.name]


def test_one_whose_end_cannot_be_read_is_told_and_left_alone(origin, core):
    labels = {ENVIRONMENT: "modelcard-env-odd"}
    annotations = {"modelcard/expires": "tomorrow"}
    core.create_namespace({"metadata": {"name": "modelcard-env-odd", "labels": labels, "annotations": annotations}})
    reaped = lifecycle.reap(origin, print)
    assert (reaped.removed, [line.split(":")[0] for line in reaped.failed]) == ((), ["odd"])
    assert lifecycle.down(origin, "odd", print)
