"""Redis is a cache: bounded, forgetful, and closed to all but its clients."""

import subprocess

import pytest
import redis

from infra.components.cache import MONITOR, redis_conf, users_acl
from infra.quantities import Memory
from tests.app.servers import REDIS, eventually, free_port
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
    assert users_acl("hunter2", "hunter3").splitlines()[0] == "user default on >hunter2 -@all +ping"


def test_the_application_may_neither_stop_nor_reconfigure_it():
    rules = users_acl("hunter2", "hunter3").splitlines()[1].split()
    assert rules[:4] == ["user", "app", "on", ">hunter2"]
    assert rules.index("+@all") < rules.index("-@admin") < rules.index("-@dangerous")


def test_there_are_no_users_but_these():
    assert [line.split()[1] for line in users_acl("hunter2", "hunter3").splitlines()] == ["default", "app", "monitor"]


def test_who_monitors_it_sees_no_key_and_changes_nothing():
    _, name, _, password, *rules = users_acl("hunter2", "hunter3").splitlines()[2].split()
    assert (name, password, rules[0]) == ("monitor", ">hunter3", "-@all")
    assert not [rule for rule in rules if rule.startswith(("~", "%", "+@"))]
    assert not {"+config", "+client", "+eval", "+get", "+set"} & set(rules)


@pytest.fixture(scope="module")
def monitor(tmp_path_factory):
    """A client of a real server, as the user for monitoring."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    (folder / "users.acl").write_text(users_acl("hunter2", "hunter3"))
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--aclfile", folder / "users.acl")
    server = subprocess.Popen([REDIS, *options, "--dir", folder], stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port, username=MONITOR, password="hunter3", driver_info=None)
    try:
        eventually(client.ping)
        yield client
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize(
    "command", ["INFO ALL", "CONFIG GET *", "SLOWLOG GET 1", "SLOWLOG LEN", "LATENCY LATEST", "CLIENT SETNAME exporter"]
)
def test_who_monitors_it_may_ask_what_the_exporter_asks(monitor, command):
    assert monitor.execute_command(*command.split()) is not None


@pytest.mark.parametrize(
    "command",
    ["GET key", "SCAN 0", "KEYS *", "CONFIG SET maxmemory 1", "ACL LIST", "CLIENT LIST", "CLIENT KILL TYPE normal",
     "SLOWLOG RESET", "LATENCY RESET", "FLUSHALL", "SHUTDOWN", "MONITOR"],
)  # fmt: skip
def test_who_monitors_it_may_do_nothing_else(monitor, command):
    with pytest.raises(redis.exceptions.NoPermissionError):
        monitor.execute_command(*command.split())


def test_the_password_is_in_secrets_only(platform):
    assert platform.one("v1:Secret", "cache-auth")["stringData"] == {"users.acl": "[secret]", "password": "[secret]"}
    assert "[secret]" not in platform.one("v1:ConfigMap", "cache-config")["data"]["redis.conf"]


def test_only_the_application_and_its_exporter_reach_it(platform):
    clients = {"modelcard-generator", "modelcard-observability/redis-exporter"}
    assert peers(platform.one("v1:NetworkPolicy", "cache-redis")) == clients
