"""PostgreSQL is sized by its memory, speaks TLS only, and keeps its data where that matters."""

import pytest

from infra.components.database import PG_HBA, postgresql_conf
from infra.quantities import Memory
from tests.conftest import container_of, directives, peers, platform_of, pod_of


@pytest.mark.parametrize(
    ("memory", "max_connections", "numbers"),
    [
        ("4Gi", 200, ["200", "1024MB", "2048MB", "204MB", "5242kB"]),
        ("1Gi", 200, ["200", "256MB", "512MB", "51MB", "1310kB"]),
        ("512Mi", 50, ["50", "128MB", "256MB", "25MB", "2621kB"]),
        ("64Mi", 1000, ["1000", "16MB", "32MB", "3MB", "64kB"]),
    ],
)
def test_its_numbers_follow_memory(memory, max_connections, numbers):
    conf = directives(postgresql_conf(Memory(memory), max_connections), "=")
    names = ("max_connections", "shared_buffers", "effective_cache_size", "maintenance_work_mem", "work_mem")
    assert [conf[name] for name in names] == numbers


def test_its_container_has_the_memory_that_its_numbers_follow(each_platform):
    conf = directives(each_platform.one("v1:ConfigMap", "database-config")["data"]["postgresql.conf"], "=")
    container = container_of(each_platform.one("v1:StatefulSet", "database-postgres"))
    assert conf["shared_buffers"] == f"{Memory(container['resources']['limits']['memory']).share(25)}MB"


def test_the_largest_application_can_connect(each_platform):
    conf = directives(each_platform.one("v1:ConfigMap", "database-config")["data"]["postgresql.conf"], "=")
    scaler = each_platform.one("v2:HorizontalPodAutoscaler", "modelcard-generator-hpa")["spec"]
    assert int(conf["max_connections"]) > scaler["maxReplicas"] + 1  # of a rollout


def test_who_comes_over_the_network_must_use_tls_and_a_password():
    lines = [line.split() for line in PG_HBA.splitlines()]
    network = [line for line in lines if line[0] != "local"]
    assert {(kind, database, user, method) for kind, database, user, _, method in network} == {
        ("hostssl", "modelcard", "modelcard", "scram-sha-256"),
        ("hostssl", "modelcard", "monitor", "scram-sha-256"),
    }


def test_nobody_connects_without_a_password():
    assert {line.split()[-1] for line in PG_HBA.splitlines()} == {"scram-sha-256"}


def test_tls_is_on_and_modern():
    conf = directives(postgresql_conf(Memory("1Gi"), 100), "=")
    assert (conf["ssl"], conf["ssl_min_protocol_version"]) == ("on", "TLSv1.2")


def test_every_file_that_it_names_is_mounted(platform):
    stateful_set = platform.one("v1:StatefulSet", "database-postgres")
    conf = directives(postgresql_conf(Memory("1Gi"), 100), "=")
    mounts = {mount["mountPath"] for mount in container_of(stateful_set)["volumeMounts"]}
    files = {conf[name].strip("'").rsplit("/", 1)[0] for name in ("ssl_cert_file", "ssl_key_file")}
    assert files | {conf["unix_socket_directories"].strip("'")} <= mounts


def test_its_data_is_on_a_claim_that_can_grow(platform):
    stateful_set = platform.one("v1:StatefulSet", "database-postgres")
    claim = platform.one("v1:PersistentVolumeClaim", "database-data")
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "200Gi"}}}
    assert "volumeClaimTemplates" not in stateful_set["spec"]
    volumes = {volume["name"]: volume for volume in pod_of(stateful_set)["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}


@pytest.mark.parametrize(("stack", "protected"), [("local", False), ("dev", False), ("prod", True)])
def test_what_holds_data_is_protected_in_prod_only(stack, protected):
    kept = {
        (each.type.rsplit(":")[-1], each.name)
        for each in platform_of(stack).registrations
        if each.protect and each.retain_on_delete
    }
    data = {
        ("Namespace", "modelcard"),
        ("StatefulSet", "database-postgres"),
        ("PersistentVolumeClaim", "database-data"),
        ("PersistentVolumeClaim", "app-uploads"),
    }
    assert kept == (data if protected else set())


def test_the_data_folder_is_below_the_volume(platform):
    (bootstrap,) = pod_of(platform.one("v1:StatefulSet", "database-postgres"))["initContainers"]
    variables = {each["name"]: each["value"] for each in bootstrap["env"]}
    assert variables["PGDATA"] == "/var/lib/postgresql/data/pgdata"


def test_only_the_application_and_its_exporter_reach_it(platform):
    clients = {"modelcard-generator", "modelcard-observability/postgres-exporter"}
    assert peers(platform.one("v1:NetworkPolicy", "database-postgres")) == clients
