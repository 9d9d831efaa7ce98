"""The responder: one pod with a volume of its own, told by Alertmanager, allowed to look and to change nothing."""

import pytest

from infra.components.incidents import PORT, webhook
from infra.environments.secrets import SERVERS
from infra.monitoring.routing import ROUTES, alertmanager_config
from infra.parts.incidents import responder_secrets
from modelcard_ops.incidents.settings import PREFIX, Settings
from tests.conftest import EXTENDED, container_of, peers, platform_of, pod_of, settings_of

NAME = "incident-responder"


def stateful_set(platform):
    return platform.one("v1:StatefulSet", NAME)


def variables(platform):
    return {each["name"].removeprefix(PREFIX): each["value"] for each in container_of(stateful_set(platform))["env"]}


def policies(platform):
    return {each.name: each.inputs for each in platform.all("NetworkPolicy")}


def test_there_is_one_of_it_on_a_volume_of_its_own(each_platform):
    pod = pod_of(stateful_set(each_platform))
    claims = [each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "persistentVolumeClaim" in each]
    assert (stateful_set(each_platform)["spec"]["replicas"], claims) == (1, ["incidents-data"])


def test_it_keeps_its_database_on_that_volume(platform):
    (mount,) = [each for each in container_of(stateful_set(platform))["volumeMounts"] if each["name"] == "data"]
    assert variables(platform)["DATA_DIR"] == mount["mountPath"]


def test_it_runs_the_command_of_the_operators_image(platform):
    container = container_of(stateful_set(platform))
    assert (container["command"], container["args"]) == (["mcops"], ["responder"])
    assert container["image"] == settings_of("prod").ops.image


def test_it_knows_every_variable_and_every_secret_that_it_is_given(extended):
    given = {name.lower() for name in variables(extended)} - {"secrets_dir"}
    secrets = extended.one("v1:Secret", "incidents-secrets")["stringData"]
    files = {name.removeprefix(PREFIX.lower()) for name in secrets}
    assert (given | files) <= set(Settings.model_fields)
    assert set(responder_secrets(settings_of("prod", **EXTENDED))) < files


def test_it_reads_its_variables_as_they_are_meant(extended, monkeypatch):
    for name, value in variables(extended).items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    read = Settings(webhook_token="w" * 16, token="t" * 16)
    assert read.namespaces == ("modelcard", "modelcard-observability", "modelcard-agents")
    assert read.mail_recipients == ("b@example.com", "c@example.com")
    assert (read.port, read.database_host, read.status_page_id) == (PORT, "database-postgres.modelcard", "page1")


def test_it_lacks_nothing_that_it_cannot_do_without(platform):
    given = {name.lower() for name in variables(platform)}
    given |= {
        name.removeprefix(PREFIX.lower()) for name in platform.one("v1:Secret", "incidents-secrets")["stringData"]
    }
    assert {name for name, field in Settings.model_fields.items() if field.is_required()} <= given


def test_no_secret_is_among_its_variables(extended):
    assert [value for value in variables(extended).values() if "secret" in value and not value.startswith("/")] == []


def test_every_priority_is_told_to_it_by_tls_and_with_its_token():
    config = alertmanager_config(settings_of("prod").notifications, responder=webhook("modelcard-observability"))
    receivers = {each["name"]: each for each in config["receivers"]}
    for priority in ROUTES:
        (hook,) = receivers[priority.lower()]["webhook_configs"]
        assert hook == {
            "url": f"https://incident-responder.modelcard-observability:{PORT}/alerts",
            "send_resolved": True,
            # All of them: whether a group has ended is known of the whole only.
            "max_alerts": 0,
            "http_config": {
                "authorization": {"credentials_file": "/run/secrets/notifications/responder-token"},
                "tls_config": {"ca_file": "/run/secrets/tls/ca.crt"},
            },
        }
    assert "webhook_configs" not in receivers["heartbeat"]


def test_its_certificate_bears_the_name_that_alertmanager_calls():
    assert SERVERS["incidents"].name in webhook("modelcard-observability")


def test_a_webhook_outside_is_told_as_well():
    outside = settings_of("prod", notifications={"webhook_url": "https://example.com/x"}).notifications
    config = alertmanager_config(outside, responder="https://here/alerts")
    assert [next(iter(hook)) for hook in config["receivers"][0]["webhook_configs"]] == ["url", "url_file"]


def test_alertmanager_and_prometheus_call_it_and_nobody_else(platform):
    assert peers(policies(platform)[NAME]) == {"alertmanager"}
    assert peers(policies(platform)[f"{NAME}-metrics"]) == {"prometheus"}


def test_it_calls_whom_it_asks_and_whom_it_tells(extended):
    out = {name.removeprefix(f"{NAME}-to-") for name in policies(extended) if name.startswith(f"{NAME}-to-")}
    assert out == {
        "alertmanager", "api", "database-postgres", "internet", "mail", "modelcard-generator", "prometheus",
    }  # fmt: skip


def test_with_nobody_to_tell_it_has_no_way_out(platform):
    out = [name for name in policies(platform) if name.startswith(f"{NAME}-to-")]
    assert {f"{NAME}-to-internet", f"{NAME}-to-mail"} & set(out) == set()


def test_it_may_look_and_change_nothing(platform):
    roles = [each.inputs for kind in ("v1:Role", "v1:ClusterRole") for each in platform.all(kind)]
    own = [each for each in roles if NAME in each["metadata"]["name"]]
    granted = {
        (verb, resource)
        for role in own
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    assert {verb for verb, _ in granted} == {"get", "list"}
    assert {resource for verb, resource in granted if verb == "get"} == {"pods/log"}
    assert "secrets" not in {resource for _, resource in granted}
    assert len(own) == 4


def test_it_reads_the_logs_of_the_service_only(platform):
    logs = [
        each.inputs["metadata"]["namespace"]
        for each in platform.all("v1:Role")
        if any("pods/log" in rule["resources"] for rule in each.inputs["rules"])
    ]
    assert logs == ["modelcard"]


@pytest.mark.parametrize(("stack", "kept"), [("dev", False), ("prod", True)])
def test_its_volume_outlives_the_stack_in_prod(stack, kept):
    (claim,) = [each for each in platform_of(stack).all("PersistentVolumeClaim") if each.name == "incidents-data"]
    assert (claim.protect, claim.retain_on_delete) == (kept, kept)
