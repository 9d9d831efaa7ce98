"""How the components are put together, and what a stack is known by."""

import json
from pathlib import Path

import pytest

from infra.components.namespace import Quota
from infra.environments.recording import Recording
from infra.quantities import Cpu, Memory
from infra.stack import quota
from tests.conftest import STACKS, platform_of, pod_of, settings_of, workloads

LOGICAL_NAMES = Path(__file__).with_name("logical_names.json")
REMEDY = (
    "A renamed resource is deleted and made anew, with its data. If that is meant, or resources were added or removed, "
    "`python -m tests.unit.test_stack` writes the list again; its diff belongs in the review."
)
UNITS = {"m": 1, "Mi": 2**20, "Gi": 2**30}


def logical_names(platform: Recording) -> list[str]:
    return sorted(f"{each.type} {each.name}" for each in platform.registrations if each.type != "pulumi:pulumi:Stack")


def amount(quantity: str) -> int:
    number = quantity.rstrip("mMGi")
    return int(number) * UNITS[quantity.removeprefix(number)]


def hard(platform: Recording) -> dict[str, str]:
    return platform.one("v1:ResourceQuota", "modelcard-quota")["spec"]["hard"]


def most_pods(platform: Recording) -> dict[str, int]:
    """Of each workload, as many as there may be at once."""
    scalers = {
        each.inputs["spec"]["scaleTargetRef"]["name"]: each.inputs["spec"]["maxReplicas"]
        for each in platform.all("v2:HorizontalPodAutoscaler")
    }
    return {
        name: scalers.get(name, each["spec"].get("replicas"))
        + each["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0)
        for name, each in workloads(platform).items()
    }


@pytest.mark.parametrize("stack", STACKS)
def test_no_resource_was_renamed_by_accident(stack):
    assert logical_names(platform_of(stack)) == json.loads(LOGICAL_NAMES.read_text())[stack], REMEDY


def test_no_two_objects_are_the_same_object(each_platform):
    identities = [(each["kind"], each["metadata"]) for each in each_platform.manifests()]
    objects = [(kind, metadata.get("namespace"), metadata["name"]) for kind, metadata in identities]
    assert len(objects) == len(set(objects))


def test_the_quota_admits_every_pod_that_there_may_be_and_no_more(each_platform):
    assert int(hard(each_platform)["pods"]) == sum(most_pods(each_platform).values())


@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_quota_admits_what_those_pods_request_and_no_more(each_platform, resource):
    needed = 0
    for name, count in most_pods(each_platform).items():
        pod = pod_of(workloads(each_platform)[name])
        groups = (pod["containers"], pod.get("initContainers", []))
        requests = [[amount(each["resources"]["requests"][resource]) for each in group] for group in groups]
        needed += count * max(sum(requests[0]), *requests[1], 0)
    assert amount(hard(each_platform)[f"requests.{resource}"]) == needed


def test_the_quota_admits_every_claim_and_no_more(each_platform):
    claims = [each.inputs for each in each_platform.all("v1:PersistentVolumeClaim")]
    for workload in workloads(each_platform).values():
        claims += workload["spec"].get("volumeClaimTemplates", [])
    needed = sum(amount(claim["spec"]["resources"]["requests"]["storage"]) for claim in claims)
    assert amount(hard(each_platform)["requests.storage"]) == needed


def test_the_quota_of_a_small_stack_adds_up():
    resources = {"cpu_request": "100m", "cpu_limit": None, "memory_request": "1Gi", "memory_limit": "1Gi"}
    settings = settings_of(
        "dev",
        app={"replicas": {"min": 1, "max": 2}, "resources": resources, "uploads": {"size": "10Gi"}},
        edge={"replicas": 1, "resources": resources},
        database={"resources": resources, "storage": {"size": "20Gi"}},
        cache={"resources": resources},
    )
    pods = (2 + 1) + (1 + 1) + 1 + (1 + 1)
    assert quota(settings) == Quota(
        pods=pods, cpu=Cpu(f"{pods * 100}m"), memory=Memory(f"{pods * 1024}Mi"), storage=Memory("30720Mi")
    )


def test_services_that_bypass_the_ingress_are_refused(platform):
    assert (hard(platform)["services.nodeports"], hard(platform)["services.loadbalancers"]) == ("0", "0")


def test_the_namespace_admits_hardened_pods_only(each_platform):
    labels = each_platform.one("core/v1:Namespace", "modelcard")["metadata"]["labels"]
    assert {mode: labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {
        "enforce": "restricted", "audit": "restricted", "warn": "restricted",
    }  # fmt: skip


def test_what_people_ask_a_stack_for_is_exported(platform):
    (stack,) = platform.all("pulumi:pulumi:Stack")
    assert platform.outputs[stack.urn] == {"url": "https://modelcard.example.com/", "namespace": "modelcard"}


def test_no_secret_is_outside_of_secrets(each_platform):
    for each in each_platform.registrations:
        holds_secret = "[secret]" in json.dumps(each.inputs)
        assert not holds_secret or each.type.endswith(("core/v1:Secret", "core/v1:ConfigMap")), each.name


if __name__ == "__main__":
    names = {stack: logical_names(platform_of(stack)) for stack in STACKS}
    LOGICAL_NAMES.write_text(json.dumps(names, indent=2) + "\n")
