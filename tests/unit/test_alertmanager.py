"""Alertmanager: replicas that agree, behind TLS and a login, with secrets in Secrets only."""

import json

import pytest
import yaml

from infra.components.alertmanager import GOSSIP, PORT, cluster_arguments, cluster_config
from infra.components.incidents import webhook
from infra.monitoring.routing import alertmanager_config
from tests.conftest import EXTENDED, container_of, peers, platform_of, pod_of, settings_of


def stateful_set(platform):
    return platform.one("v1:StatefulSet", "alertmanager")


def arguments(platform) -> list[str]:
    return container_of(stateful_set(platform))["args"]


def config(platform, file: str = "alertmanager.yml"):
    return yaml.safe_load(platform.one("v1:ConfigMap", "alertmanager-config")["data"][file])


def policies(platform) -> dict[str, dict[str, object]]:
    return {each.name: each.inputs for each in platform.all("NetworkPolicy")}


@pytest.mark.parametrize(("stack", "replicas"), [("local", 1), ("dev", 1), ("prod", 3)])
def test_each_replica_has_a_volume_of_its_own(stack, replicas):
    spec = stateful_set(platform_of(stack))["spec"]
    assert (spec["replicas"], [each["metadata"]["name"] for each in spec["volumeClaimTemplates"]]) == (
        replicas,
        ["data"],
    )


def test_it_keeps_silences_and_what_it_told_on_that_volume(platform):
    (mount,) = [each for each in container_of(stateful_set(platform))["volumeMounts"] if each["name"] == "data"]
    assert f"--storage.path={mount['mountPath']}" in arguments(platform)


def test_replicas_know_each_other_by_the_names_of_their_pods(platform):
    spec = stateful_set(platform)["spec"]
    domain = platform.one("v1:Service", "alertmanager-peers")["metadata"]["name"]
    assert spec["serviceName"] == domain
    known = [each for each in arguments(platform) if each.startswith("--cluster.peer=")]
    assert known == [f"--cluster.peer=alertmanager-{index}.{domain}:{GOSSIP}" for index in range(spec["replicas"])]


def test_replicas_find_each_other_before_they_are_ready(platform):
    spec = platform.one("v1:Service", "alertmanager-peers")["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)


def test_replicas_talk_by_tls_that_names_their_service(platform):
    document = config(platform, "cluster.yml")
    assert document == cluster_config()
    assert document["tls_server_config"]["min_version"] == "TLS12"
    assert (
        document["tls_client_config"]["server_name"]
        == platform.one("v1:Service", "alertmanager-service")["metadata"]["name"]
    )
    assert "insecure_skip_verify" not in document["tls_client_config"]


def test_each_replica_tells_the_others_the_address_of_its_pod(platform):
    assert f"--cluster.advertise-address=[$(POD_IP)]:{GOSSIP}" in cluster_arguments(3)
    (variable,) = container_of(stateful_set(platform))["env"]
    assert (variable["name"], variable["valueFrom"]["fieldRef"]["fieldPath"]) == ("POD_IP", "status.podIP")


def test_replicas_reach_each_other_and_nobody_else_their_gossip(platform):
    gossip = policies(platform)["alertmanager-gossip"]
    assert (peers(gossip), gossip["spec"]["ingress"][0]["ports"]) == (
        {"alertmanager"},
        [{"port": GOSSIP, "protocol": "TCP"}],
    )


@pytest.mark.parametrize("stack", ["local", "dev"])
def test_one_alone_listens_for_no_others(stack):
    platform = platform_of(stack)
    assert [each for each in arguments(platform) if "cluster" in each] == ["--cluster.listen-address="]
    assert [port["containerPort"] for port in container_of(stateful_set(platform))["ports"]] == [PORT]
    assert "alertmanager-gossip" not in policies(platform)


def test_it_asks_for_a_login_and_speaks_tls_only(platform):
    assert "--web.config.file=/run/secrets/login/web.yml" in arguments(platform)
    assert set(platform.one("v1:Secret", "alertmanager-login")["stringData"]) == {"password", "web.yml"}


def test_its_readiness_is_asked_with_the_login(platform):
    command = container_of(stateful_set(platform))["readinessProbe"]["exec"]["command"]
    assert command[:3] == ["/bin/amtool", "cluster", "show"]
    assert "--http.config.file=/etc/modelcard/alertmanager/client.yml" in command
    assert config(platform, "client.yml") == {
        "basic_auth": {"username": "platform", "password_file": "/run/secrets/login/password"},
        "tls_config": {"ca_file": "/run/secrets/tls/ca.crt"},
    }


def test_links_in_notifications_lead_to_the_forwarded_port(platform):
    assert f"--web.external-url=https://localhost:{PORT}" in arguments(platform)


def test_its_configuration_is_that_of_the_routes(extended):
    settings = settings_of("prod", notifications=EXTENDED["notifications"]).notifications
    responder = webhook("modelcard-observability")
    assert config(extended) == json.loads(json.dumps(alertmanager_config(settings, responder=responder)))


def test_what_it_must_keep_secret_is_in_a_secret(extended):
    data = extended.one("v1:ConfigMap", "alertmanager-config")["data"]
    assert [token for token in ("token1", "token2", "token3", "mail-secret") if token in json.dumps(data)] == []
    assert extended.one("v1:Secret", "alertmanager-notifications")["stringData"] == {
        "responder-token": "[secret]",
        "heartbeat-url": "[secret]",
        "webhook-url": "[secret]",
        "slack-token": "[secret]",
        "mail-password": "[secret]",
    }


def test_every_file_that_its_configuration_names_is_mounted(extended):
    container, volumes = container_of(stateful_set(extended)), pod_of(stateful_set(extended))["volumes"]
    secrets = {each["name"]: each["secret"]["secretName"] for each in volumes if "secret" in each}
    files = {
        f"{mount['mountPath']}/{file}"
        for mount in container["volumeMounts"]
        if mount["name"] in secrets
        for file in extended.one("v1:Secret", secrets[mount["name"]])["stringData"]
    }
    texts = extended.one("v1:ConfigMap", "alertmanager-config")["data"].values()
    named = {word for text in texts for word in text.split() if word.startswith("/run/secrets/")}
    assert len(named) >= 7
    assert named <= files


def test_it_calls_whom_it_tells_and_nobody_else(extended):
    out = {
        name: (peers(each), each["spec"]["egress"][0]["ports"])
        for name, each in policies(extended).items()
        if name.startswith("alertmanager-to-")
    }
    assert out == {
        "alertmanager-to-alertmanager-gossip": ({"alertmanager"}, [{"port": GOSSIP, "protocol": "TCP"}]),
        "alertmanager-to-incident-responder": ({"incident-responder"}, [{"port": 8443, "protocol": "TCP"}]),
        "alertmanager-to-internet": ({"0.0.0.0/0"}, [{"port": 443, "protocol": "TCP"}]),
        "alertmanager-to-mail": ({"0.0.0.0/0"}, [{"port": 587, "protocol": "TCP"}]),
    }


def test_with_nobody_to_tell_it_calls_the_stacks_own_responder(platform):
    assert {name for name in policies(platform) if name.startswith("alertmanager-to-")} == {
        "alertmanager-to-alertmanager-gossip",
        "alertmanager-to-incident-responder",
    }


def test_it_is_shown_by_grafana_asked_by_the_responder_and_nobody_else(platform):
    assert peers(policies(platform)["alertmanager"]) == {"grafana", "incident-responder"}


def test_it_has_no_token_of_the_cluster(platform):
    assert pod_of(stateful_set(platform))["automountServiceAccountToken"] is False
