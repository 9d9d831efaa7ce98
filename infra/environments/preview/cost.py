"""What a stack asks a cluster for: the least that it may take, the most, and what each node gives for its agents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from infra.environments.preview.capacity import SCALERS, most, storage, usage
from infra.environments.preview.manifests import Manifests
from infra.environments.preview.objects import Objects, Pods, namespace_of

NOTHING = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Requests of pods, and the size of claims. CPU in cores, the others in bytes."""

    pods: int = 0
    cpu: Decimal = NOTHING
    memory: Decimal = NOTHING
    storage: Decimal = NOTHING

    def __add__(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(
            pods=self.pods + other.pods,
            cpu=self.cpu + other.cpu,
            memory=self.memory + other.memory,
            storage=self.storage + other.storage,
        )


@dataclass(frozen=True, kw_only=True)
class Costs:
    """`least` while nobody asks anything, `most` with every autoscaler at its end in the middle of a rollout."""

    least: Cost
    most: Cost
    node: Cost


def costs(manifests: Manifests) -> Costs:
    """What these objects ask for."""
    objects = Objects(manifests)
    claims = sum((storage(each) for _, each in objects.of("PersistentVolumeClaim")), NOTHING)
    kept = Cost(storage=claims)
    ours = [each for each in objects.pods if each.kind != "DaemonSet"]
    return Costs(
        least=sum((_of(each, _least(objects, each)) for each in ours), kept),
        most=sum((_of(each, most(objects, each)) for each in ours), kept),
        node=sum((_of(each, 1) for each in objects.pods if each.kind == "DaemonSet"), Cost()),
    )


def _of(pods: Pods, count: int) -> Cost:
    each = usage(pods)
    claims = pods.controller.get("spec", {}).get("volumeClaimTemplates", [])
    replicas = int(pods.controller.get("spec", {}).get("replicas", 1))
    return Cost(
        pods=count,
        cpu=each["requests.cpu"] * count,
        memory=each["requests.memory"] * count,
        storage=sum((storage(claim) for claim in claims), NOTHING) * replicas,
    )


def _least(objects: Objects, pods: Pods) -> int:
    return next(_scaled(objects, pods), int(pods.controller.get("spec", {}).get("replicas", 1)))


def _scaled(objects: Objects, pods: Pods) -> Iterator[int]:
    """The lower bound of the pods' autoscaler, if they have one."""
    for _, scaler in objects.of(*SCALERS):
        target = scaler["spec"]["scaleTargetRef"]
        if namespace_of(scaler) == pods.namespace and (target["kind"], target["name"]) == (pods.kind, pods.name):
            yield int(scaler["spec"].get(SCALERS[scaler["kind"]][0], 1))
