"""prometheus-adapter gives the autoscaler the one metric that it asks for, and nobody anything else."""

import base64

import pytest
import yaml

from infra.components import app
from infra.components.adapter import adapter_config, encoded, prometheus_access
from infra.monitoring.promql import parse, selectors
from tests.conftest import container_of, platform_of, pod_of

GROUP = "custom.metrics.k8s.io"
AUTOSCALER = {"kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system"}
ITSELF = {"kind": "ServiceAccount", "name": "prometheus-adapter", "namespace": "modelcard-observability"}
ACCESS = yaml.safe_load(prometheus_access("https://prometheus.modelcard-observability:9090", "platform", "hunter2"))


@pytest.fixture
def deployment(platform):
    return platform.one("v1:Deployment", "prometheus-adapter")


@pytest.fixture
def args(deployment):
    return dict(each.partition("=")[::2] for each in container_of(deployment)["args"])


@pytest.fixture
def rule():
    (rule,) = adapter_config()["rules"]
    return rule


def test_its_metric_is_the_one_that_the_autoscaler_asks_for(platform, rule):
    scaler = platform.one("v2:HorizontalPodAutoscaler", "modelcard-generator-hpa")["spec"]
    (asked,) = [each["pods"]["metric"]["name"] for each in scaler["metrics"] if each["type"] == "Pods"]
    assert rule["name"] == {"matches": "^http_requests_total$", "as": asked}


def query(rule) -> str:
    """What the adapter would send for two pods. Source: prometheus-adapter, "docs/config.md"."""
    values = {"Series": "http_requests_total", "LabelMatchers": 'namespace="modelcard",pod=~"a|b"', "GroupBy": "pod"}
    text = rule["metricsQuery"]
    for name, value in values.items():
        text = text.replace(f"<<.{name}>>", value)
    return text


def test_it_counts_what_users_ask_of_the_application(rule):
    (selector,) = selectors(parse(query(rule)))
    matchers = {each.label: (each.op, each.value) for each in selector.matchers}
    assert (selector.metric, matchers["job"]) == ("http_requests_total", ("=", app.METRICS.job))
    assert matchers["endpoint"] == ("!~", "/metrics|/health|/ready")
    assert matchers.keys() >= {"namespace", "pod"}


def test_its_window_has_at_least_four_scrapes(rule):
    (selector,) = selectors(parse(query(rule)))
    assert selector.seconds >= 4 * app.METRICS.interval


def test_it_finds_its_series_by_the_labels_that_it_asks_with(rule):
    assert rule["resources"]["overrides"] == {
        "namespace": {"resource": "namespace"}, "pod": {"resource": "pod"},
    }  # fmt: skip
    (selector,) = selectors(parse(rule["seriesQuery"]))
    assert selector.value("job") == app.METRICS.job


def test_the_file_that_it_reads_is_that(platform, args):
    data = platform.one("v1:ConfigMap", "adapter-config")["data"]
    assert yaml.safe_load(data[args["--config"].rpartition("/")[2]]) == adapter_config()


def test_it_knows_a_metric_for_longer_than_it_takes_to_look_again(args):
    assert (args["--metrics-relist-interval"], args["--metrics-max-age"]) == ("1m", "2m")


def test_it_logs_in_to_prometheus_and_verifies_whom_it_tells_the_password(args):
    (cluster,), (user,) = ACCESS["clusters"], ACCESS["users"]
    assert cluster["cluster"] == {
        "server": args["--prometheus-url"], "certificate-authority": "/run/secrets/tls/ca.crt",
    }  # fmt: skip
    assert user["user"] == {"username": "platform", "password": "hunter2"}


def test_the_login_is_a_secret_file(platform, args):
    assert args["--prometheus-auth-config"] == "/run/secrets/login/prometheus.yaml"
    assert platform.one("v1:Secret", "adapter-login")["stringData"] == {"prometheus.yaml": "[secret]"}


def test_one_of_two_is_always_there(platform, deployment):
    assert deployment["spec"]["replicas"] == 2
    assert platform.one("v1:PodDisruptionBudget", "prometheus-adapter-budget")["spec"]["maxUnavailable"] == 1


def test_the_api_server_is_told_where_it_is(platform):
    api = platform.one("v1:APIService", "prometheus-adapter-api")
    service = platform.one("core/v1:Service", "prometheus-adapter-service")
    reference = api["spec"]["service"]
    assert api["metadata"]["name"] == f"{api['spec']['version']}.{api['spec']['group']}" == f"v1beta1.{GROUP}"
    assert (reference["name"], reference["namespace"]) == (
        service["metadata"]["name"], service["metadata"]["namespace"],
    )  # fmt: skip
    assert reference["port"] in [port["port"] for port in service["spec"]["ports"]]
    assert "insecureSkipTLSVerify" not in api["spec"]


def test_the_api_server_verifies_it_by_the_stacks_authority():
    assert base64.b64decode(encoded("-----BEGIN CERTIFICATE-----")).decode() == "-----BEGIN CERTIFICATE-----"


def test_the_autoscaler_may_ask_for_the_one_metric_of_the_one_namespace(platform):
    role = platform.one("v1:Role", "prometheus-adapter-autoscaler")
    binding = platform.one("v1:RoleBinding", "prometheus-adapter-autoscaler")
    assert role["rules"] == [{"apiGroups": [GROUP], "resources": ["pods/http_requests_per_second"], "verbs": ["get"]}]
    assert {each["metadata"]["namespace"] for each in (role, binding)} == {"modelcard"}
    assert binding["subjects"] == [AUTOSCALER]


def test_it_may_read_the_applications_pods_and_who_is_asking(platform):
    bindings = {
        each.name: each.inputs["roleRef"]["name"]
        for kind in ("RoleBinding", "ClusterRoleBinding")
        for each in platform.all(f"rbac.authorization.k8s.io/v1:{kind}")
        if each.inputs["subjects"] == [ITSELF]
    }
    assert bindings == {
        "prometheus-adapter-application": "prometheus-adapter",
        "prometheus-adapter-authentication": "extension-apiserver-authentication-reader",
        "prometheus-adapter-delegation": "system:auth-delegator",
    }
    pods = platform.one("v1:Role", "prometheus-adapter-application")
    assert (pods["metadata"]["namespace"], pods["rules"]) == (
        "modelcard", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
    )  # fmt: skip


def test_two_stacks_in_one_cluster_do_not_share_what_is_the_clusters(platform):
    other = platform_of("prod", namespace="other")

    def names(recording):
        kinds = ("v1:ClusterRoleBinding", "v1:ClusterRole")
        found = {each.inputs["metadata"]["name"] for kind in kinds for each in recording.all(kind)}
        elsewhere = [each.inputs["metadata"] for each in recording.all("v1:RoleBinding")]
        return found | {each["name"] for each in elsewhere if each["namespace"] == "kube-system"}

    assert not names(platform) & names(other)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_its_pods_have_a_token_for_asking(stack):
    deployment = platform_of(stack).one("v1:Deployment", "prometheus-adapter")
    assert pod_of(deployment)["automountServiceAccountToken"] is True
