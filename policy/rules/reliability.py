"""The platform goes on while pods, nodes and zones come and go."""

from __future__ import annotations

from collections.abc import Iterator

from policy.kinds import BUDGET, CRON_JOB, DEPLOYMENT, JOB, STATEFUL_SET
from policy.model import Control, Node, Resource, Violation
from policy.pods import containers, pod, pod_rule, resource_rule
from policy.stack import SCALERS, Pods, Stack, matches, namespace_of, stack_rule

DISRUPTIONS = Control(
    "Kubernetes documentation, Disruptions; kube-score poddisruptionbudget",
    "https://kubernetes.io/docs/concepts/workloads/pods/disruptions/",
)
SPREAD = Control(
    "Kubernetes documentation, Pod Topology Spread Constraints; kube-score pod-topology-spread-constraints",
    "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/",
)
SCALING = Control(
    "Kubernetes documentation, Horizontal Pod Autoscaling; kube-score horizontalpodautoscaler-replicas",
    "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/",
)
ROLLING = Control(
    "Kubernetes documentation, Deployments and termination of Pods",
    "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy",
)
JOBS = Control(
    "Kubernetes documentation, CronJob limitations; kube-score cronjob-has-deadline",
    "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/",
)

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
MOST_RETRIES = 6  # Kubernetes' own backoffLimit


def _budgets(stack: Stack, pods: Pods) -> list[Resource]:
    return [
        budget
        for budget in stack.of(BUDGET)
        if namespace_of(budget) == pods.namespace and matches(budget.at("spec", "selector"), pods.labels)
    ]


@stack_rule(DISRUPTIONS, "Declare one PodDisruptionBudget for the pods.", DEPLOYMENT, STATEFUL_SET)
def disruption_budget(workload: Resource, stack: Stack) -> Iterator[Violation]:
    """Of several pods a drain takes them one after another, so that somebody serves all the time."""
    pods = Pods(workload)
    low, _ = stack.count(pods)
    found = len(_budgets(stack, pods))
    if low > 1 and found != 1:
        yield "", f"has {found or 'no'} PodDisruptionBudgets for its pods; declare one"


@stack_rule(DISRUPTIONS, "Set maxUnavailable to 1.", BUDGET)
def budget_leaves_room(budget: Resource, stack: Stack) -> Iterator[Violation]:
    """A budget lets a drain take at least one pod and never all of them, however few the autoscaler keeps."""
    spec = budget.at("spec")
    least, most = spec.at("minAvailable"), spec.at("maxUnavailable")
    if (least.value is None) == (most.value is None):
        yield spec.path, "sets neither or both of minAvailable and maxUnavailable; set one"
        return
    field = most if least.value is None else least
    for pods in stack.selected(namespace_of(budget), spec.at("selector")):
        low, _ = stack.count(pods)
        amount = _share(field, low)
        taken = amount if field is most else low - amount
        if taken < 1:
            yield field.path, f"lets no drain take any of the {low} pods that there may be; leave room for one"
        elif taken >= low > 1:
            yield field.path, f"lets a drain take all of the {low} pods that there may be; keep one"


