"""Prometheus asks every replica of everything that has metrics, and nobody else."""

import pytest
import yaml

from infra.monitoring.scraping import CADVISOR
from tests.conftest import container_of, platform_of, pod_of, settings_of, workloads

MODULES = ("service", "certificate")


@pytest.fixture(scope="module")
def config():
    return yaml.safe_load(platform_of("prod").one("v1:ConfigMap", "prometheus-config")["data"]["prometheus.yml"])


@pytest.fixture(scope="module")
def jobs(config):
    return {each["job_name"]: each for each in config["scrape_configs"]}


def test_the_intervals_are_those_of_the_operations_guide(config, jobs):
    assert (config["global"]["scrape_interval"], config["global"]["evaluation_interval"]) == ("15s", "15s")
    assert {name: job["scrape_interval"] for name, job in jobs.items() if "scrape_interval" in job} == {
        "modelcard-generator": "10s"
    }


def test_the_jobs_of_the_operations_guide_are_there_with_its_ports(jobs):
    ports = {
        name: rule["regex"]
        for name, job in jobs.items()
        for rule in job["relabel_configs"]
        if rule.get("source_labels") == ["__meta_kubernetes_pod_container_port_number"]
    }
    assert ports.items() >= {
        "modelcard-generator": "8080", "postgresql": "9187", "redis": "9121", "nginx": "9113", "node": "9100",
    }.items()  # fmt: skip


def test_every_workload_that_has_metrics_is_a_job(jobs):
    selected = {
        selector["label"]
        for job in jobs.values()
        for discovery in job.get("kubernetes_sd_configs", [])
        for selector in discovery.get("selectors", [])
    }
    prometheus = platform_of("prod")
    serving = {
        name
        for name, each in workloads(prometheus).items()
        if any(
            port["name"] in {"metrics", "https", "http"}
            for c in pod_of(each)["containers"]
            for port in c.get("ports", [])
        )
        # elasticsearch-exporter tells for the one; the other has none.
        and name not in {"elasticsearch", "kibana"}
    }
    assert selected == {f"app.kubernetes.io/name={name},app.kubernetes.io/part-of=modelcard" for name in serving}


def test_a_selected_port_is_one_of_the_pods(jobs):
    for name, job in jobs.items():
        for discovery in job.get("kubernetes_sd_configs", []):
            if discovery["role"] != "pod":
                continue
            workload = discovery["selectors"][0]["label"].split(",")[0].partition("=")[2]
            each = workloads(platform_of("prod"))[workload]
            declared = {str(port["containerPort"]) for c in pod_of(each)["containers"] for port in c["ports"]}
            assert job["relabel_configs"][0]["regex"] in declared, name
            assert discovery["namespaces"]["names"] == [each["metadata"]["namespace"]]


def test_whoever_serves_tls_is_asked_by_tls_under_a_name_of_its_certificate(jobs):
    plain = {name for name, job in jobs.items() if job.get("scheme") != "https"}
    assert plain == {"modelcard-generator"}
    unverified = {name for name, job in jobs.items() if job.get("tls_config", {}).get("insecure_skip_verify")}
    assert unverified == {"cadvisor", "kubelet"}


def test_no_password_or_token_is_in_the_configuration(config):
    text = yaml.safe_dump(config)
    assert "[secret]" not in text
    assert "password:" not in text
    assert "credentials:" not in text


def test_kubelets_tell_about_the_platforms_namespaces_only(jobs):
    for name in ("cadvisor", "kubelet"):
        (rule,) = jobs[name]["metric_relabel_configs"]
        assert rule["action"] == "keep"
        assert rule["regex"].endswith(";(modelcard|modelcard-observability|modelcard-agents)")
    assert all(metric in jobs["cadvisor"]["metric_relabel_configs"][0]["regex"] for metric in CADVISOR)


def test_alerts_are_alike_from_every_replica(config):
    assert config["global"]["external_labels"]["replica"] == "${POD_NAME}"
    assert config["alerting"]["alert_relabel_configs"] == [{"action": "labeldrop", "regex": "replica"}]


def test_every_alertmanager_is_told(config):
    (manager,) = config["alerting"]["alertmanagers"]
    assert manager["kubernetes_sd_configs"][0]["selectors"][0]["label"].startswith(
        "app.kubernetes.io/name=alertmanager,"
    )


def test_probes_try_the_service_and_every_certificate(jobs):
    targets = {each["labels"]["probe"]: each["targets"] for each in jobs["probe"]["static_configs"]}
    assert set(targets) == set(MODULES)
    assert targets["service"] == ["http://edge-nginx.modelcard:8080/docs"]
    assert "cache-redis.modelcard:6379" in targets["certificate"]


@pytest.mark.parametrize(("stack", "replicas"), [("local", 1), ("dev", 1), ("prod", 2)])
def test_prod_has_two_replicas_with_a_volume_each(stack, replicas):
    spec = platform_of(stack).one("v1:StatefulSet", "prometheus")["spec"]
    assert spec["replicas"] == replicas
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"


def test_it_keeps_data_longer_than_any_rule_looks_back_and_less_than_its_volume():
    args = container_of(platform_of("prod").one("v1:StatefulSet", "prometheus"))["args"]
    assert "--storage.tsdb.retention.time=15d" in args
    (size,) = [each.partition("=")[2] for each in args if each.startswith("--storage.tsdb.retention.size")]
    assert int(size.removesuffix("MB")) < settings_of("prod").monitoring.prometheus.storage.size.share(100)


def test_nobody_reloads_or_stops_it_over_the_network():
    args = container_of(platform_of("prod").one("v1:StatefulSet", "prometheus"))["args"]
    # The backup asks for snapshots; who else has the login is an edge that tests/unit/test_network.py lists.
    assert [each for each in args if "admin-api" in each or "lifecycle" in each] == ["--web.enable-admin-api"]


def test_it_may_look_at_pods_and_node_metrics_and_change_nothing():
    platform = platform_of("prod")
    roles = [each for kind in ("v1:Role", "v1:ClusterRole") for each in platform.all(kind)]
    verbs = {
        verb
        for each in roles
        if each.name.startswith("prometheus") and "adapter" not in each.name
        for rule in each.inputs["rules"]
        for verb in rule["verbs"]
    }
    assert verbs == {"get", "list", "watch"}
