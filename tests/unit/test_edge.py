"""nginx lets in what users need, and nothing that is the operators' business."""

import re

import pytest

from infra.components.edge import METRICS, PORT, nginx_conf
from infra.quantities import Memory
from tests.conftest import container_of, peers, pod_of

CONF = nginx_conf("modelcard-generator:8080", Memory("100Mi"))


def answer(path: str) -> str:
    """The body of the location that nginx takes: the equal one, the first expression that fits, the longest prefix."""
    locations = re.findall(r"location (=|~|~\*|\^~)? ?(\S+) \{(.*?)\}", CONF, re.DOTALL)
    exact = [body for kind, pattern, body in locations if kind == "=" and pattern == path]
    regular = [body for kind, pattern, body in locations if kind == "~" and re.search(pattern, path)]
    prefix = [(len(pattern), body) for kind, pattern, body in locations if not kind and path.startswith(pattern)]
    return (exact + regular + [body for _, body in sorted(prefix, reverse=True)])[0].strip()


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/health", "/health/live", "/ready", "/ready/"])
def test_what_operators_ask_the_application_is_not_found_at_the_edge(path):
    assert answer(path) == "return 404;"


@pytest.mark.parametrize("path", ["/", "/cards/1", "/healthy-models", "/metrics-of-models", "/api/metrics"])
def test_everything_else_goes_to_the_application(path):
    assert answer(path).startswith("proxy_pass http://app;")


@pytest.mark.parametrize("kind", ["readinessProbe", "livenessProbe"])
def test_its_probes_are_answered_by_itself(platform, kind):
    probe = container_of(platform.one("apps/v1:Deployment", "edge-nginx"))[kind]
    assert "return 200" in answer(probe["httpGet"]["path"])


def test_its_configuration_has_no_variable_left():
    assert re.findall("@[A-Z_]+@", CONF) == []


def test_it_listens_where_its_service_leads_and_forwards_to_the_application():
    # The first is for the exporter beside it, and for nobody outside of the pod.
    assert re.findall(r"listen (\S+);", CONF) == ["127.0.0.1:8081", str(PORT)]
    assert re.findall(r"server ([^{\n]+);", CONF) == ["modelcard-generator:8080 max_fails=0"] * 2


def test_it_writes_below_tmp_only(platform):
    written = re.findall(r"^\s*(?:pid|\w+_temp_path) (\S+);", CONF, re.MULTILINE)
    container = container_of(platform.one("apps/v1:Deployment", "edge-nginx"))
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount["readOnly"]]
    assert ({path.rsplit("/", 1)[0] for path in written}, writable) == ({"/tmp"}, ["/tmp"])


def test_uploads_have_one_limit_at_the_ingress_and_at_nginx(platform):
    ingress = platform.one("v1:Ingress", "edge-ingress")["metadata"]["annotations"]
    limit = re.findall("client_max_body_size (.*);", platform.one("v1:ConfigMap", "edge-config")["data"]["nginx.conf"])
    assert [ingress["nginx.ingress.kubernetes.io/proxy-body-size"]] == limit == ["100m"]


def test_the_ingress_serves_one_host_over_tls(each_platform):
    spec = each_platform.one("v1:Ingress", "edge-ingress")["spec"]
    (rule,) = spec["rules"]
    assert spec["tls"] == [{"hosts": [rule["host"]], "secretName": "edge-tls"}]


def test_the_ingress_leads_to_nginx(platform):
    (rule,) = platform.one("v1:Ingress", "edge-ingress")["spec"]["rules"]
    service = platform.one("v1:Service", "edge-nginx-service")
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": service["metadata"]["name"], "port": {"name": service["spec"]["ports"][0]["name"]}}


def test_a_certificate_that_others_keep_replaces_its_own(extended):
    assert extended.one("v1:Ingress", "edge-ingress")["spec"]["tls"][0]["secretName"] == "wildcard"
    assert "edge-tls" not in [each.name for each in extended.all("v1:Secret")]


def test_only_the_ingress_controller_reaches_it(platform):
    assert peers(platform.one("v1:NetworkPolicy", "edge-nginx")) == {"ingress-nginx/"}


@pytest.fixture
def exporter(platform):
    (_, exporter) = pod_of(platform.one("apps/v1:Deployment", "edge-nginx"))["containers"]
    return exporter


def test_its_counters_are_read_by_the_exporter_beside_it(exporter):
    (page,) = [each.partition("=")[2] for each in exporter["args"] if each.startswith("--nginx.scrape-uri=")]
    server, path = re.findall(r"http://([^/]+)(/.*)", page)[0]
    (block,) = re.findall(r"server \{\s+listen 127.0.0.1:8081;(.*?)\n    \}", CONF, re.DOTALL)
    assert server == "127.0.0.1:8081"
    assert f"location = {path} {{ access_log off; stub_status; }}" in block


def test_the_exporter_is_asked_by_tls_at_a_port_that_users_do_not_reach(platform, exporter):
    assert exporter["ports"] == [{"name": "metrics", "containerPort": METRICS.port}]
    assert "--web.config.file=/etc/modelcard/web/web.yml" in exporter["args"]
    service = platform.one("v1:Service", "edge-nginx-service")["spec"]
    assert [port["port"] for port in service["ports"]] == [PORT]
    assert peers(platform.one("v1:NetworkPolicy", "edge-nginx-metrics")) == {"modelcard-observability/prometheus"}


def test_an_exporter_that_hangs_is_restarted_long_before_it_takes_nginx_out_of_service(exporter):
    readiness, liveness = exporter["readinessProbe"], exporter["livenessProbe"]
    patience = {name: each["periodSeconds"] * each.get("failureThreshold", 3)
                for name, each in (("readiness", readiness), ("liveness", liveness))}  # fmt: skip
    assert patience == {"readiness": 600, "liveness": 60}


def test_nginx_does_not_wait_for_the_exporter_to_become_ready(exporter):
    assert exporter["readinessProbe"]["periodSeconds"] <= 10
    assert "initialDelaySeconds" not in exporter["readinessProbe"]
