"""Elasticsearch: closed, encrypted, with logins; one node or three."""

from __future__ import annotations

import bcrypt
import pytest
import yaml

from infra.components.elasticsearch import elasticsearch_config, heap_options
from infra.environments.secrets import generate
from infra.quantities import Memory
from infra.settings import Snapshots
from tests.conftest import container_of, peers, platform_of, pod_of, settings_of


@pytest.fixture
def stateful_set(platform):
    return platform.one("apps/v1:StatefulSet", "elasticsearch")


def config_of(stack: str):
    files = platform_of(stack).one("v1:ConfigMap", "elasticsearch-config")["data"]
    return yaml.safe_load(files["elasticsearch.yml"])


@pytest.mark.parametrize("stack", ["local", "dev", "prod"])
def test_it_asks_everybody_for_a_login_over_tls(stack):
    config = config_of(stack)
    assert config["xpack.security.enabled"] is True
    assert config["xpack.security.http.ssl"]["enabled"] is True
    assert config["xpack.security.transport.ssl"]["enabled"] is True
    assert [key for key in config if "anonymous" in key] == []


def test_a_node_lets_nobody_join_without_a_clients_certificate():
    assert config_of("prod")["xpack.security.transport.ssl"]["client_authentication"] == "required"


def test_three_nodes_find_each_other_by_name():
    config = config_of("prod")
    names = [f"elasticsearch-{index}" for index in range(3)]
    assert config["cluster.initial_master_nodes"] == names
    assert config["discovery.seed_hosts"] == [f"{name}.elasticsearch-peers" for name in names]
    assert "discovery.type" not in config


def test_one_node_looks_for_no_other():
    assert config_of("dev")["discovery.type"] == "single-node"
    assert "discovery.seed_hosts" not in config_of("dev")


def test_no_container_needs_to_change_the_node(stateful_set):
    assert config_of("prod")["node.store.allow_mmap"] is False
    privileged = [each["securityContext"]["privileged"] for each in pod_of(stateful_set)["initContainers"]]
    assert privileged == [False]


def test_the_heap_is_half_of_the_memory():
    assert heap_options(Memory("8Gi")).splitlines()[:2] == ["-Xms4096m", "-Xmx4096m"]


def test_each_node_has_a_volume_that_stays(stateful_set):
    (claim,) = stateful_set["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "200Gi"


def test_the_nodes_are_kept_apart(stateful_set):
    assert "podAntiAffinity" in pod_of(stateful_set)["affinity"]


def test_only_its_clients_reach_it(platform):
    clients = {"logstash", "kibana", "log-setup", "elasticsearch-exporter"}
    assert peers(platform.one("NetworkPolicy", "elasticsearch")) == clients
    assert peers(platform.one("NetworkPolicy", "elasticsearch-transport")) == {"elasticsearch"}


def test_its_configuration_holds_no_secret(platform, stateful_set):
    assert "[secret]" not in str(platform.one("v1:ConfigMap", "elasticsearch-config")["data"])
    assert "[secret]" not in str(stateful_set)


def test_the_superuser_of_the_setup_is_a_file_with_a_hash_only():
    login = generate(settings_of("prod"), authority=None)["elasticsearch_setup_login"]
    assert login["hash"].startswith("$2a$")
    assert bcrypt.checkpw(login["password"].encode(), login["hash"].encode())


def test_without_keys_it_goes_nowhere(platform):
    assert [each.name for each in platform.all("NetworkPolicy") if each.name == "elasticsearch-to-internet"] == []


def test_with_keys_it_reaches_the_bucket_and_keeps_them_out_of_sight(extended):
    assert extended.one("NetworkPolicy", "elasticsearch-to-internet")
    assert set(extended.one("v1:Secret", "elasticsearch-snapshots")["stringData"]) == {"access_key", "secret_key"}
    assert "--snapshots=modelcard-backups" in container_of(extended.one("batch/v1:Job", "log-setup"))["args"]


def test_another_endpoint_is_told():
    snapshots = Snapshots(access_key="a", secret_key="b", endpoint="s3.example.com")
    assert elasticsearch_config(1, snapshots)["s3.client.default.endpoint"] == "s3.example.com"
