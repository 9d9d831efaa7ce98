"""The exporter of Redis logs in as the user for monitoring, over TLS on both sides."""

import json

import pytest

from infra.components.redis_exporter import METRICS
from tests.conftest import container_of
from tests.system.pods import files_of

ADDRESS = "cache-redis.modelcard:6379"


@pytest.fixture
def container(platform):
    return container_of(platform.one("v1:Deployment", "redis-exporter"))


def option(container, name: str) -> str:
    (found,) = [each.partition("=")[2] for each in container["args"] if each.startswith(f"-{name}=")]
    return found


def test_it_calls_the_cache_by_tls_and_verifies_it(container):
    assert option(container, "redis.addr") == f"rediss://{ADDRESS}"
    assert option(container, "tls-ca-cert-file") == "/run/secrets/tls/ca.crt"
    assert not [each for each in container["args"] if "skip-tls-verification" in each]


def test_it_is_called_by_tls(container):
    files = [option(container, f"tls-server-{what}-file") for what in ("cert", "key")]
    assert files == ["/run/secrets/tls/tls.crt", "/run/secrets/tls/tls.key"]


def test_the_password_is_a_file_that_only_its_pod_reads(platform, container):
    assert option(container, "redis.password-file") == "/run/secrets/redis/passwords.json"
    assert platform.one("v1:Secret", "redis-exporter-login")["stringData"] == {"passwords.json": "[secret]"}
    assert not [each for each in container["args"] if each.startswith(("-redis.password=", "--redis.password="))]


def test_it_looks_its_password_up_by_the_address_that_it_calls(platform, container):
    text = files_of(platform, "Secret", "redis-exporter-login", "modelcard-observability")["passwords.json"]
    user = option(container, "redis.user")
    assert json.loads(text) == {f"rediss://{ADDRESS}": "[secret]", f"rediss://{user}@{ADDRESS}": "[secret]"}


def test_prometheus_finds_it_where_it_listens(container):
    assert container["ports"] == [{"name": "metrics", "containerPort": METRICS.port}]
    assert option(container, "web.listen-address") == f":{METRICS.port}"
