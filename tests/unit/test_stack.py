"""How the components are put together, and what a stack is known by."""

import json
from pathlib import Path

import pytest

from infra.components.namespace import Quota
from infra.environments.recording import Recording
from infra.kube.identity import namespace_names
from infra.quantities import Cpu, Memory
from infra.quotas import MOST_NODES, quota
from tests.conftest import STACKS, jobs, platform_of, pod_of, settings_of, workloads

LOGICAL_NAMES = Path(__file__).with_name("logical_names.json")
LEVELS = {"modelcard": "restricted", "modelcard-observability": "restricted", "modelcard-agents": "privileged"}
REMEDY = (
    "A renamed resource is deleted and made anew, with its data. If that is meant, or resources were added or removed, "
    "`python -m tests.unit.test_stack` writes the list again; its diff belongs in the review."
)
each_namespace = pytest.mark.parametrize("namespace", namespace_names(settings_of("prod")).values())
UNITS = {"m": 1, "Mi": 2**20, "Gi": 2**30}


def logical_names(platform: Recording) -> list[str]:
    return sorted(f"{each.type} {each.name}" for each in platform.registrations if each.type != "pulumi:pulumi:Stack")


def amount(quantity: str) -> int:
    number = quantity.rstrip("mMGi")
    return int(number) * UNITS[quantity.removeprefix(number)]


def hard(platform: Recording, namespace: str = "modelcard") -> dict[str, str]:
    return platform.one("v1:ResourceQuota", f"{namespace}-quota")["spec"]["hard"]


def most_pods(platform: Recording, namespace: str) -> dict[str, int]:
    """Of each workload, as many as there may be at once."""
    scalers = {
        each.inputs["spec"]["scaleTargetRef"]["name"]: each.inputs["spec"]["maxReplicas"]
        for each in platform.all("v2:HorizontalPodAutoscaler")
    }
    periodic = {name: 1 for name in jobs(platform) if namespace == "modelcard"}
    return periodic | {
        name: MOST_NODES
        if each["kind"] == "DaemonSet"
        else scalers.get(name, each["spec"].get("replicas", 1))
        + each["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0)
        for name, each in workloads(platform).items()
        if each["metadata"]["namespace"] == namespace
    }


@pytest.mark.parametrize("stack", STACKS)
def test_no_resource_was_renamed_by_accident(stack):
    assert logical_names(platform_of(stack)) == json.loads(LOGICAL_NAMES.read_text())[stack], REMEDY


def test_no_two_objects_are_the_same_object(each_platform):
    identities = [(each["kind"], each["metadata"]) for each in each_platform.manifests()]
    objects = [(kind, metadata.get("namespace"), metadata["name"]) for kind, metadata in identities]
    assert len(objects) == len(set(objects))


@each_namespace
def test_the_quota_admits_every_pod_that_there_may_be_and_no_more(each_platform, namespace):
    assert int(hard(each_platform, namespace)["pods"]) == sum(most_pods(each_platform, namespace).values())


@each_namespace
@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_quota_admits_what_those_pods_request_and_no_more(each_platform, namespace, resource):
    needed = 0
    for name, count in most_pods(each_platform, namespace).items():
        pod = pod_of((workloads(each_platform) | jobs(each_platform))[name])
        groups = (pod["containers"], pod.get("initContainers", []))
        requests = [[amount(each["resources"]["requests"][resource]) for each in group] for group in groups]
        needed += count * max(sum(requests[0]), *requests[1], 0)
    assert amount(hard(each_platform, namespace)[f"requests.{resource}"]) == needed


@each_namespace
def test_the_quota_admits_every_claim_and_no_more(each_platform, namespace):
    claims = [each.inputs for each in each_platform.all("v1:PersistentVolumeClaim")]
    needed = sum(stored(each) for each in claims if each["metadata"]["namespace"] == namespace)
    for workload in workloads(each_platform).values():
        if workload["metadata"]["namespace"] == namespace:
            templates = workload["spec"].get("volumeClaimTemplates", [])
            needed += workload["spec"].get("replicas", 0) * sum(stored(each) for each in templates)
    for job in jobs(each_platform).values() if namespace == "modelcard" else ():
        volumes = [each["ephemeral"] for each in pod_of(job)["volumes"] if "ephemeral" in each]
        needed += sum(stored(each["volumeClaimTemplate"]) for each in volumes)
    assert amount(hard(each_platform, namespace)["requests.storage"]) == needed


def stored(claim) -> int:
    return amount(claim["spec"]["resources"]["requests"]["storage"])


def test_the_quota_of_a_small_stack_adds_up():
    resources = {"cpu_request": "100m", "cpu_limit": None, "memory_request": "1Gi", "memory_limit": "1Gi"}
    settings = settings_of(
        "dev",
        app={"replicas": {"min": 1, "max": 2}, "resources": resources, "uploads": {"size": "10Gi"}},
        edge={"replicas": 1, "resources": resources},
        database={
            "resources": resources,
            "backup_resources": resources,
            "rotation_resources": resources,
            "storage": {"size": "20Gi"},
        },
        cache={"resources": resources},
        backup={"resources": resources, "scratch": {"size": "5Gi"}},
        monitoring={"exporters": {"resources": resources}},
    )
    pods = (2 + 1) + (1 + 1) + 1 + (1 + 1) + 5
    containers = pods + (1 + 1) + 2  # exporters beside nginx; two beside PostgreSQL
    assert quota(settings, "application") == Quota(
        pods=pods, cpu=Cpu(f"{containers * 100}m"), memory=Memory(f"{containers * 1024}Mi"), storage=Memory("35840Mi")
    )


def test_services_that_bypass_the_ingress_are_refused(platform):
    assert (hard(platform)["services.nodeports"], hard(platform)["services.loadbalancers"]) == ("0", "0")


def test_the_namespace_admits_hardened_pods_only(each_platform):
    for namespace, level in LEVELS.items():
        labels = each_platform.one("core/v1:Namespace", namespace)["metadata"]["labels"]
        enforced = {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
        assert enforced == {level}


def test_what_people_ask_a_stack_for_is_exported(platform):
    (stack,) = platform.all("pulumi:pulumi:Stack")
    assert platform.outputs[stack.urn] == {"url": "https://modelcard.example.com/", "namespace": "modelcard"}


def test_no_secret_is_outside_of_secrets(each_platform):
    for each in each_platform.registrations:
        holds_secret = "[secret]" in json.dumps(each.inputs)
        # The authority's certificate is no secret, but comes with what is.
        public = each.type.endswith(("core/v1:ConfigMap", ":APIService"))
        assert not holds_secret or public or each.type.endswith("core/v1:Secret"), each.name


if __name__ == "__main__":
    names = {stack: logical_names(platform_of(stack)) for stack in STACKS}
    LOGICAL_NAMES.write_text(json.dumps(names, indent=2) + "\n")
