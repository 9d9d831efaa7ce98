"""The application is deployed as its operations guide says, with the guide's defects mended."""

import json
from typing import Any

from infra.components.app import WORKLOAD
from tests.conftest import container_of, platform_of, pod_of, settings_of, workloads

NAME = "modelcard-generator"


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


def test_no_option_of_another_language_is_left(each_platform):
    text = json.dumps(list(each_platform.manifests()))
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
