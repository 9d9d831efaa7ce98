"""From nothing to a preview environment, and back to nothing, from wherever a killed command left it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from shutil import rmtree
from typing import Any

from kubernetes import client

from infra.environments import deployment, secrets
from infra.environments.engine import DeploymentError, Engine, Operation, Outcome, Progress
from infra.environments.ephemeral import derived, lifetime, registry
from infra.environments.ephemeral.derived import Origin
from infra.environments.ephemeral.registry import Found
from infra.environments.local.waiting import wait_until
from infra.environments.workspace import Workspace, exclusive
from infra.errors import UserError
from infra.settings import PROJECT

UNFINISHED = "status.phase!=Succeeded"  # a field selector of pods: a job's are done
GONE_TIMEOUT = 300  # a namespace goes when the last of its pods has ended


@dataclass(frozen=True, kw_only=True)
class Reaped:
    """What a reap did: whom it removed, and of whom it could not, and why."""

    removed: tuple[str, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An environment, and how many of its pods are ready, of those that are to run."""

    name: str
    namespace: str
    expires: datetime | None
    removing: bool
    pods: int
    ready: int

    def plain(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"expires": lifetime.written(self.expires) if self.expires else None}


def listed(origin: Origin) -> list[Listed]:
    """Every environment beside the stack."""
    api = deployment.reachable(origin.space)
    core: Any = client.CoreV1Api(api)
    environments = []
    for each in registry.found(api, origin):
        pods = [
            pod
            for namespace in each.namespaces
            for pod in core.list_namespaced_pod(namespace, field_selector=UNFINISHED).items
        ]
        environments.append(
            Listed(
                name=each.name,
                namespace=origin.namespace(each.name),
                expires=each.expires,
                removing=each.removing,
                pods=len(pods),
                ready=sum(map(_ready, pods)),
            )
        )
    return environments


def up(origin: Origin, name: str, life: timedelta, progress: Progress) -> tuple[Workspace, Outcome]:
    """Deploys the environment, or brings it up to date and renews it.

    Raises `UserError` before anything is touched when the name, settings, manifests or policies are not in order.
    """
    derived.check_name(name, origin)
    with exclusive(origin.environment(name)):
        return _up(origin, name, life, progress)


def down(origin: Origin, name: str, progress: Progress) -> bool:
    """Removes the environment, whatever there is of it; False when there is nothing."""
    api = deployment.reachable(origin.space)
    environment = registry.look_up(api, origin, name)
    if environment is None:
        return False
    with exclusive(origin.environment(name)):
        registry.condemn(api, environment)
        _remove(api, origin, environment, progress)
    return True


def reap(origin: Origin, progress: Progress, now: datetime | None = None) -> Reaped:
    """Removes every environment whose time is over or whose removal was cut off."""
    api = deployment.reachable(origin.space)
    now = now or datetime.now(UTC)
    removed, failed = [], []
    for environment in registry.found(api, origin):
        if environment.expires is None and not environment.over(now):
            failed.append(f"{environment.name}: does not say when it is over: run `mcenv env down {environment.name}`")
        elif environment.over(now):
            try:
                with exclusive(origin.environment(environment.name)):
                    if registry.condemn(api, environment):  # otherwise it was renewed a moment ago
                        _remove(api, origin, environment, progress)
                        removed.append(environment.name)
            except UserError as error:
                failed += str(error).splitlines()
    failed += [
        f"namespace {stranger}: carries the label of a preview environment but not its name: left alone"
        for stranger in registry.strangers(api, origin)
    ]
    return Reaped(removed=tuple(removed), failed=tuple(failed))


def _up(origin: Origin, name: str, life: timedelta, progress: Progress) -> tuple[Workspace, Outcome]:
    folder = origin.environment(name).project
    known = folder.exists()
    try:
        api = _claim(origin, name, life, progress)
    except UserError:
        if not known:
            rmtree(folder, ignore_errors=True)
        raise
    first = origin.namespace(name)
    space = derived.write(origin, name, registry.remembered(api, first))
    deployment.end_strays(space)
    engine = Engine(space)
    engine.select()
    if secrets.KEY not in space.config():
        progress("generating secrets")
        secrets.initialise(space, deployment.settings_of(space))
        registry.remember(api, first, space.stack_file.read_text())
    progress("deploying")
    try:
        return space, engine.run(Operation.UP, progress, repair=True)
    except DeploymentError as error:
        raise DeploymentError("\n".join([str(error), *deployment.waiting(space)])) from None


def _claim(origin: Origin, name: str, life: timedelta, progress: Progress) -> Any:
    """Checks all that can be known before, and takes the name. Returns a client of the cluster that it is taken in."""
    space = derived.write(origin, name, {})
    deployment.check(space)
    api = deployment.reachable(space)
    environment = registry.look_up(api, origin, name)
    if environment and (environment.removing or environment.first is None):
        progress("removing what is left of an earlier one")
        _remove(api, origin, environment, progress)
        environment = None
        space = derived.write(origin, name, {})
    if environment is None:
        # A state without its objects says that there is nothing to do.
        _forget_state(space)
    registry.claim(api, origin, name, datetime.now(UTC) + life)
    return api


def _ready(pod: Any) -> bool:
    return any((each.type, each.status) == ("Ready", "True") for each in pod.status.conditions or ())


def _remove(api: Any, origin: Origin, environment: Found, progress: Progress) -> None:
    """Removes all of it; the first namespace goes last, so that a killed removal is found again."""
    with _explained(environment.name):
        space = derived.write(origin, environment.name, {})
        deployment.end_strays(space)
        progress(f"{environment.name}: forgetting its state")
        _forget_state(space)
        progress(f"{environment.name}: removing {', '.join(environment.namespaces) or 'what is left of it'}")
        for each in environment.others:
            registry.delete(api, each.path)
        first = origin.namespace(environment.name)
        for namespace in sorted(environment.namespaces, key=first.__eq__):
            registry.delete(api, f"/api/v1/namespaces/{namespace}")
        if not wait_until(lambda: not registry.namespaces(api, origin, environment.name), GONE_TIMEOUT):
            raise UserError(
                f"{environment.name}: its namespaces do not end after {GONE_TIMEOUT} s: see `kubectl describe namespace"
                f" {first}`, and run `mcenv env reap` later"
            )
        rmtree(space.project)


def _forget_state(space: Workspace) -> None:
    """The cluster has been or will be swept, so nothing in the state is needed, nor that it can be read."""
    if state := space.state_file:
        for file in state.parent.glob(f"{state.name}*"):
            file.unlink(missing_ok=True)
        for kept in ("history", "backups", "locks/organization"):
            rmtree(state.parents[2] / kept / PROJECT / space.stack, ignore_errors=True)
        return
    try:
        space.pulumi("cancel", "--yes")
        space.pulumi("stack", "rm", "--yes", "--force")
    except UserError as error:
        if "no stack named" not in str(error):
            raise


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except client.ApiException as error:
        raise UserError(f"{name}: the cluster refuses: {error.status} {error.reason}: {error.body}") from None
