"""The blackbox exporter tries the service as a user would, and the certificate of every server that has one."""

import pytest
import yaml

from infra.environments.secrets import SERVERS
from tests.conftest import container_of, peers, platform_of, settings_of, workloads

# They have no address of their own, or speak TLS only after a word in plain: what Prometheus asks of them is TLS too,
# and all certificates are issued on the same day. Logstash talks to nobody without a certificate of his own.
UNSEEN = {"database", "nginx_exporter", "node_exporter", "blackbox_exporter", "logstash"}
CLIENTS_TOO = {"elasticsearch"}  # have a certificate for both


@pytest.fixture
def modules(platform):
    return yaml.safe_load(platform.one("v1:ConfigMap", "blackbox-exporter-config")["data"]["blackbox.yml"])["modules"]


def targets(stack: str, module: str) -> list[str]:
    config = platform_of(stack).one("v1:ConfigMap", "prometheus-config")["data"]["prometheus.yml"]
    (job,) = [each for each in yaml.safe_load(config)["scrape_configs"] if each["job_name"] == "probe"]
    (found,) = [each["targets"] for each in job["static_configs"] if each["labels"]["probe"] == module]
    return list(found)


def test_the_service_is_there_if_it_answers_with_a_page(modules):
    assert modules["service"]["prober"] == "http"
    assert modules["service"]["http"]["valid_status_codes"] == [200]


def test_a_certificate_is_good_if_the_authority_vouches_for_the_name_that_was_called(modules):
    assert modules["certificate"]["tcp"]["tls"] is True
    assert modules["certificate"]["tcp"]["tls_config"] == {"ca_file": "/run/secrets/tls/ca.crt"}


def test_a_probe_ends_before_prometheus_gives_up(modules):
    assert {each["timeout"] for each in modules.values()} == {"5s"}


def test_every_module_that_prometheus_names_is_there(modules):
    assert set(modules) == {"service", "certificate"}
    assert targets("prod", "service")


@pytest.mark.parametrize("stack", ["local", "dev", "prod"])
def test_the_service_is_tried_through_nginx_by_a_page_without_login(stack):
    assert targets(stack, "service") == [f"http://edge-nginx.{settings_of(stack).namespace}:8080/docs"]


def test_every_server_with_a_certificate_is_tried_by_name():
    tried = {target.partition(".")[0] for target in targets("prod", "certificate")}
    assert tried == {server.name for name, server in SERVERS.items() if name not in UNSEEN} | CLIENTS_TOO


@pytest.mark.parametrize("stack", ["local", "dev", "prod"])
def test_every_target_is_a_service_at_its_port_that_it_may_reach(stack):
    platform = platform_of(stack)
    services = {
        f"{each.inputs['metadata']['name']}.{each.inputs['metadata']['namespace']}:{port['port']}"
        for each in platform.all("core/v1:Service")
        for port in each.inputs["spec"]["ports"]
    }
    addresses = {each.removeprefix("http://").partition("/")[0] for module in ("service", "certificate")
                 for each in targets(stack, module)}  # fmt: skip
    assert addresses <= services
    policies = [
        each.inputs for each in platform.all("v1:NetworkPolicy") if each.name.startswith("blackbox-exporter-to")
    ]
    reached = {(peer.rpartition("/")[2], port["port"]) for policy in policies for rule in policy["spec"]["egress"]
               for port in rule["ports"] for peer in peers(policy)}  # fmt: skip
    assert reached == {(each.partition(".")[0], int(each.rpartition(":")[2])) for each in addresses}


def test_its_own_page_is_tls(platform):
    args = container_of(workloads(platform)["blackbox-exporter"])["args"]
    assert "--web.config.file=/etc/modelcard/web/web.yml" in args
    web = yaml.safe_load(platform.one("v1:ConfigMap", "blackbox-exporter-web")["data"]["web.yml"])
    assert web["tls_server_config"] == {
        "cert_file": "/run/secrets/tls/tls.crt", "key_file": "/run/secrets/tls/tls.key", "min_version": "TLS12",
    }  # fmt: skip
