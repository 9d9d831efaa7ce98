"""PostgreSQL is sized by its memory, speaks TLS only, and keeps its data where that matters."""

import pytest

from infra.components.database import PG_HBA, PG_IDENT, postgresql_conf
from infra.quantities import Memory
from tests.conftest import container_of, directives, everything_that_runs, peers, platform_of, pod_of


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
    conf = directives(postgresql_conf(Memory(memory), max_connections, 60), "=")
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
        ("hostssl", "modelcard", "+modelcard", "scram-sha-256"),
        ("hostssl", "modelcard", "+monitor", "scram-sha-256"),
    }


def test_nobody_connects_without_a_password_but_who_runs_in_the_pod():
    without = [line.split() for line in PG_HBA.splitlines() if not line.endswith("scram-sha-256")]
    assert without == [
        ["local", "all", "postgres", "peer", "map=pod"],
        ["local", "postgres", "backup", "peer", "map=pod"],
    ]
    assert PG_IDENT == "pod postgres postgres\npod postgres backup\n"


def test_its_log_is_archived_at_least_twice_as_often_as_what_may_be_lost(extended):
    conf = directives(extended.one("v1:ConfigMap", "database-config")["data"]["postgresql.conf"], "=")
    assert (conf["archive_mode"], conf["archive_timeout"]) == ("on", "60s")
    assert conf["archive_command"] == "'pgbackrest --stanza=modelcard archive-push %p'"


def test_log_that_cannot_be_archived_leaves_most_of_the_volume_to_the_data(each_platform):
    conf = directives(each_platform.one("v1:ConfigMap", "database-config")["data"]["pgbackrest.conf"], "=")
    claim = each_platform.one("v1:PersistentVolumeClaim", "database-data")["spec"]["resources"]["requests"]["storage"]
    assert conf["archive-push-queue-max"] == f"{Memory(claim).share(25)}MiB"


def test_the_repository_is_encrypted_by_a_passphrase_that_no_config_map_holds(each_platform):
    conf = each_platform.one("v1:ConfigMap", "database-config")["data"]["pgbackrest.conf"]
    assert "repo1-cipher-type=aes-256-cbc" in conf
    assert "pass" not in conf
    assert each_platform.one("v1:Secret", "database-archive")["stringData"] == {"secret.conf": "[secret]"}


def test_only_the_backup_reads_its_files_and_only_by_certificate(each_platform):
    assert peers(each_platform.one("v1:NetworkPolicy", "database-postgres-pgbackrest")) == {"backup-run"}
    conf = directives(each_platform.one("v1:ConfigMap", "database-config")["data"]["pgbackrest.conf"], "=")
    assert conf["tls-server-auth"] == "modelcard-backup=modelcard"


def test_the_archive_is_reached_by_a_role_of_its_own_and_no_key(platform):
    account = platform.one("v1:ServiceAccount", "database-postgres")["metadata"]["annotations"]
    assert account["eks.amazonaws.com/role-arn"].endswith(":role/modelcard-backups-archiver")
    conf = directives(platform.one("v1:ConfigMap", "database-config")["data"]["pgbackrest.conf"], "=")
    assert conf["repo1-s3-key-type"] == "web-id"
    volumes = pod_of(platform.one("v1:StatefulSet", "database-postgres"))["volumes"]
    (token,) = [each["projected"]["sources"][0]["serviceAccountToken"] for each in volumes if "projected" in each]
    assert token["audience"] == "sts.amazonaws.com"


def test_tls_is_on_and_modern():
    conf = directives(postgresql_conf(Memory("1Gi"), 100, 60), "=")
    assert (conf["ssl"], conf["ssl_min_protocol_version"]) == ("on", "TLSv1.2")


def test_every_file_that_it_names_is_mounted(platform):
    stateful_set = platform.one("v1:StatefulSet", "database-postgres")
    conf = directives(postgresql_conf(Memory("1Gi"), 100, 60), "=")
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
        ("StatefulSet", "elasticsearch"),
        ("PersistentVolumeClaim", "database-data"),
        ("PersistentVolumeClaim", "app-uploads"),
        ("StatefulSet", "incident-responder"),
        ("PersistentVolumeClaim", "incidents-data"),
        ("Key", "backup-storage-key"),
        ("Key", "backup-storage-replica-key"),
        *(
            (kind, f"backup-storage-{bucket}{suffix}")
            for bucket in ("bucket", "replica", "logs")
            for kind, suffix in (("Bucket", ""), ("BucketVersioning", "-versioning"))
        ),
        ("BucketObjectLockConfiguration", "backup-storage-bucket-lock"),
        ("BucketObjectLockConfiguration", "backup-storage-replica-lock"),
    }
    assert kept == (data if protected else set())


def test_the_data_folder_is_below_the_volume(platform):
    (bootstrap,) = pod_of(platform.one("v1:StatefulSet", "database-postgres"))["initContainers"]
    variables = {each["name"]: each["value"] for each in bootstrap["env"]}
    assert variables["PGDATA"] == "/var/lib/postgresql/data/pgdata"


def test_only_the_application_its_exporter_the_responder_and_its_backups_reach_it(platform):
    observability = {f"modelcard-observability/{name}" for name in ("postgres-exporter", "incident-responder")}
    clients = {"modelcard-generator", "backup-run", "backup-drill", *observability}
    assert peers(platform.one("v1:NetworkPolicy", "database-postgres")) == clients


def test_the_pod_adopts_orphans_for_postgresql_and_no_other_pod_shares_its_processes(each_platform):
    pods = {name: pod_of(each) for name, each in everything_that_runs(each_platform).items()}
    assert [name for name, pod in pods.items() if pod.get("shareProcessNamespace")] == ["database-postgres"]
