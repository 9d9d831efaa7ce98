"""kube-state-metrics shows the objects of the platform's namespaces, and may look at no others."""

import pytest

from infra.components.kube_state_metrics import METRICS
from tests.conftest import container_of, platform_of

SPACES = ("modelcard", "modelcard-agents", "modelcard-observability")
OWN = ("kube-state-metrics", "kube-state-metrics-agents", "kube-state-metrics-application")


@pytest.fixture
def args(platform):
    container = container_of(platform.one("v1:Deployment", "kube-state-metrics"))
    return dict(each.partition("=")[::2] for each in container["args"])


def listed(value: str) -> set[str]:
    return set(value.split(","))


def granted(rules) -> set[str]:
    return {resource for rule in rules for resource in rule["resources"]}


def test_it_looks_at_the_platforms_namespaces_only(args):
    assert listed(args["--namespaces"]) == set(SPACES)


@pytest.mark.parametrize("name", OWN)
def test_it_may_list_and_watch_what_it_shows_and_nothing_else(platform, args, name):
    rules = platform.one("v1:Role", name)["rules"]
    assert granted(rules) == listed(args["--resources"])
    assert {verb for rule in rules for verb in rule["verbs"]} == {"list", "watch"}


def test_it_may_do_so_in_each_namespace_and_nowhere_else(platform):
    bindings = [each.inputs for each in platform.all("v1:RoleBinding") if each.name in OWN]
    assert {each["metadata"]["namespace"] for each in bindings} == set(SPACES)
    assert [each.name for each in platform.all("v1:ClusterRole") if "kube-state-metrics" in each.name] == []
    for each in bindings:
        assert each["subjects"] == [
            {"kind": "ServiceAccount", "name": "kube-state-metrics", "namespace": "modelcard-observability"}
        ]


def test_it_sees_no_secrets(args):
    assert not {"secrets", "configmaps"} & listed(args["--resources"])


def test_nothing_that_is_in_no_namespace_is_shown_once_per_namespace(args):
    assert not {"nodes", "namespaces", "persistentvolumes", "storageclasses"} & listed(args["--resources"])


@pytest.mark.parametrize(
    "kind",
    ["deployments", "statefulsets", "daemonsets", "horizontalpodautoscalers", "pods", "persistentvolumeclaims",
     "poddisruptionbudgets", "jobs", "resourcequotas"],
)  # fmt: skip
def test_it_shows_what_the_platform_consists_of(args, kind):
    assert kind in listed(args["--resources"])


def test_it_is_asked_by_tls_at_one_port(platform, args):
    (port,) = container_of(platform.one("v1:Deployment", "kube-state-metrics"))["ports"]
    assert (port["containerPort"], args["--port"]) == (METRICS.port, str(METRICS.port))
    assert args["--tls-config"] == "/etc/modelcard/web/web.yml"


def test_the_labels_of_its_series_are_those_of_the_objects():
    assert METRICS.honor_labels


def test_a_stack_of_another_name_looks_at_its_own_namespaces():
    platform = platform_of("prod", namespace="other")
    args = container_of(platform.one("v1:Deployment", "kube-state-metrics"))["args"]
    assert "--namespaces=other,other-observability,other-agents" in args
