"""Nothing runs that the other rules cannot see."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Control, Resource, Rule, Violation
from policy.pods import KINDS, pod, workload_rule

SEEN = Control(
    "Kubernetes documentation, Policies: every object is checked before it is admitted",
    "https://kubernetes.io/docs/concepts/policy/",
)

# Fragments and collections of workloads, versions that no cluster serves any more, and charts rendered on the way.
OPAQUE = frozenset(
    {
        *(f"{kind}{suffix}" for kind in KINDS for suffix in ("List", "Patch")),
        *(
            f"kubernetes:{version}:{kind}"
            for version in ("apps/v1beta1", "apps/v1beta2", "extensions/v1beta1", "batch/v1beta1", "batch/v2alpha1")
            for kind in ("CronJob", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")
        ),
        "kubernetes:helm.sh/v3:Release",
    },
)


@workload_rule(SEEN, "Give the workload at least one container.")
def has_containers(resource: Resource) -> Iterator[Violation]:
    """A workload has containers where the rules look for them."""
    listed = pod(resource).at("containers")
    if not list(listed.elements()):
        yield listed.path, "is empty, so no rule has anything to check; declare the containers"


def _opaque(_: Resource) -> Iterator[Violation]:
    yield "", "hides pods from the rules; declare the workload itself (apps/v1, batch/v1 or core/v1)"


no_opaque_workload = Rule(
    name="no-opaque-workload",
    summary="No resource runs pods that the rules cannot see.",
    control=SEEN,
    remedy="Declare the workload itself as a resource of apps/v1, batch/v1 or core/v1.",
    kinds=OPAQUE,
    check=_opaque,
)

RULES = (has_containers, no_opaque_workload)
