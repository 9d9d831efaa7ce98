"""What a cluster knows of preview environments. It alone remembers them: files, states and branches may be gone.

An environment's first namespace is made before anything else and removed after everything else, and carries when its
time is over. What else belongs to it carries a label with the name of that namespace.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import yaml
from kubernetes import client

from infra.environments.ephemeral import lifetime
from infra.environments.ephemeral.derived import Origin
from infra.errors import UserError
from infra.kube.marks import ENVIRONMENT

REMOVING = "modelcard/removing"  # an annotation of the first namespace: since when it is being removed
KEEPER = "mcenv"  # who sets what is here, for Kubernetes
STACK_FILE = "mcenv-stack-file"  # a Secret in the first namespace: secrets and salt, encrypted, for the next `env up`


@dataclass(frozen=True, kw_only=True)
class Found:
    """An environment as the cluster shows it; `expires` is None where its first namespace does not say."""

    name: str
    namespaces: tuple[str, ...]
    others: tuple[Object, ...]
    expires: datetime | None
    removing: bool
    first: Any

    def over(self, now: datetime) -> bool:
        """Whether it may be removed: its time is over, its removal has begun, or its first namespace is gone."""
        return self.first is None or self.removing or (self.expires is not None and self.expires <= now)


@dataclass(frozen=True, kw_only=True)
class Object:
    """Something outside of the environment's namespaces, by the path under which the API has it."""

    path: str
    owner: str


def found(api: Any, origin: Origin) -> list[Found]:
    """Every environment beside this stack, by name."""
    core: Any = client.CoreV1Api(api)
    own = [each for each in core.list_namespace(label_selector=ENVIRONMENT).items if _own(origin, each)]
    outside = [each for each in outside_of_namespaces(api) if _name(origin, each.owner) is not None]
    owners = {each.metadata.labels[ENVIRONMENT] for each in own} | {each.owner for each in outside}
    return [_found(origin, owner, own, outside) for owner in sorted(owners)]


def strangers(api: Any, origin: Origin) -> list[str]:
    """Namespaces that carry an environment's label and are none that it would have made: nobody removes them."""
    core: Any = client.CoreV1Api(api)
    return [
        each.metadata.name
        for each in core.list_namespace(label_selector=ENVIRONMENT).items
        if _name(origin, each.metadata.labels[ENVIRONMENT]) is not None and not _own(origin, each)
    ]


def namespaces(api: Any, origin: Origin, name: str) -> list[str]:
    """The namespaces of the environment of this name that are still there."""
    core: Any = client.CoreV1Api(api)
    labelled = core.list_namespace(label_selector=f"{ENVIRONMENT}={origin.namespace(name)}").items
    return [each.metadata.name for each in labelled if _own(origin, each)]


def look_up(api: Any, origin: Origin, name: str) -> Found | None:
    """The environment of this name."""
    return next((each for each in found(api, origin) if each.name == name), None)


def claim(api: Any, origin: Origin, name: str, expires: datetime) -> None:
    """Makes the first namespace, with the time when it is over; or renews it.

    Raises `UserError` when a namespace that it needs is somebody else's.
    """
    core: Any = client.CoreV1Api(api)
    first = origin.namespace(name)
    present = {each.metadata.name: each for each in core.list_namespace().items}
    for wanted in origin.namespaces(name).values():
        if (there := present.get(wanted)) and (there.metadata.labels or {}).get(ENVIRONMENT) != first:
            raise UserError(f"{name}: namespace {wanted} is there and is no preview environment's: choose another name")
    annotations = {lifetime.EXPIRES: lifetime.written(expires)}
    if first not in present:
        metadata = {"name": first, "labels": {ENVIRONMENT: first}, "annotations": annotations}
        core.create_namespace({"metadata": metadata}, field_manager=KEEPER)
    elif not _patched(core, present[first], annotations):
        raise UserError(f"{name}: somebody else is changing it: run the same command again")


def condemn(api: Any, environment: Found) -> bool:
    """Marks the environment for removal; False when it was renewed since it was looked at."""
    if environment.first is None or environment.removing:
        return True
    return _patched(client.CoreV1Api(api), environment.first, {REMOVING: lifetime.written(datetime.now(UTC))})


def remember(api: Any, namespace: str, stack_file: str) -> None:
    """Keeps the stack file, whose secrets are encrypted, beside what it describes."""
    core: Any = client.CoreV1Api(api)
    body = {
        "metadata": {"name": STACK_FILE, "labels": {ENVIRONMENT: namespace}},
        "stringData": {"stack.yaml": stack_file},
    }
    try:
        core.create_namespaced_secret(namespace, body, field_manager=KEEPER)
    except client.ApiException as error:
        if error.status != HTTPStatus.CONFLICT:
            raise
        core.patch_namespaced_secret(STACK_FILE, namespace, body, field_manager=KEEPER)


