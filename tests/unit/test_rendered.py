"""What is changed of a declared Prometheus so that it can measure from outside the cluster."""

import yaml

from infra.kube.files import as_yaml
from infra.monitoring.scraping import prometheus_config
from infra.monitoring.targets import scraping
from tests.conftest import settings_of
from tests.system.rendered import with_cluster


def without(value, keys):
    """The value without these keys, wherever they are."""
    if isinstance(value, dict):
        return {key: without(each, keys) for key, each in value.items() if key not in keys}
    return [without(each, keys) for each in value] if isinstance(value, list) else value


def test_only_the_way_to_the_cluster_and_its_pods_is_added():
    declared = as_yaml(prometheus_config(scraping(settings_of("local"))))
    changed = yaml.safe_load(with_cluster(declared, kubeconfig="/access", network="http://127.0.0.1:1"))
    asked = [*changed["scrape_configs"], *changed["alerting"]["alertmanagers"]]
    discovered = [discovery for each in asked for discovery in each.get("kubernetes_sd_configs", ())]
    assert {each["proxy_url"] for each in asked} == {"http://127.0.0.1:1"}
    assert {each["kubeconfig_file"] for each in discovered} == {"/access"}
    assert without(changed, {"proxy_url", "kubeconfig_file"}) == yaml.safe_load(declared)
