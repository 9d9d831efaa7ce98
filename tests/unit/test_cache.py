"""Redis is a cache: bounded, forgetful, and closed to all but its clients."""

import pytest

from infra.components.cache import redis_conf, users_acl
from infra.quantities import Memory
from tests.conftest import container_of, directives, peers


@pytest.mark.parametrize(("memory", "maxmemory"), [("256Mi", "192mb"), ("1Gi", "768mb"), ("4Gi", "3072mb")])
def test_three_quarters_of_the_memory_are_for_data(memory, maxmemory):
    assert directives(redis_conf(Memory(memory)))["maxmemory"] == maxmemory


def test_the_least_recently_used_entry_makes_room():
    assert directives(redis_conf(Memory("1Gi")))["maxmemory-policy"] == "allkeys-lru"


def test_nothing_is_ever_written_to_a_disk():
    conf = directives(redis_conf(Memory("1Gi")))
    assert (conf["save"], conf["appendonly"]) == ('""', "no")


def test_it_has_no_volume_that_outlives_the_pod(platform):
    volumes = platform.one("v1:Deployment", "cache-redis")["spec"]["template"]["spec"]["volumes"]
    assert {kind for volume in volumes for kind in volume if kind != "name"} == {"configMap", "secret", "emptyDir"}


def test_it_speaks_tls_only(platform):
    conf = directives(redis_conf(Memory("1Gi")))
    (port,) = container_of(platform.one("v1:Deployment", "cache-redis"))["ports"]
    assert (conf["port"], conf["tls-port"]) == ("0", str(port["containerPort"]))


def test_a_client_without_a_user_can_do_nothing_but_ping():
    assert users_acl("hunter2").splitlines()[0] == "user default on >hunter2 -@all +ping"


def test_the_application_may_neither_stop_nor_reconfigure_it():
    rules = users_acl("hunter2").splitlines()[1].split()
    assert rules[:4] == ["user", "app", "on", ">hunter2"]
    assert rules.index("+@all") < rules.index("-@admin") < rules.index("-@dangerous")


def test_there_are_no_users_but_these():
    assert [line.split()[1] for line in users_acl("hunter2").splitlines()] == ["default", "app"]


def test_the_password_is_in_secrets_only(platform):
    assert platform.one("v1:Secret", "cache-auth")["stringData"] == {"users.acl": "[secret]", "password": "[secret]"}
    assert "[secret]" not in platform.one("v1:ConfigMap", "cache-config")["data"]["redis.conf"]


def test_only_the_application_reaches_it(platform):
    assert peers(platform.one("v1:NetworkPolicy", "cache-redis")) == {"modelcard-generator"}
