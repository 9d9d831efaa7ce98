"""The embedded local cluster: what it simulates, how it is repaired, and that nothing is left of it."""

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from infra.environments.local import cluster as cluster_module
from infra.environments.local.cluster import COMPONENTS, TOOLS, LocalCluster
from infra.environments.local.failures import LocalClusterError
from infra.environments.local.objects import VOLUMES
from infra.environments.local.waiting import wait_until

TOOLS_FOLDER = Path(__file__).parents[2] / ".tools" / "bin"
TIMEOUT = 30
names = count()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    cluster = LocalCluster(tmp_path_factory.mktemp("shared") / "cluster", TOOLS_FOLDER)
    try:
        cluster.up(print)
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """For tests that break it."""
    cluster = LocalCluster(tmp_path / "cluster", TOOLS_FOLDER)
    try:
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def api(cluster: LocalCluster) -> client.ApiClient:
    return api_of(cluster)


@pytest.fixture
def namespace(api: client.ApiClient) -> Iterator[str]:
    name = f"test-{next(names)}"
    core: Any = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": name}})
    assert wait_until(lambda: core.list_namespaced_service_account(name).items, TIMEOUT)
    yield name
    core.delete_namespace(name)


def api_of(cluster: LocalCluster) -> client.ApiClient:
    api: client.ApiClient = config.new_client_from_config(str(cluster.kubeconfig))
    return api


def pod(image: str, *more_images: str) -> dict[str, Any]:
    containers = [{"name": f"c{number}", "image": name} for number, name in enumerate((image, *more_images))]
    return {"metadata": {"name": f"pod-{next(names)}", "labels": {"app": "x"}}, "spec": {"containers": containers}}


def claim(mode: str, size: str) -> dict[str, Any]:
    return {
        "metadata": {"name": f"claim-{next(names)}"},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": size}}},
    }


def ports_of(cluster: LocalCluster) -> list[int]:
    options = next(yaml.safe_load_all((cluster.folder / "settings.yaml").read_text()))["options"]
    return [options[option] for option in cluster_module.PORTS]


def pids_of(cluster: LocalCluster) -> dict[str, int]:
    return {component.name: component.pid for component in cluster.status().components if component.pid}


def mentioned_by_processes(folder: Path) -> list[str]:
    commands = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            commands.append(entry.read_bytes().decode(errors="replace"))
    return [command for command in commands if str(folder) in command]


