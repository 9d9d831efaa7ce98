"""`mcenv recover`: the database and the uploads of a moment, in new volumes, with the platform on them again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client

from infra.components import app, database, recovery
from infra.environments import deployment, state_backups
from infra.environments.engine import Change, DeploymentError, Engine, Operation, Progress
from infra.environments.local.waiting import wait_until
from infra.environments.workspace import RECOVERY, Workspace
from infra.errors import UserError
from infra.kube.identity import namespace_names
from infra.quantities import Moment

LOOK = 3.0  # seconds between two looks at what the job says
GONE = 60  # seconds in which Kubernetes must have removed a failed job
NOT_FOUND = 404


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What came back, as the job has `said` it line by line, and after how many seconds the platform was ready."""

    said: tuple[str, ...]
    seconds: float


def recover(space: Workspace, moment: Moment, progress: Progress) -> Recovered:
    """Deploys the stack with its data of that moment. After a failure the same call goes on.

    Raises `UserError` before anything is touched where there is a database already or nothing is backed up, and
    `DeploymentError` with what the job said when it fails.
    """
    settings = deployment.settings_of(space)
    namespace = namespace_names(settings)["application"]
    if settings.preview_environment:
        raise UserError(f"{space.stack}: is a preview environment, which is in no backup")
    began = time.monotonic()
    deployment.check_all(space)
    api = deployment.reachable(space)
    _refuse_to_replace(api, namespace)
    _remove_failed_job(api, namespace)
    progress(f"{len(_take_stock(space, progress))} objects are gone or otherwise")
    space.pulumi("config", "set", RECOVERY, moment)
    try:
        with _telling(api, namespace, progress):
            deployment.up(space, progress)
    except DeploymentError as error:
        why = [f"{recovery.WORKLOAD.name}: {line}" for line in _said(api, namespace)[-1:]]
        again = f"what is there is used again by `mcenv recover {space.stack} --at {moment}`"
        raise DeploymentError("\n".join([str(error), *why, again])) from None
    said = _said(api, namespace)
    space.pulumi("config", "rm", RECOVERY)
    return Recovered(said=said, seconds=time.monotonic() - began)


def _take_stock(space: Workspace, progress: Progress) -> Sequence[Change]:
    """Has the state learn what is left; the newest copy of one that is lost as well."""
    copies = state_backups.present(space)
    if copies and space.exported() is None:
        progress("the state is lost as well")
        return state_backups.restore(space, copies[-1].name, lambda _: None).changes
    progress("finding out what is gone")
    return Engine(space).run(Operation.REFRESH, lambda _: None).changes


def _refuse_to_replace(api: Any, namespace: str) -> None:
    apps: Any = client.AppsV1Api(api)
    try:
        apps.read_namespaced_stateful_set(database.WORKLOAD.name, namespace)
    except client.ApiException as error:
        if error.status == NOT_FOUND:
            return
        raise
    raise UserError(
        f"{namespace}: there is a database, and recovery fills new volumes only: if what it holds is to be given up, "
        f"`kubectl -n {namespace} delete statefulset/{database.WORKLOAD.name} pvc/{database.CLAIM}`, "
        f"and pvc/{app.CLAIM} if the uploads are, too"
    )


def _remove_failed_job(api: Any, namespace: str) -> None:
    """The engine would wait for it once more. Goes with its pods: two must not fill one volume."""
    batch: Any = client.BatchV1Api(api)

    def gone() -> bool:
        try:
            batch.delete_namespaced_job(recovery.WORKLOAD.name, namespace, propagation_policy="Foreground")
        except client.ApiException as error:
            if error.status == NOT_FOUND:
                return True
            raise
        return False

    if not wait_until(gone, GONE, interval=1):
        raise UserError(
            f"{namespace}: job/{recovery.WORKLOAD.name} has failed and its pod does not end: see "
            f"`kubectl -n {namespace} describe pod -l {_pods()}`, then run this again"
        )


@contextmanager
def _telling(api: Any, namespace: str, progress: Progress) -> Iterator[None]:
    """While the block runs, tells what the job says when it says it: a large database takes hours."""
    ended = threading.Event()

    def follow() -> None:
        told: tuple[str, ...] = ()
        over = False
        while not over:
            over = ended.wait(LOOK)
            said = _said(api, namespace)
            # A second attempt begins anew.
            for line in said[len(told) :] if said[: len(told)] == told else said:
                progress(f"{recovery.WORKLOAD.name}: {line}")
            told = said

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _pods() -> str:
    """The label selector of the job's pods."""
    return ",".join(f"{key}={value}" for key, value in recovery.WORKLOAD.selector.items())


def _said(api: Any, namespace: str) -> tuple[str, ...]:
    """By the job's newest pod; nothing, if it has none or where pods are simulated."""
    core: Any = client.CoreV1Api(api)
    try:
        pods = core.list_namespaced_pod(namespace, label_selector=_pods()).items
        if not pods:
            return ()
        newest = max(pods, key=lambda pod: pod.metadata.creation_timestamp)
        log: str | None = core.read_namespaced_pod_log(newest.metadata.name, namespace)
    except (client.ApiException, urllib3.exceptions.HTTPError):
        return ()
    return tuple(line for line in (log or "").splitlines() if line.strip())
