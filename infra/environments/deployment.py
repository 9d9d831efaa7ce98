"""From a stack file to running pods: check without an engine, deploy with it, say what is ready."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config

from infra.environments import approvals, rollouts, secrets, state_backups
from infra.environments.approvals import Loss
from infra.environments.engine import DeploymentError, Engine, Operation, Outcome, Progress
from infra.environments.local.cluster import LocalCluster
from infra.environments.local.failures import NOT_RUNNING
from infra.environments.local.waiting import wait_until
from infra.environments.plan import Plan, plan_of
from infra.environments.preview import preview, stackfile
from infra.environments.preview.stack_preview import rendered
from infra.environments.workspace import LOCAL, Workspace
from infra.errors import UserError
from infra.kube.identity import namespace_names
from infra.settings import Environment, Settings
from infra.settings_reading import SettingsError

SIMULATED = "kwok.x-k8s.io/node"
CONNECT_TIMEOUT = 5
STRAY_TIMEOUT = 20


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """One object of the stack: how many of its pods (or itself) are ready, of how many."""

    kind: str
    name: str
    ready: int
    wanted: int


@dataclass(frozen=True, kw_only=True)
class Status:
    """What runs. Behind a simulated pod stands no process."""

    namespaces: tuple[str, ...]
    pods: int
    simulated_pods: int
    objects: tuple[Readiness, ...]

    @property
    def ready(self) -> bool:
        """Whether there is something and all of it is ready."""
        return bool(self.objects) and all(each.ready >= each.wanted for each in self.objects)


def cluster_of(space: Workspace) -> LocalCluster | None:
    """The embedded control plane that belongs to the workspace, if it is a local one."""
    if space.stack != LOCAL:
        return None
    return LocalCluster(space.project.parent / "cluster", space.root / ".tools" / "bin")


def settings_of(space: Workspace) -> Settings:
    """The stack's settings, with secrets in their encrypted place only."""
    return stackfile.read(space.project, space.stack)


def up(space: Workspace, progress: Progress, plan: Plan | None = None) -> Outcome:
    """Deploys the stack; the local one gets a control plane and secrets first.

    Raises `UserError` before anything is touched when settings, manifests or policies are not in order, when protected
    data would be lost, or when something else would be done than planned.
    """
    check_all(space)
    lost = False
    if cluster := cluster_of(space):
        end_strays(space)
        if _killed(space):
            progress("the last run was killed, and nobody knows what it had made: starting anew")
            cluster.down()
        created = cluster.up(progress) == "created"
        lost = cluster.cloud.fresh and not created
        if created:
            # A new cluster holds nothing of what an old state says.
            shutil.rmtree(space.project.parent / "state", ignore_errors=True)
            (space.project.parent / "state").mkdir()
    reachable(space)
    engine = Engine(space)
    engine.select()
    _have_secrets(space, progress)
    if lost:
        progress("the local cloud had ended and is empty: finding out what has to be made again")
        engine.run(Operation.REFRESH, progress, repair=True)
    if plan:
        plan.check_foundations(space)
    if plan or settings_of(space).protect_data:
        now = _planned(space, engine, progress)
        if plan:
            plan.check(now)
    if copy := state_backups.back_up(space):
        progress(f"the state before is kept as {copy.name}")
    progress("deploying")
    try:
        outcome = engine.run(Operation.UP, progress, repair=space.stack == LOCAL)
        state_backups.back_up(space)
        _have_rolled_out(space)
    except DeploymentError as error:
        raise DeploymentError("\n".join([str(error), *waiting(space)])) from None
    return outcome


def plan(space: Workspace, progress: Progress) -> Plan:
    """What an `up` would do now, according to the engine and the cluster. Raises `UserError` as `up` does."""
    check_all(space)
    reachable(space)
    engine = Engine(space)
    engine.select()
    return _planned(space, engine, progress)


def down(space: Workspace, progress: Progress) -> None:
    """Removes the stack: the local one with its control plane and folder, any other by the engine."""
    cluster = cluster_of(space)
    if cluster is None:
        reachable(space)
        Engine(space).run(Operation.DESTROY, progress)
        return
    end_strays(space)
    cluster.down()
    shutil.rmtree(space.project.parent)


def reachable(space: Workspace) -> Any:
    """A client of the workspace's cluster. Raises `UserError` when it does not answer."""
    path = space.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    try:
        api: Any = config.new_client_from_config(config_file=str(Path(path.split(os.pathsep)[0]).expanduser()))
    except (config.ConfigException, OSError) as error:
        raise _unreachable(
            space, f"{path}: not a usable kubeconfig ({error}): set KUBECONFIG to your cluster's"
        ) from None
    pool = api.rest_client.pool_manager
    pool.connection_pool_kw["retries"] = urllib3.Retry(0)
    try:
        client.VersionApi(api).get_code(_request_timeout=CONNECT_TIMEOUT)
    except (urllib3.exceptions.HTTPError, OSError):
        raise _unreachable(
            space, f"{path}: the cluster at {api.configuration.host} does not answer: start it, or set KUBECONFIG"
        ) from None
    except client.ApiException as error:
        raise UserError(
            f"{path}: the cluster at {api.configuration.host} refuses us: {error.status} {error.reason}"
        ) from None
    return api


def _unreachable(space: Workspace, why: str) -> UserError:
    """`why`, but of the local stack whoever has it knows no kubeconfig."""
    return UserError(NOT_RUNNING if cluster_of(space) else why)


def waiting(space: Workspace) -> list[str]:
    """Why containers of the stack do not run, one line each."""
    core: Any = client.CoreV1Api(reachable(space))
    return [
        f"{pod.metadata.name}: container {container.name}: {reason.reason}: {reason.message}"
        for namespace in namespace_names(settings_of(space)).values()
        for pod in core.list_namespaced_pod(namespace).items
        for container in [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]
        if (reason := container.state.waiting) and reason.reason != "PodInitializing"
    ]