def is_listening(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def test_nodes_are_ready_in_three_zones_with_their_capacity(api: client.ApiClient) -> None:
    core: Any = client.CoreV1Api(api)
    ready = {
        node.metadata.labels["topology.kubernetes.io/zone"]: (node.status.allocatable["cpu"], node.status.phase)
        for node in core.list_node().items
        for condition in node.status.conditions
        if (condition.type, condition.status) == ("Ready", "True")
    }
    assert ready == {f"local-{zone}": ("16", "Running") for zone in "abc"}


def test_deployment_becomes_ready(api: client.ApiClient, namespace: str) -> None:
    template = pod("registry.example/app:1", "registry.example/sidecar:1")
    apps: Any = client.AppsV1Api(api)
    apps.create_namespaced_deployment(
        namespace,
        {
            "metadata": {"name": "app"},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": template},
        },
    )
    assert wait_until(lambda: apps.read_namespaced_deployment("app", namespace).status.available_replicas == 3, TIMEOUT)


def test_pod_with_init_container_and_sidecar_is_ready(api: client.ApiClient, namespace: str) -> None:
    body = pod("registry.example/app:1")
    body["spec"]["initContainers"] = [
        {"name": "migrate", "image": "registry.example/app:1"},
        {"name": "proxy", "image": "registry.example/proxy:1", "restartPolicy": "Always"},
    ]
    core: Any = client.CoreV1Api(api)
    name = core.create_namespaced_pod(namespace, body).metadata.name
    assert wait_until(lambda: core.read_namespaced_pod(name, namespace).status.phase == "Running", TIMEOUT)
    migrate, proxy = core.read_namespaced_pod(name, namespace).status.init_container_statuses
    assert (migrate.state.terminated.exit_code, proxy.state.running is not None) == (0, True)


def test_job_completes(api: client.ApiClient, namespace: str) -> None:
    template = {"spec": {**pod("registry.example/task:1")["spec"], "restartPolicy": "Never"}}
    batch: Any = client.BatchV1Api(api)
    batch.create_namespaced_job(namespace, {"metadata": {"name": "task"}, "spec": {"template": template}})
    assert wait_until(lambda: batch.read_namespaced_job("task", namespace).status.succeeded == 1, TIMEOUT)


def test_deleted_pod_is_gone(api: client.ApiClient, namespace: str) -> None:
    core: Any = client.CoreV1Api(api)
    name = core.create_namespaced_pod(namespace, pod("registry.example/app:1")).metadata.name
    assert wait_until(lambda: core.read_namespaced_pod(name, namespace).status.phase == "Running", TIMEOUT)
    core.delete_namespaced_pod(name, namespace)
    assert wait_until(lambda: not core.list_namespaced_pod(namespace).items, TIMEOUT)


def test_unpullable_image_keeps_its_pod_from_being_ready(api: client.ApiClient, namespace: str) -> None:
    core: Any = client.CoreV1Api(api)
    body = pod("registry.example/app:unpullable", "registry.example/sidecar:1")
    name = core.create_namespaced_pod(namespace, body).metadata.name
    assert wait_until(lambda: core.read_namespaced_pod(name, namespace).status.container_statuses, TIMEOUT)
    status = core.read_namespaced_pod(name, namespace).status
    waiting = status.container_statuses[0].state.waiting
    assert (status.phase, waiting.reason) == ("Pending", "ImagePullBackOff")
    assert waiting.message == 'Back-off pulling image "registry.example/app:unpullable": not found'
    assert {condition.status for condition in status.conditions if condition.type == "Ready"} == {"False"}


def test_image_that_was_mended_lets_its_pod_become_ready(api: client.ApiClient, namespace: str) -> None:
    core: Any = client.CoreV1Api(api)
    name = core.create_namespaced_pod(namespace, pod("registry.example/app:unpullable")).metadata.name
    assert wait_until(lambda: core.read_namespaced_pod(name, namespace).status.container_statuses, TIMEOUT)
    core.patch_namespaced_pod(name, namespace, {"spec": {"containers": [{"name": "c0", "image": "app:1"}]}})
    assert wait_until(lambda: core.read_namespaced_pod(name, namespace).status.phase == "Running", TIMEOUT)
    assert core.read_namespaced_pod(name, namespace).status.container_statuses[0].state.waiting is None


@pytest.mark.parametrize(("mode", "size"), [("ReadWriteOnce", "8Gi"), ("ReadWriteMany", "1Ti")])
def test_claim_is_bound(api: client.ApiClient, namespace: str, mode: str, size: str) -> None:
    core: Any = client.CoreV1Api(api)
    name = core.create_namespaced_persistent_volume_claim(namespace, claim(mode, size)).metadata.name
    assert wait_until(
        lambda: core.read_namespaced_persistent_volume_claim(name, namespace).status.phase == "Bound", TIMEOUT
    )


def test_volume_of_deleted_claim_goes_back_to_the_pool(api: client.ApiClient, namespace: str) -> None:
    core: Any = client.CoreV1Api(api)
    name = core.create_namespaced_persistent_volume_claim(namespace, claim("ReadWriteOnce", "1Gi")).metadata.name

    def volume() -> str | None:
        bound: str | None = core.read_namespaced_persistent_volume_claim(name, namespace).spec.volume_name
        return bound

    assert wait_until(volume, TIMEOUT)
    used = volume()
    core.delete_namespaced_persistent_volume_claim(name, namespace)
    assert wait_until(lambda: core.read_persistent_volume(used).status.phase == "Available", TIMEOUT)
    assert core.read_persistent_volume(used).spec.claim_ref is None


def test_pool_is_not_exhausted_by_what_was_deleted(api: client.ApiClient, namespace: str) -> None:
    core: Any = client.CoreV1Api(api)

    def bound() -> int:
        claims = core.list_namespaced_persistent_volume_claim(namespace).items
        return sum(item.status.phase == "Bound" for item in claims)

    half = VOLUMES // 2 + 1
    for _ in range(2):
        for _ in range(half):
            core.create_namespaced_persistent_volume_claim(namespace, claim("ReadWriteOnce", "1Gi"))
        assert wait_until(lambda: bound() == half, TIMEOUT)
        core.delete_collection_namespaced_persistent_volume_claim(namespace)
        assert wait_until(lambda: not core.list_namespaced_persistent_volume_claim(namespace).items, TIMEOUT)


def test_ingress_and_load_balancer_have_an_address(api: client.ApiClient, namespace: str) -> None:
    network: Any = client.NetworkingV1Api(api)
    core: Any = client.CoreV1Api(api)
    backend = {"service": {"name": "app", "port": {"number": 80}}}
    network.create_namespaced_ingress(namespace, {"metadata": {"name": "app"}, "spec": {"defaultBackend": backend}})
    service = {"metadata": {"name": "app"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
    core.create_namespaced_service(namespace, service)
    assert wait_until(lambda: network.read_namespaced_ingress("app", namespace).status.load_balancer.ingress, TIMEOUT)
    assert wait_until(lambda: core.read_namespaced_service("app", namespace).status.load_balancer.ingress, TIMEOUT)


def test_restricted_namespace_refuses_a_privileged_pod(api: client.ApiClient, namespace: str) -> None:
    core: Any = client.CoreV1Api(api)
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.patch_namespace(namespace, {"metadata": {"labels": label}})
    body = pod("registry.example/app:1")
    body["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    with pytest.raises(client.ApiException, match='violates PodSecurity \\\\"restricted'):
        core.create_namespaced_pod(namespace, body)


def test_what_has_no_role_is_forbidden(api: client.ApiClient, namespace: str) -> None:
    authorization: Any = client.AuthorizationV1Api(api)
    review = authorization.create_subject_access_review(
        {
            "spec": {
                "user": f"system:serviceaccount:{namespace}:default",
                "resourceAttributes": {"namespace": namespace, "verb": "get", "resource": "secrets"},
            }
        }
    )
    assert not review.status.allowed


def test_status_of_a_running_cluster(cluster: LocalCluster) -> None:
    status = cluster.status()
    assert (status.running, status.nodes_ready) == (True, 3)
    assert {component.name for component in status.components if component.running} == set(COMPONENTS)
    assert status.server == api_of(cluster).configuration.host


def test_up_again_is_quick_and_changes_nothing(cluster: LocalCluster) -> None:
    before = pids_of(cluster)
    start = time.monotonic()
    assert cluster.up(print) == "running"
    assert time.monotonic() - start < 3
    assert pids_of(cluster) == before


def test_kubeconfig_is_for_its_owner_only(cluster: LocalCluster) -> None:
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_listens_on_this_computer_only(cluster: LocalCluster) -> None:
    ports = {f"{port:04X}" for port in ports_of(cluster)}
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    listening = [line[1].split(":") for line in lines if line[3] == "0A"]
    assert {address for address, port in listening if port in ports} == {"0100007F"}


def test_two_clusters_run_at_the_same_time_and_down_leaves_nothing(
    cluster: LocalCluster, own_cluster: LocalCluster
) -> None:
    assert own_cluster.up(print) == "created"
    assert cluster.status().running
    assert own_cluster.status().running
    ports = ports_of(own_cluster)
    own_cluster.down()
    assert mentioned_by_processes(own_cluster.folder) == []
    assert [port for port in ports if is_listening(port)] == []
    assert list(own_cluster.folder.parent.iterdir()) == []
    assert cluster.status().running


@pytest.mark.parametrize("victims", [("kube-apiserver",), ("etcd", "kube-scheduler"), COMPONENTS])
def test_killed_cluster_is_repaired_with_what_it_held(own_cluster: LocalCluster, victims: tuple[str, ...]) -> None:
    own_cluster.up(print)
    core: Any = client.CoreV1Api(api_of(own_cluster))
    core.create_namespace({"metadata": {"name": "precious"}})
    for name in victims:
        os.kill(pids_of(own_cluster)[name], signal.SIGKILL)
    assert not own_cluster.status().running
    assert own_cluster.up(print) == "restarted"
    assert own_cluster.status().running
    assert core.read_namespace("precious").metadata.name == "precious"


def test_pid_files_that_name_other_programs_are_not_believed(own_cluster: LocalCluster) -> None:
    own_cluster.up(print)
    for pid in pids_of(own_cluster).values():
        os.kill(pid, signal.SIGKILL)
    for pid_file in own_cluster.folder.rglob("*.pid"):
        pid_file.write_text(str(os.getpid()))
    assert own_cluster.up(print) == "restarted"


def test_cluster_whose_data_is_damaged_is_created_anew(own_cluster: LocalCluster) -> None:
    own_cluster.up(print)
    for pid in pids_of(own_cluster).values():
        os.kill(pid, signal.SIGKILL)
    (database,) = own_cluster.folder.rglob("snap/db")
    database.write_bytes(b"damaged")
    said: list[str] = []
    assert own_cluster.up(said.append) == "created"
    assert [line for line in said if "etcd stopped" in line]


def test_half_created_cluster_is_created_anew(own_cluster: LocalCluster) -> None:
    own_cluster.up(print)
    own_cluster.kubeconfig.unlink()
    assert own_cluster.up(print) == "created"
    assert len(mentioned_by_processes(own_cluster.folder)) == len(COMPONENTS) + 1  # and the cloud


def test_down_finds_the_processes_of_a_folder_that_was_removed(own_cluster: LocalCluster) -> None:
    own_cluster.up(print)
    shutil.rmtree(own_cluster.folder, ignore_errors=True)
    own_cluster.down()
    assert mentioned_by_processes(own_cluster.folder) == []
    assert not own_cluster.folder.exists()


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalClusterError, match=r"^cannot write .*/file"):
        LocalCluster(tmp_path / "file" / "cluster", TOOLS_FOLDER).up(print)


def test_ups_at_the_same_time_make_one_cluster(own_cluster: LocalCluster) -> None:
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda _: own_cluster.up(print), range(2)))
    assert sorted(outcomes) == ["created", "running"]


def test_port_that_was_taken_meanwhile_is_named(own_cluster: LocalCluster) -> None:
    own_cluster.up(print)
    port = ports_of(own_cluster)[2]
    for pid in pids_of(own_cluster).values():
        os.kill(pid, signal.SIGKILL)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        assert wait_until(lambda: not is_listening(port), TIMEOUT)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(LocalClusterError, match=rf"port {port}, which kube-apiserver of the cluster in .* uses"):
            own_cluster.up(print)


def test_component_that_dies_is_named_with_its_last_words(own_cluster: LocalCluster, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(TOOLS_FOLDER / tool)
    (tools / "etcd").unlink()
    script = '#!/bin/sh\n[ "$1" = --version ] && echo "etcd Version: 3.6.4" && exit\necho "I give up" >&2\nexit 1\n'
    (tools / "etcd").write_text(script)
    (tools / "etcd").chmod(0o700)
    broken = LocalCluster(own_cluster.folder, tools)
    with pytest.raises(LocalClusterError, match=r"^etcd stopped: I give up \(log: .*/logs/etcd.log\)$"):
        broken.up(print)
    assert mentioned_by_processes(own_cluster.folder) == []


def test_missing_tools_are_named(tmp_path: Path) -> None:
    with pytest.raises(LocalClusterError, match=r"etcd, kube-apiserver, .* not found in .*: run `make tools`"):
        LocalCluster(tmp_path / "cluster", tmp_path).up(print)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "SPACE_NEEDED", 2**60)
    cluster = LocalCluster(tmp_path / "cluster", TOOLS_FOLDER)
    with pytest.raises(LocalClusterError, match=r"the disk of .* is full"):
        cluster.up(print)
    cluster.down()


def test_down_of_nothing_and_status_of_nothing(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path / "cluster", TOOLS_FOLDER)
    cluster.down()
    assert not cluster.status().running
    assert list(tmp_path.iterdir()) == []
