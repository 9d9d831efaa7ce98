"""The application is deployed as its operations guide says, with the guide's defects mended."""

import copy
import json
from typing import Any

import pytest

from infra.components.app import METRICS, WORKLOAD
from infra.environments.preview.crosscheck import crosscheck
from infra.environments.preview.stack_preview import checked
from infra.monitoring.promql import parse, selectors
from tests.conftest import container_of, peers, platform_of, pod_of, rendered_of, settings_of, workloads

NAME = "modelcard-generator"
KEDA = {"app": {"autoscaling": {"metrics_from": "keda"}}}


def deployment(stack: str = "prod") -> Any:
    return platform_of(stack).one("apps/v1:Deployment", NAME)


def scaler(stack: str = "prod") -> Any:
    return platform_of(stack).one("autoscaling/v2:HorizontalPodAutoscaler", f"{NAME}-hpa")["spec"]


def test_the_container_runs_the_service_on_its_port():
    container = container_of(deployment())
    assert container["command"] + container["args"] == [
        "python", "-m", "modelcard_generator.api", "--host", "0.0.0.0", "--port", "8080",  # noqa: S104
    ]  # fmt: skip
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]


def test_the_image_is_the_one_of_the_settings(settings):
    assert container_of(deployment())["image"] == settings("prod").app.image


def test_health_is_asked_as_the_guide_says():
    container = container_of(deployment())
    assert container["livenessProbe"] == {
        "httpGet": {"path": "/health", "port": "http"},
        "initialDelaySeconds": 30, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3,
    }  # fmt: skip


def test_readiness_is_asked_as_the_guide_says():
    container = container_of(deployment())
    assert container["readinessProbe"] == {
        "httpGet": {"path": "/ready", "port": "http"},
        "initialDelaySeconds": 5, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 3,
    }  # fmt: skip


def test_resources_are_the_guides_but_memory_is_not_overcommitted():
    resources = container_of(deployment())["resources"]
    assert (resources["requests"]["cpu"], resources["limits"]["cpu"]) == ("500m", "2000m")
    assert (resources["requests"]["memory"], resources["limits"]["memory"]) == ("1Gi", "1Gi")


def test_the_autoscaler_alone_decides_how_many_pods_there_are():
    assert scaler()["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    assert "replicas" not in deployment()["spec"]


def test_the_autoscaler_keeps_to_its_bounds():
    assert [(scaler(stack)["minReplicas"], scaler(stack)["maxReplicas"]) for stack in ("prod", "local", "dev")] == [
        (3, 20), (3, 20), (2, 4),
    ]  # fmt: skip


def test_the_autoscaler_aims_at_the_guides_metrics():
    assert scaler()["metrics"] == [
        {
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
        },
        {
            "type": "Resource",
            "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 80}},
        },
        {
            "type": "Pods",
            "pods": {
                "metric": {"name": "http_requests_per_second"},
                "target": {"type": "AverageValue", "averageValue": "100"},
            },
        },
    ]


def test_the_autoscaler_moves_at_the_guides_pace():
    assert scaler()["behavior"] == {
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
        },
        "scaleUp": {
            "stabilizationWindowSeconds": 60,
            "policies": [
                {"type": "Percent", "value": 50, "periodSeconds": 60},
                {"type": "Pods", "value": 2, "periodSeconds": 60},
            ],
            "selectPolicy": "Max",
        },
    }


@pytest.fixture(scope="module")
def with_keda():
    return platform_of("prod", **KEDA)


@pytest.fixture
def scaled(with_keda):
    return with_keda.one("keda.sh/v1alpha1:ScaledObject", f"{NAME}-scaling")["spec"]


def test_keda_takes_the_place_of_the_autoscaler_and_of_the_adapter(with_keda):
    assert with_keda.all("HorizontalPodAutoscaler") == []
    assert [each.name for each in with_keda.registrations if "adapter" in each.name] == []


