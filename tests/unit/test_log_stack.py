"""Logstash, Kibana, Filebeat, their exporter and the Job that sets them up."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from infra.components import elasticsearch_exporter, logstash
from infra.components.elasticsearch_exporter import modules
from infra.components.kibana import secrets
from infra.quantities import Memory
from modelcard_generator.logging.config import LOGS
from modelcard_ops.logs.streams import BUILT_IN, USERS
from tests.conftest import container_of, peers, platform_of, pod_of, settings_of, workloads

ELK = ("elasticsearch", "logstash", "kibana", "filebeat", "elasticsearch-exporter", "log-setup")
GIB = 2**30


def data(platform, name):
    return platform.one("v1:ConfigMap", name)["data"]


def test_dev_needs_4_gib_for_all_of_it():
    controllers = workloads(platform_of("dev"))
    limits = [
        Memory(each["resources"]["limits"]["memory"]).bytes * controllers[name]["spec"].get("replicas", 1)
        for name in ELK
        for each in pod_of(controllers[name])["containers"]
    ]
    assert sum(limits) <= 4 * GIB


def test_lines_are_on_a_volume_before_they_are_acknowledged(platform):
    main, rejected = yaml.safe_load(data(platform, "logstash-config")["pipelines.yml"])
    assert (main["queue.type"], main["dead_letter_queue.enable"]) == ("persisted", True)
    assert rejected["pipeline.id"] == "rejected"
    (claim,) = platform.one("apps/v1:StatefulSet", "logstash")["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "data"


@pytest.mark.parametrize("size", ["4Gi", "20Gi"])
def test_queue_and_dead_letters_fit_their_volume(size):
    main, _ = logstash.pipelines(Memory(size))
    used = sum(int(main[f"{queue}.max_bytes"].removesuffix("mb")) for queue in ("queue", "dead_letter_queue"))
    assert 0.7 < used / (Memory(size).bytes / 2**20) < 0.85


def test_logstash_writes_to_the_streams_that_the_setup_makes(platform):
    pipeline = data(platform, "logstash-config")["logstash.conf"]
    assert re.findall(r'"\[@metadata\]\[stream\]" => "(\w+)"', pipeline) == ["app"]
    assert set(re.findall(r'\[log\] == "(\w+)"', pipeline)) == set(LOGS)
    environment = {each["name"]: each.get("value") for each in pod_of_logstash(platform)["env"]}
    assert (environment["STACK"], environment["WRITER"]) == ("prod", "log_writer")


def pod_of_logstash(platform):
    return container_of(platform.one("apps/v1:StatefulSet", "logstash"))


def test_only_shippers_reach_logstash_and_they_reach_nothing_else(platform):
    assert peers(platform.one("NetworkPolicy", "logstash")) == {"modelcard-agents/filebeat"}
    out = [each.inputs for each in platform.all("NetworkPolicy") if each.name.startswith("filebeat-to-")]
    assert {peer for each in out for peer in peers(each)} == {"modelcard-observability/logstash"}


def test_a_shipper_sees_the_log_files_of_its_node_read_only_and_nothing_else_of_it(platform):
    daemon_set = platform.one("apps/v1:DaemonSet", "filebeat")
    pod = pod_of(daemon_set)
    assert [each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each] == ["/var/log/pods"]
    mounts = {each["name"]: each for each in container_of(daemon_set)["volumeMounts"]}
    assert mounts["logs"]["readOnly"] is True
    assert pod["automountServiceAccountToken"] is False
    # The files belong to root's group, and to it only.
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["supplementalGroups"]) == (10001, [0])


def test_no_other_pod_is_in_a_group_of_its_node(each_platform):
    groups = {
        name: pod_of(each)["securityContext"].get("supplementalGroups")
        for name, each in workloads(each_platform).items()
    }
    assert {name for name, each in groups.items() if each} == {"filebeat"}


def test_a_shipper_reads_our_namespaces_and_no_others(platform):
    (containers,) = yaml.safe_load(data(platform, "filebeat-config")["filebeat.yml"])["filebeat.inputs"]
    environment = {
        each["name"]: each.get("value") for each in container_of(platform.one("DaemonSet", "filebeat"))["env"]
    }
    read = {path.replace("${NAMESPACE}", environment["NAMESPACE"]).split("/")[4] for path in containers["paths"]}
    assert read == {f"{name}_*" for name in ("modelcard", "modelcard-observability", "modelcard-agents")}
    assert "file_identity.fingerprint" in containers


def test_kibana_is_behind_a_login(platform):
    config = yaml.safe_load(data(platform, "kibana-config")["kibana.yml"])
    assert config["elasticsearch.hosts"] == ["https://elasticsearch:9200"]
    assert config["elasticsearch.ssl.verificationMode"] == "full"
    assert [key for key in config if "anonymous" in key.lower()] == ["status.allowAnonymous"]


def test_what_kibana_keeps_secret_is_in_a_secret(platform):
    assert set(platform.one("v1:Secret", "kibana-auth")["stringData"]) == {"secrets.yml"}
    assert yaml.safe_load(secrets("a", "b" * 64))["xpack.security.encryptionKey"] == "b" * 64


def test_the_job_has_a_password_for_every_user_that_it_sets(platform):
    files = platform.one("v1:Secret", "log-setup-passwords")["stringData"]
    assert set(files) == {"setup", *USERS, *BUILT_IN}


def test_the_job_runs_what_mcops_knows(platform):
    from typer.testing import CliRunner

    from modelcard_ops.cli import app

    container = container_of(platform.one("batch/v1:Job", "log-setup"))
    assert container["command"] == ["mcops", "logs", "apply"]
    known = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["logs", "apply", "--help"]).output
    assert [each for each in container["args"] if each.partition("=")[0] not in known] == []


def test_the_job_runs_again_when_secrets_are_rotated_and_takes_its_own_place(platform):
    job = platform.one("batch/v1:Job", "log-setup")
    assert job["spec"]["template"]["metadata"]["annotations"]["modelcard/rotation"] == "0"
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_the_exporter_asks_elasticsearch_by_a_login_that_is_a_file(platform):
    module = yaml.safe_load(modules("password"))["auth_modules"][elasticsearch_exporter.MONITOR]
    assert module["userpass"] == {"username": "log_monitor", "password": "password"}
    jobs = yaml.safe_load(data(platform, "prometheus-config")["prometheus.yml"])["scrape_configs"]
    (job,) = [each for each in jobs if each["job_name"] == "elasticsearch"]
    assert job["metrics_path"] == "/probe"
    assert job["params"] == {"target": ["https://elasticsearch:9200"], "auth_module": ["log_monitor"]}


@pytest.mark.parametrize("name", ELK)
def test_no_container_of_it_has_a_secret_in_what_everybody_may_read(platform, name):
    pod = pod_of(workloads(platform)[name])
    told = json.dumps([pod["containers"], pod.get("initContainers")])
    assert "[secret]" not in told


def test_retention_is_a_setting():
    retention = settings_of("prod").logging.retention
    arguments = container_of(platform_of("prod").one("batch/v1:Job", "log-setup"))["args"]
    assert f"--retention-audit={retention.audit}" in arguments
    assert retention.audit >= 365, "twelve months (PCI DSS 4.0, 10.5.1)"