def _share(field: Node, of: int) -> int:
    text = str(field.value)
    # Kubernetes rounds a percentage up, of either field.
    return -(-of * int(text[:-1]) // 100) if text.endswith("%") else int(float(text))


@stack_rule(SCALING, "Let the autoscaler keep two pods or more, and the workload declare no replicas.", *SCALERS)
def autoscaler_decides_alone(scaler: Resource, stack: Stack) -> Iterator[Violation]:
    """An autoscaler has a target that leaves the number to it, room to scale, and never leaves a single pod."""
    pods = stack.scaled(scaler)
    low, high = (scaler.at("spec", key) for key in SCALERS[scaler.type])
    if pods is None:
        yield "spec.scaleTargetRef", "names no workload of the stack; name the one that it scales"
    elif pods.resource.at("spec", "replicas").value is not None:
        yield "spec.scaleTargetRef", "has a target that declares replicas, which each deployment would set; remove them"
    if int(low.value or 1) < 2:
        yield low.path, "may leave a single pod; keep two"
    if high.value is None or int(high.value) <= int(low.value or 1):
        yield high.path, "leaves no room to scale; let it be above the minimum"


@stack_rule(SCALING, "Run two replicas or more, or let an autoscaler decide.", DEPLOYMENT)
def several_replicas(deployment: Resource, stack: Stack) -> Iterator[Violation]:
    """Nothing that serves depends on one pod."""
    low, _ = stack.count(Pods(deployment))
    if low < 2:
        yield "spec.replicas", "leaves a single pod, and nobody while it is replaced; run two"


@resource_rule(SPREAD, "Spread the pods over hosts and zones by topologySpreadConstraints.", DEPLOYMENT, STATEFUL_SET)
def spread_pods(workload: Resource) -> Iterator[Violation]:
    """Pods of one workload are spread over hosts and zones, so that losing one of these does not lose them all."""
    pods = Pods(workload)
    constraints = pods.spec.at("topologySpreadConstraints")
    spread = {
        each.at("topologyKey").value
        for each in constraints.elements()
        if each.at("labelSelector").value and matches(each.at("labelSelector"), pods.labels)
    }
    for key in (HOST, ZONE):
        if key not in spread:
            yield constraints.path, f"does not spread these pods over {key}; add a constraint with their labels"


@resource_rule(SPREAD, "Set affinity.podAntiAffinity by kubernetes.io/hostname.", DEPLOYMENT, STATEFUL_SET)
def apart_from_each_other(workload: Resource) -> Iterator[Violation]:
    """Pods of one workload avoid each other's host, in the middle of a rollout too."""
    pods = Pods(workload)
    rules = pods.spec.at("affinity", "podAntiAffinity")
    preferred = rules.at("preferredDuringSchedulingIgnoredDuringExecution").elements()
    terms = [
        *rules.at("requiredDuringSchedulingIgnoredDuringExecution").elements(),
        *(each.at("podAffinityTerm") for each in preferred),
    ]
    avoids = any(
        each.at("topologyKey").value == HOST and matches(each.at("labelSelector"), pods.labels) for each in terms
    )
    if not avoids:
        yield rules.path, "does not keep these pods off each other's host; add a term with their labels"


@resource_rule(ROLLING, "Use RollingUpdate with maxUnavailable 0 and maxSurge 1.", DEPLOYMENT)
def rollout_keeps_serving(deployment: Resource) -> Iterator[Violation]:
    """A rollout starts a new pod before it ends an old one."""
    strategy = deployment.at("spec", "strategy")
    if strategy.at("type").value not in {None, "RollingUpdate"}:
        yield strategy.at("type").path, "ends all pods before it starts new ones; use RollingUpdate"
    elif str(strategy.at("rollingUpdate", "maxUnavailable").value) not in {"0", "0.0", "0%"}:
        yield strategy.at("rollingUpdate", "maxUnavailable").path, "ends pods before others are ready; set it to 0"


@pod_rule(ROLLING, "Let terminationGracePeriodSeconds exceed the longest preStop sleep.")
def drain_within_grace(spec: Node) -> Iterator[Violation]:
    """A pod that ends has time left after it has waited for its last connections to arrive."""
    grace = spec.at("terminationGracePeriodSeconds").value
    for container in spec.at("containers").elements():
        sleep = container.at("lifecycle", "preStop", "sleep", "seconds")
        if int(sleep.value or 0) >= (30 if grace is None else int(grace)):
            yield sleep.path, "waits until the pod is killed; raise terminationGracePeriodSeconds"


@resource_rule(JOBS, "Set activeDeadlineSeconds, backoffLimit and restartPolicy Never or OnFailure.", CRON_JOB, JOB)
def bounded_job(job: Resource) -> Iterator[Violation]:
    """A job ends: after a time, and after some attempts."""
    spec = job.at("spec", "jobTemplate", "spec") if job.type == CRON_JOB else job.at("spec")
    if not spec.at("activeDeadlineSeconds").value:
        yield (
            spec.at("activeDeadlineSeconds").path,
            "is not set, so the job may hang for ever; say how long it may take",
        )
    retries = spec.at("backoffLimit")
    if retries.value is None or int(retries.value) > MOST_RETRIES:
        yield retries.path, f"is not set, or above {MOST_RETRIES}; say how often the job may be tried again"
    restart = pod(job).at("restartPolicy")
    if restart.value not in {"Never", "OnFailure"}:
        yield restart.path, "is not said; set it to Never, or to OnFailure"


@resource_rule(JOBS, "Set concurrencyPolicy to Forbid or Replace, startingDeadlineSeconds and timeZone.", CRON_JOB)
def deliberate_schedule(job: Resource) -> Iterator[Violation]:
    """Two runs of a job never meet, a missed one is caught up with or counted, and the clock is known."""
    spec = job.at("spec")
    if spec.at("concurrencyPolicy").value not in {"Forbid", "Replace"}:
        yield spec.at("concurrencyPolicy").path, "lets two runs meet; set it to Forbid"
    if not spec.at("startingDeadlineSeconds").value:
        yield (
            spec.at("startingDeadlineSeconds").path,
            "is not set, so a missed run may be lost unseen; say how late it may be",
        )
    if not spec.at("timeZone").value:
        yield spec.at("timeZone").path, "is left to the cluster's clock; set it to UTC"
    if spec.at("suspend").value:
        yield spec.at("suspend").path, "stops the job for good; remove it, or the job"


@resource_rule(
    Control(
        "kube-score environment-variable-key-duplication and label checks",
        "https://github.com/zegl/kube-score/blob/master/README_CHECKS.md",
    ),
    "Name each variable and port once.",
    DEPLOYMENT,
    STATEFUL_SET,
)
def named_once(workload: Resource) -> Iterator[Violation]:
    """What a container is told, it is told once: of two values of a variable the last one wins, unseen."""
    for container in containers(workload):
        for key, name in (("env", "name"), ("ports", "name")):
            names = [each.at(name).value for each in container.at(key).elements()]
            if len(names) != len(set(names)):
                yield container.at(key).path, "names something twice; keep one"


@resource_rule(ROLLING, "Let spec.selector match the labels of the pod template.", DEPLOYMENT, STATEFUL_SET)
def selects_its_own_pods(workload: Resource) -> Iterator[Violation]:
    """A controller finds the pods that it makes."""
    selector = workload.at("spec", "selector")
    if not selector.value or not matches(selector, Pods(workload).labels):
        yield selector.path, "does not match the labels of its own pods; use the same labels"


RULES = (
    disruption_budget,
    budget_leaves_room,
    autoscaler_decides_alone,
    several_replicas,
    spread_pods,
    apart_from_each_other,
    rollout_keeps_serving,
    drain_within_grace,
    bounded_job,
    deliberate_schedule,
    named_once,
    selects_its_own_pods,
)
