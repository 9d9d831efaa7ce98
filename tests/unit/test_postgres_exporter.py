"""The exporter of PostgreSQL logs in as the role for monitoring, over TLS that it verifies."""

from urllib.parse import parse_qs, urlsplit

import pytest

from infra.components.database import MONITOR, PG_HBA, login
from infra.components.postgres_exporter import METRICS
from tests.conftest import container_of, peers, platform_of, settings_of, workloads

SCRAPE_TIMEOUT = 10  # seconds, Prometheus' own
COLLECTORS = ("database_wraparound", "long_running_transactions", "postmaster")


@pytest.fixture
def container(platform):
    return container_of(platform.one("v1:Deployment", "postgres-exporter"))


@pytest.fixture
def environment(container):
    return {each["name"]: each["value"] for each in container["env"]}


def test_it_verifies_whom_it_sends_the_password_to(container, environment):
    address = urlsplit(f"//{environment['DATA_SOURCE_URI']}")
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert (address.hostname, address.port) == ("database-postgres.modelcard", 5432)
    options = parse_qs(address.query)
    assert (options["sslmode"], options["sslrootcert"]) == (["verify-full"], ["/run/secrets/tls/ca.crt"])
    assert "/run/secrets/tls" in mounts


@pytest.mark.parametrize("stack", ["local", "dev", "prod"])
def test_the_database_is_called_by_a_name_that_is_in_its_certificate(stack):
    container = container_of(workloads(platform_of(stack))["postgres-exporter"])
    (address,) = [each["value"] for each in container["env"] if each["name"] == "DATA_SOURCE_URI"]
    assert address.startswith(f"database-postgres.{settings_of(stack).namespace}:5432/")


def test_it_comes_as_a_role_that_the_database_admits_to_that_database(environment):
    admitted = {tuple(line.split()[:3]) for line in PG_HBA.splitlines()}
    database = environment["DATA_SOURCE_URI"].partition("/")[2].partition("?")[0]
    assert environment["DATA_SOURCE_USER"] == login(MONITOR, 0)
    assert ("hostssl", database, f"+{MONITOR}") in admitted


def test_the_password_is_a_file(platform, container, environment):
    folder, _, file = environment["DATA_SOURCE_PASS_FILE"].rpartition("/")
    assert folder in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert platform.one("v1:Secret", "postgres-exporter-login")["stringData"] == {file: "[secret]"}


def test_it_says_that_the_database_is_silent_before_prometheus_gives_up(environment):
    (seconds,) = parse_qs(environment["DATA_SOURCE_URI"].partition("?")[2])["connect_timeout"]
    assert int(seconds) < SCRAPE_TIMEOUT


@pytest.mark.parametrize("collector", COLLECTORS)
def test_it_tells_what_it_would_not_tell_by_default(container, collector):
    assert f"--collector.{collector}" in container["args"]


def test_it_may_reach_the_database_and_nothing_else(platform):
    policies = [each.inputs for each in platform.all("v1:NetworkPolicy") if "postgres-exporter-to-" in each.name]
    reached = {peer for policy in policies if policy["spec"]["policyTypes"] == ["Egress"] for peer in peers(policy)}
    assert {each["metadata"]["name"] for each in policies if "prometheus-to" not in each["metadata"]["name"]} == {
        "postgres-exporter-to-database-postgres"
    }
    assert "modelcard/database-postgres" in reached


def test_prometheus_finds_it_where_it_listens(container):
    assert container["ports"] == [{"name": "metrics", "containerPort": METRICS.port}]
    assert f"--web.listen-address=:{METRICS.port}" in container["args"]
