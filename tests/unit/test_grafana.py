"""Grafana: everything that it shows is in this repository, and nothing that it does reaches beyond the platform."""

import json

import pytest
import yaml

from infra.components.grafana import DASHBOARD_FILES, DASHBOARDS, HOME_DASHBOARD, PROVISIONING, variables
from tests.conftest import container_of, peers, pod_of

LIMIT = 2**20  # bytes of a ConfigMap
FILES = sorted(DASHBOARD_FILES.glob("*.json"))


@pytest.fixture(scope="module")
def deployment(platform):
    return platform.one("v1:Deployment", "grafana")


@pytest.fixture(scope="module")
def environment(deployment):
    return {each["name"]: each["value"] for each in container_of(deployment)["env"]}


@pytest.fixture(scope="module")
def provisioned(platform):
    data = platform.one("v1:ConfigMap", "grafana-provisioning")["data"]
    return {name: yaml.safe_load(text) for name, text in data.items()}


def mounted(platform, deployment) -> set[str]:
    """Paths of all files that the pod has of ConfigMaps and Secrets."""
    volumes = {each["name"]: each for each in pod_of(deployment)["volumes"]}
    paths = set()
    for mount in container_of(deployment)["volumeMounts"]:
        volume = volumes[mount["name"]]
        if "configMap" in volume:
            files = platform.one("v1:ConfigMap", volume["configMap"]["name"])["data"]
        elif "secret" in volume:
            files = platform.one("v1:Secret", volume["secret"]["secretName"])["stringData"]
        else:
            continue
        paths |= {mount["mountPath"]} if "subPath" in mount else {f"{mount['mountPath']}/{file}" for file in files}
    return paths


def test_it_keeps_nothing(deployment):
    kinds = {kind for volume in pod_of(deployment)["volumes"] for kind in volume if kind != "name"}
    assert (deployment["spec"]["replicas"], kinds) == (1, {"configMap", "secret", "emptyDir"})


def test_nobody_comes_in_without_a_login(environment):
    assert {environment[key] for key in ("GF_AUTH_ANONYMOUS_ENABLED", "GF_USERS_ALLOW_SIGN_UP")} == {"false"}


def test_it_speaks_https_only_and_so_do_its_cookies(environment):
    assert (environment["GF_SERVER_PROTOCOL"], environment["GF_SECURITY_COOKIE_SECURE"]) == ("https", "true")


def test_passwords_are_read_from_files_that_are_there(platform, deployment, environment):
    files = mounted(platform, deployment)
    for key in ("GF_SECURITY_ADMIN_PASSWORD", "GF_SECURITY_SECRET_KEY"):
        assert environment[key] == "$__file{/run/secrets/grafana/password}"
    assert "/run/secrets/grafana/password" in files
    assert {environment[key] for key in ("GF_SERVER_CERT_FILE", "GF_SERVER_CERT_KEY")} <= files


def test_it_calls_nobody_outside(environment):
    switches = {
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_NEWS_NEWS_FEED_ENABLED": "false",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
        "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
        "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_DISABLED": "true",
        "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
    }
    assert switches.items() <= environment.items()


def test_no_policy_lets_it_out_of_the_platform(platform):
    out = [each.inputs for each in platform.all("NetworkPolicy") if each.name.startswith("grafana-to-")]
    assert {peer for each in out for peer in peers(each)} == {"prometheus", "alertmanager"}


def test_it_evaluates_no_rules_of_its_own(environment):
    assert environment["GF_UNIFIED_ALERTING_EXECUTE_ALERTS"] == "false"


def test_its_data_sources_are_prometheus_and_alertmanager(provisioned):
    sources = {each["uid"]: (each["type"], each["url"]) for each in provisioned["datasources.yaml"]["datasources"]}
    assert sources == {
        "prometheus": ("prometheus", "https://prometheus.modelcard-observability:9090"),
        "alertmanager": ("alertmanager", "https://alertmanager:9093"),
    }


def test_prometheus_is_what_a_panel_asks_if_it_names_no_other(provisioned):
    sources = provisioned["datasources.yaml"]["datasources"]
    assert [each["uid"] for each in sources if each.get("isDefault")] == ["prometheus"]


def test_it_knows_them_by_their_certificate_and_is_known_by_the_login(platform, deployment, provisioned):
    for each in provisioned["datasources.yaml"]["datasources"]:
        assert (each["jsonData"]["tlsAuthWithCACert"], "tlsSkipVerify" in each["jsonData"]) == (True, False)
        assert (each["basicAuth"], each["basicAuthUser"]) == (True, "platform")
        secure = each["secureJsonData"]
        paths = {value.removeprefix("$__file{").removesuffix("}") for value in secure.values()}
        assert set(secure) == {"basicAuthPassword", "tlsCACert"}
        assert paths <= mounted(platform, deployment)


def test_no_secret_is_in_its_config_maps_or_variables(platform, environment):
    maps = [each.inputs["data"] for each in platform.all("v1:ConfigMap") if each.name.startswith("grafana")]
    assert "[secret]" not in json.dumps([maps, environment])


def test_grafana_finds_its_provisioning_where_it_looks(platform, deployment, environment):
    files = mounted(platform, deployment)
    assert environment["GF_PATHS_PROVISIONING"] == PROVISIONING
    assert {f"{PROVISIONING}/datasources/datasources.yaml", f"{PROVISIONING}/dashboards/dashboards.yaml"} <= files


def test_every_dashboard_of_the_repository_is_provisioned(platform, deployment, provisioned):
    (provider,) = provisioned["dashboards.yaml"]["providers"]
    files = {path for path in mounted(platform, deployment) if path.startswith(provider["options"]["path"])}
    assert files == {f"{DASHBOARDS}/{path.stem}/{path.stem}.json" for path in FILES}


def test_what_people_change_in_a_dashboard_is_changed_in_the_repository(provisioned):
    (provider,) = provisioned["dashboards.yaml"]["providers"]
    assert (provider["allowUiUpdates"], provider["disableDeletion"]) == (False, True)


def test_its_home_is_a_dashboard_that_there_is():
    home = variables("https://localhost:3000")["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{DASHBOARDS}/{HOME_DASHBOARD}/{HOME_DASHBOARD}.json"
    assert HOME_DASHBOARD in {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_fits_a_config_map_and_is_named_by_its_uid(platform, path):
    (text,) = platform.one("v1:ConfigMap", f"grafana-dashboard-{path.stem}")["data"].values()
    assert len(text.encode()) < LIMIT
    assert json.loads(text)["uid"] == path.stem


def test_the_root_url_is_that_of_the_forwarded_port(environment):
    assert environment["GF_SERVER_ROOT_URL"] == "https://localhost:3000/"


def test_its_health_is_asked_by_https(deployment):
    container = container_of(deployment)
    probes = [container[each]["httpGet"] for each in ("startupProbe", "readinessProbe")]
    assert {(each["path"], each["scheme"]) for each in probes} == {("/api/health", "HTTPS")}