def remembered(api: Any, namespace: str) -> Mapping[str, Any]:
    """The stack file of the last `env up` that got as far as writing one."""
    core: Any = client.CoreV1Api(api)
    try:
        data = core.read_namespaced_secret(STACK_FILE, namespace).data or {}
        document = yaml.safe_load(base64.b64decode(data["stack.yaml"]))
    except client.ApiException as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        return {}
    except (KeyError, ValueError, yaml.YAMLError):
        return {}
    return document if isinstance(document, dict) else {}


def outside_of_namespaces(api: Any) -> Iterator[Object]:
    """Every labelled object that goes with no namespace of its environment, whatever its kind."""
    for path, namespaced in _collections(api):
        if path == "/api/v1/namespaces":
            continue
        listing = _ask(api, "GET", path, labelSelector=ENVIRONMENT)
        for each in listing.get("items") or ():
            metadata = each["metadata"]
            owner, namespace = metadata["labels"][ENVIRONMENT], metadata.get("namespace")
            if namespace and (namespace == owner or namespace.startswith(f"{owner}-")):
                continue
            prefix, _, plural = path.rpartition("/")
            place = f"{prefix}/namespaces/{namespace}/{plural}" if namespaced else path
            yield Object(path=f"{place}/{metadata['name']}", owner=owner)


def delete(api: Any, path: str) -> None:
    """Deletes an object; it may be gone already."""
    _ask(api, "DELETE", path)


# Of what lies in namespaces, only what gives rights is ever declared in one that is not the environment's own.
_FOREIGN = ("rbac.authorization.k8s.io",)


def _collections(api: Any) -> Iterator[tuple[str, bool]]:
    """Where the API lists what can be deleted: everything in no namespace, and what gives rights in any."""
    roots = ["/api/v1"]
    roots += [f"/apis/{each['preferredVersion']['groupVersion']}" for each in _ask(api, "GET", "/apis")["groups"]]
    for root in roots:
        for each in _ask(api, "GET", root).get("resources") or ():
            listed = {"list", "delete"} <= set(each["verbs"]) and "/" not in each["name"]
            if listed and (not each["namespaced"] or root.startswith(tuple(f"/apis/{name}/" for name in _FOREIGN))):
                yield f"{root}/{each['name']}", bool(each["namespaced"])


def _ask(api: Any, method: str, path: str, **query: str) -> dict[str, Any]:
    """What the API has there; nothing where there is nothing, or nobody who answers."""
    request = api.param_serialize(
        method,
        path,
        query_params=list(query.items()),
        header_params={"Accept": "application/json"},
        auth_settings=["BearerToken"],
    )
    response = api.call_api(*request)
    response.read()
    # 503: an aggregated API whose server is down; it would keep nothing of ours.
    if response.status in {HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE}:
        return {}
    if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
        raise client.ApiException.from_response(http_resp=response, body=response.data.decode(), data=None)
    answer: dict[str, Any] = json.loads(response.data)
    return answer


def _name(origin: Origin, owner: str) -> str | None:
    """The name of the environment with this first namespace, if it is one beside this stack."""
    prefix = origin.namespace("")
    return owner.removeprefix(prefix) if owner.startswith(prefix) else None


def _own(origin: Origin, namespace: Any) -> bool:
    name = _name(origin, namespace.metadata.labels[ENVIRONMENT])
    return name is not None and namespace.metadata.name in origin.namespaces(name).values()


def _found(origin: Origin, owner: str, present: Iterable[Any], outside: Iterable[Object]) -> Found:
    own = [each for each in present if each.metadata.labels[ENVIRONMENT] == owner]
    first = next((each for each in own if each.metadata.name == owner), None)
    annotations = (first.metadata.annotations or {}) if first else {}
    return Found(
        name=_name(origin, owner) or owner,
        namespaces=tuple(sorted(each.metadata.name for each in own)),
        others=tuple(each for each in outside if each.owner == owner),
        expires=lifetime.read(annotations.get(lifetime.EXPIRES)),
        removing=REMOVING in annotations,
        first=first,
    )


def _patched(core: Any, namespace: Any, annotations: Mapping[str, str]) -> bool:
    """Sets annotations unless the namespace was changed since it was read."""
    metadata = {"resourceVersion": namespace.metadata.resource_version, "annotations": dict(annotations)}
    try:
        core.patch_namespace(namespace.metadata.name, {"metadata": metadata}, field_manager=KEEPER)
    except client.ApiException as error:
        if error.status in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
            return False
        raise
    return True