def status(space: Workspace) -> Status:
    """What of the stack's workloads is ready."""
    api = reachable(space)
    namespaces = list(namespace_names(settings_of(space)).values())
    core: Any = client.CoreV1Api(api)
    nodes = {node.metadata.name for node in core.list_node().items if SIMULATED in (node.metadata.annotations or {})}
    pods = [pod for namespace in namespaces for pod in core.list_namespaced_pod(namespace).items]
    return Status(
        namespaces=tuple(namespaces),
        pods=len(pods),
        simulated_pods=sum(pod.spec.node_name in nodes for pod in pods),
        objects=tuple(each for namespace in namespaces for each in _objects(api, namespace)),
    )


def _objects(api: Any, namespace: str) -> Iterator[Readiness]:
    apps: Any = client.AppsV1Api(api)
    core: Any = client.CoreV1Api(api)
    networking: Any = client.NetworkingV1Api(api)
    for deployment in apps.list_namespaced_deployment(namespace).items:
        yield _readiness("Deployment", deployment, deployment.status.ready_replicas, deployment.spec.replicas)
    for stateful_set in apps.list_namespaced_stateful_set(namespace).items:
        yield _readiness("StatefulSet", stateful_set, stateful_set.status.ready_replicas, stateful_set.spec.replicas)
    for daemon_set in apps.list_namespaced_daemon_set(namespace).items:
        status = daemon_set.status
        yield _readiness("DaemonSet", daemon_set, status.number_ready, status.desired_number_scheduled)
    for claim in core.list_namespaced_persistent_volume_claim(namespace).items:
        yield _readiness("PersistentVolumeClaim", claim, claim.status.phase == "Bound", 1)
    for ingress in networking.list_namespaced_ingress(namespace).items:
        yield _readiness("Ingress", ingress, bool(ingress.status.load_balancer.ingress), 1)


def _readiness(kind: str, each: Any, ready: int | None, wanted: int) -> Readiness:
    return Readiness(kind=kind, name=each.metadata.name, ready=int(ready or 0), wanted=wanted)


def check(space: Workspace) -> None:
    """All that can be known before anything is touched. Raises `UserError`."""
    result = preview(space.stack, space.project)
    if not result.ok:
        raise UserError("\n".join(result.complaints))


def check_all(space: Workspace) -> None:
    """The same, and what a stack needs that is to stay. Raises `UserError`."""
    file, document, settings = space.stack_file.name, space.document(), settings_of(space)
    if space.stack != LOCAL and secrets.KEY not in space.config():
        raise SettingsError([f"{file}: secrets are missing: run `mcenv secrets init {space.stack}`"])
    by_passphrase = "encryptionsalt" in document or document.get("secretsprovider") == "passphrase"
    if settings.environment is Environment.PROD and by_passphrase:
        raise UserError(
            f"{file}: its secrets are encrypted by a passphrase, which prod must not depend on: give them to a key"
            f" service with `pulumi stack change-secrets-provider awskms://ALIAS --stack {space.stack}`"
        )
    check(space)


def _planned(space: Workspace, engine: Engine, progress: Progress) -> Plan:
    """Asks the engine what it would do, after what it may not do has been refused."""
    settings, today = settings_of(space), datetime.now(UTC).date()
    declared = rendered(space.stack, space.project)

    def refuse(losses: Sequence[Loss]) -> None:
        if settings.protect_data and (
            lines := approvals.refused(losses, settings.approvals, today, space.stack_file.name)
        ):
            raise UserError("\n".join(lines))

    losses = list(approvals.foreseen(space.exported() or {"resources": []}, declared.registrations))
    refuse(losses)
    if protected := [loss.urn for loss in losses if loss.urn]:
        state_backups.back_up(space)
        for urn in protected:
            # The engine would not even plan it.
            space.pulumi("state", "unprotect", urn, "--yes")
    progress("asking the engine what it would do")
    changes = engine.run(Operation.PREVIEW, lambda _: None, repair=space.stack == LOCAL).changes
    refuse(list(approvals.planned(changes)))
    return plan_of(space, changes, declared.manifests)


def _have_rolled_out(space: Workspace) -> None:
    settings = settings_of(space)
    namespaces = namespace_names(settings).values()
    left = rollouts.unfinished(reachable(space), namespaces, within=settings.rollout_deadline)
    if left:
        raise DeploymentError("\n".join(left))


def _have_secrets(space: Workspace, progress: Progress) -> None:
    if space.stack == LOCAL and secrets.KEY not in space.config():
        progress("generating secrets")
        secrets.initialise(space, settings_of(space))


def _killed(space: Workspace) -> bool:
    """Whether the last engine ended without writing down what it had done; ours writes its state last."""
    state = space.project.parent / "state"
    file = space.state_file
    cut_off = file is not None and file.exists() and not _whole(file)
    return cut_off or any((state / ".pulumi" / "locks").rglob("*.json"))


def _whole(state: Path) -> bool:
    try:
        return bool(json.loads(state.read_text()))
    except (OSError, ValueError):
        return False


def end_strays(space: Workspace) -> None:
    """Ends engines that outlived a killed run; they work in the project's folder and in no other."""
    for end in (signal.SIGTERM, signal.SIGKILL):  # the first lets an engine end what it is doing
        for process in _strays(space):
            with suppress(ProcessLookupError):
                os.kill(process, end)
        if wait_until(lambda: not _strays(space), timeout=STRAY_TIMEOUT):
            return


def _strays(space: Workspace) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == space.project and (process / "exe").readlink().name.startswith("pulumi"):
                found.append(int(process.name))
    return found