def test_the_autoscaler_that_keda_makes_has_the_same_name_bounds_and_pace(scaled):
    made = scaled["advanced"]["horizontalPodAutoscalerConfig"]
    assert scaled["scaleTargetRef"] == scaler()["scaleTargetRef"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (
        scaler()["minReplicas"], scaler()["maxReplicas"],
    )  # fmt: skip
    assert made == {"name": f"{NAME}-hpa", "behavior": scaler()["behavior"]}


def test_the_autoscaler_that_keda_makes_aims_at_the_same_metrics(scaled):
    cpu, memory, requests = scaler()["metrics"]
    utilization = {each["resource"]["name"]: each["resource"]["target"]["averageUtilization"] for each in (cpu, memory)}
    triggers = {each["type"]: each for each in scaled["triggers"]}
    assert list(triggers) == ["cpu", "memory", "prometheus"]
    for kind, percent in utilization.items():
        assert triggers[kind] == {"type": kind, "metricType": "Utilization", "metadata": {"value": str(percent)}}
    assert (triggers["prometheus"]["metricType"], triggers["prometheus"]["metadata"]["threshold"]) == (
        requests["pods"]["target"]["type"], requests["pods"]["target"]["averageValue"],
    )  # fmt: skip


def test_keda_counts_what_the_adapter_would_count(scaled):
    def counted(query):
        (selector,) = selectors(parse(query))
        own = {each for each in selector.matchers if each.label in {"job", "endpoint"}}
        return selector.metric, own, selector.seconds

    config = platform_of("prod").one("v1:ConfigMap", "adapter-config")["data"]["config.yaml"]
    (line,) = [line for line in config.splitlines() if "metricsQuery" in line]
    adapters = line.partition(": ")[2].replace("<<.Series>>", "http_requests_total").replace("<<.GroupBy>>", "pod")
    (trigger,) = [each for each in scaled["triggers"] if each["type"] == "prometheus"]
    assert counted(trigger["metadata"]["query"]) == counted(adapters.replace("<<.LabelMatchers>>", 'pod="a"'))
    assert counted(trigger["metadata"]["query"])[2] >= 4 * METRICS.interval


def test_keda_does_not_take_silence_for_a_lack_of_load(scaled):
    (trigger,) = [each for each in scaled["triggers"] if each["type"] == "prometheus"]
    assert trigger["metadata"]["ignoreNullValues"] == "false"


def test_keda_logs_in_to_prometheus_and_verifies_it(with_keda, scaled):
    (trigger,) = [each for each in scaled["triggers"] if each["type"] == "prometheus"]
    login = with_keda.one("keda.sh/v1alpha1:TriggerAuthentication", f"{NAME}-authentication")
    secret = with_keda.one("core/v1:Secret", "app-autoscaling")
    wanted = {each["parameter"]: (each["name"], each["key"]) for each in login["spec"]["secretTargetRef"]}
    assert trigger["authenticationRef"] == {"name": login["metadata"]["name"]}
    assert trigger["metadata"]["authModes"] == "basic"
    assert trigger["metadata"]["serverAddress"] == "https://prometheus.modelcard-observability:9090"
    assert wanted == {key: (secret["metadata"]["name"], key) for key in ("username", "password", "ca")}
    assert set(secret["stringData"].values()) == {"[secret]"}


def test_no_room_is_kept_for_an_adapter_that_is_not_there(with_keda):
    quotas = [
        int(platform.one("v1:ResourceQuota", "modelcard-observability-quota")["spec"]["hard"]["pods"])
        for platform in (platform_of("prod"), with_keda)
    ]
    assert quotas[0] - quotas[1] == 2 + 1  # of a rollout


def test_a_preview_counts_the_pods_that_keda_may_make():
    rendered = rendered_of("prod", **KEDA)
    assert checked(rendered).complaints == ()
    manifests = copy.deepcopy(dict(rendered.manifests))
    manifests[f"keda.sh/v1alpha1/ScaledObject modelcard/{NAME}"]["spec"]["maxReplicaCount"] = 21
    quota = "v1/ResourceQuota modelcard/quota: spec.hard"
    assert {line.partition("[")[0] for line in crosscheck(manifests)} == {quota}


def test_prometheus_answers_keda_and_the_adapter_no_more(with_keda):
    assert peers(with_keda.one("v1:NetworkPolicy", "prometheus-from-keda")) == {"keda/"}
    assert "prometheus-adapter" not in json.dumps([each.inputs for each in with_keda.all("v1:NetworkPolicy")])


def test_no_option_of_another_language_is_left(each_platform):
    text = json.dumps(each_platform.one("apps/v1:Deployment", "modelcard-generator"))
    assert [word for word in ("JAVA_OPTS", "PYTHON_GIL_COUNT", "-Xmx") if word in text] == []


def test_no_image_is_latest(each_platform):
    images = {container_of(each)["image"] for each in workloads(each_platform).values()}
    assert {image for image in images if ":" not in image or image.endswith(":latest")} == set()


def test_secrets_are_files_and_never_variables():
    container = container_of(deployment())
    secrets = {volume["name"] for volume in pod_of(deployment())["volumes"] if "secret" in volume}
    mounted = {mount["mountPath"]: mount["readOnly"] for mount in container["volumeMounts"] if mount["name"] in secrets}
    plain = [each for each in container["env"] if each.keys() == {"name", "value"} and each["value"] != "[secret]"]
    assert (container["env"], "envFrom" in container) == (plain, False)
    assert mounted == {"/run/secrets/modelcard": True}


def test_all_pods_together_leave_connections_for_others_even_during_a_rollout():
    left = {}
    for stack in ("prod", "local", "dev"):
        variables = {each["name"]: each["value"] for each in container_of(deployment(stack))["env"]}
        pods = settings_of(stack).app.replicas.max + 1
        used = pods * int(variables["MCG_WORKERS"]) * int(variables["MCG_DATABASE_POOL_SIZE"])
        left[stack] = settings_of(stack).database.max_connections - used
    assert left == {"prod": 32, "local": 32, "dev": 20}


def test_it_takes_the_uploads_that_the_edge_lets_through():
    variables = {each["name"]: each["value"] for each in container_of(deployment())["env"]}
    assert variables["MCG_UPLOAD_LIMIT"] == str(settings_of("prod").edge.upload_limit.bytes)


def test_every_path_it_is_told_of_is_mounted():
    container = container_of(deployment())
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    told = [variable["value"] for variable in container["env"] if variable["value"].startswith("/")]
    assert [path for path in told if not any(path == mount or path.startswith(f"{mount}/") for mount in mounts)] == []


def test_the_secret_files_are_the_urls_that_the_service_reads():
    secret = platform_of("prod").one("core/v1:Secret", "app-secrets")
    assert secret["stringData"] == {"mcg_database_url": "[secret]", "mcg_cache_url": "[secret]"}


def test_uploads_are_shared_and_kept_in_prod_only():
    kept = {}
    for stack in ("prod", "local", "dev"):
        (claim,) = [each for each in platform_of(stack).all("PersistentVolumeClaim") if each.name == "app-uploads"]
        kept[stack] = (claim.inputs["spec"]["accessModes"], claim.protect, claim.retain_on_delete)
    assert kept == {
        "prod": (["ReadWriteMany"], True, True),
        "local": (["ReadWriteMany"], False, False),
        "dev": (["ReadWriteOnce"], False, False),
    }


def test_uploads_are_on_the_storage_of_the_settings(settings):
    prod, dev = (platform_of(stack).one("Claim", "app-uploads")["spec"] for stack in ("prod", "dev"))
    assert prod["storageClassName"] == settings("prod").app.uploads.storage_class == "efs"
    assert "storageClassName" not in dev


def test_draining_fits_into_the_termination_grace():
    container = container_of(deployment())
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] < pod_of(deployment())["terminationGracePeriodSeconds"]
    assert pod_of(deployment())["terminationGracePeriodSeconds"] == settings_of("prod").app.termination_grace


def test_its_service_is_named_like_the_workload_and_selects_its_pods():
    service = platform_of("prod").one("core/v1:Service", f"{NAME}-service")
    assert (service["metadata"]["name"], service["spec"]["selector"]) == (WORKLOAD.name, WORKLOAD.selector)
    assert service["spec"]["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]
