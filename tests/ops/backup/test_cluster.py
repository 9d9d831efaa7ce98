"""Cluster objects as they come from a real API server, and go to another namespace of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config

from infra.environments.local.cluster import LocalCluster
from infra.environments.workspace import ROOT
from modelcard_ops.backup import cluster
from modelcard_ops.backup import restore as restores
from modelcard_ops.backup import run as runs
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.restore import Request
from tests.ops.backup.world import World


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    local = LocalCluster(tmp_path_factory.mktemp("cluster"), ROOT / ".tools" / "bin")
    local.up(lambda _: None)
    yield local.kubeconfig
    local.down()


@pytest.fixture
def core(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> client.CoreV1Api:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    config.load_kube_config(str(kubeconfig))
    monkeypatch.setattr(cluster, "api", lambda: client.CoreV1Api(config.new_client_from_config(str(kubeconfig))))
    return cluster.api()


def namespace(core: client.CoreV1Api, name: str) -> str:
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    return name


def test_objects_are_cleaned_saved_and_created_elsewhere(quick: World, core: client.CoreV1Api, tmp_path: Path) -> None:
    source, target = namespace(core, "source"), namespace(core, "target")
    applied = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"data": "secret in plain"})}
    core.create_namespaced_secret(source, {
        "metadata": {"name": "login", "labels": {"app": "x"}, "annotations": applied},
        "data": {"password": base64.b64encode(b"correct horse").decode()},
    })  # fmt: skip
    core.create_namespaced_config_map(source, {"metadata": {"name": "settings"}, "data": {"a": "1"}})
    core.create_namespaced_config_map(target, {"metadata": {"name": "settings"}, "data": {"a": "of today"}})
    settings = quick.settings(namespace=source, config_maps="settings", secrets="login")

    made = runs.run(settings, quick.told.append)
    key = tmp_path / "key"
    key.write_text(quick.recipient_key)
    request = Request(set_id=made.id, namespace=target, identity_file=key)
    done = restores.execute(settings, restores.plan(settings, request, quick.told.append), quick.told.append)

    assert made.missing == {}
    assert done.created == 1
    secret = core.read_namespaced_secret("login", target)
    assert base64.b64decode(secret.data["password"]) == b"correct horse"
    assert secret.metadata.labels == {"app": "x"}
    assert not secret.metadata.annotations
    assert core.read_namespaced_config_map("settings", target).data == {"a": "of today"}
    assert f"ConfigMap {target}/settings: is there, and is left as it is" in quick.told


def test_a_name_that_is_not_there_makes_the_set_partial(quick: World, core: client.CoreV1Api) -> None:
    source = namespace(core, "incomplete")
    made = runs.run(quick.settings(namespace=source, secrets="login"), quick.told.append)
    assert made.missing == {"cluster": f"Secret {source}/login: Not Found"}


def test_a_namespace_that_is_not_there_is_said(quick: World, core: client.CoreV1Api) -> None:
    wanted = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {}}]
    with pytest.raises(BackupError, match="there is no namespace nowhere: create it first"):
        cluster.create(core, "nowhere", wanted, quick.told.append)


def test_tokens_that_a_cluster_makes_are_not_saved() -> None:
    found = {"metadata": {"name": "default-token"}, "type": "kubernetes.io/service-account-token", "data": {}}
    assert cluster.cleaned("Secret", found) is None


def test_nothing_but_the_two_kinds_is_ever_created() -> None:
    body = json.dumps([{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding"}]).encode()
    with pytest.raises(BackupError, match="which no backup of ours saves: nothing is created"):
        cluster.objects(body)
