"""ConfigMaps and Secrets: read by name, cleaned of what means nothing elsewhere, and created where there are none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from modelcard_ops.backup.errors import BackupError

if TYPE_CHECKING:
    from kubernetes import client  # takes a second to import, which most commands do not need

# Of the metadata only these mean the same in another cluster; managers, owners, uids and versions do not.
METADATA = ("name", "labels", "annotations")
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"  # repeats the whole object, a Secret's values too
BOUND = ("kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token")  # made by a cluster, for that cluster
Object = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Saved:
    """Objects, and names that could not be read with the reason."""

    config_maps: Sequence[Object]
    secrets: Sequence[Object]
    missing: Sequence[str]

    def body(self) -> bytes:
        """As it is encrypted."""
        return orjson.dumps([*self.config_maps, *self.secrets])


def api() -> client.CoreV1Api:
    """By the pod's own account, or a kubeconfig. Raises `BackupError`."""
    from kubernetes import client, config

    try:
        config.load_incluster_config()
    except config.ConfigException:
        try:
            config.load_kube_config()
        except (config.ConfigException, OSError) as error:
            raise BackupError(f"no cluster: this is not a pod, and there is no kubeconfig: {error}") from None
    return client.CoreV1Api()


def save(core: client.CoreV1Api, namespace: str, config_maps: Sequence[str], secrets: Sequence[str]) -> Saved:
    """What is there of these."""
    import urllib3
    from kubernetes import client

    missing: list[str] = []

    def read(kind: Literal["ConfigMap", "Secret"], name: str) -> Object | None:
        reader = core.read_namespaced_config_map if kind == "ConfigMap" else core.read_namespaced_secret
        try:
            found = reader(name, namespace, _request_timeout=(5, 30))
        except client.ApiException as error:
            missing.append(f"{kind} {namespace}/{name}: {error.reason}")
            return None
        except urllib3.exceptions.HTTPError as error:
            raise BackupError(f"{kind} {namespace}/{name}: the cluster does not answer: {error}") from None
        return cleaned(kind, core.api_client.sanitize_for_serialization(found))

    found = [read("ConfigMap", name) for name in config_maps], [read("Secret", name) for name in secrets]
    return Saved(
        config_maps=[each for each in found[0] if each], secrets=[each for each in found[1] if each], missing=missing
    )


def cleaned(kind: str, found: Object) -> Object | None:
    """An object as somebody would declare it; None for what another cluster must make itself."""
    if found.get("type") in BOUND:
        return None
    metadata = {key: found["metadata"][key] for key in METADATA if found["metadata"].get(key)}
    metadata["annotations"] = {k: v for k, v in metadata.get("annotations", {}).items() if k != APPLIED}
    content = {key: found[key] for key in ("type", "data", "binaryData", "immutable") if found.get(key) is not None}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}


def objects(body: bytes) -> list[Object]:
    """What was saved. Raises `BackupError` for anything else than these two kinds."""
    found = orjson.loads(body)
    for each in found:
        if each.get("kind") not in {"ConfigMap", "Secret"} or each.get("apiVersion") != "v1":
            raise BackupError(f"the set holds a {each.get('kind')}, which no backup of ours saves: nothing is created")
    return list(found)


def create(core: client.CoreV1Api, namespace: str, wanted: Sequence[Object], told: Callable[[str], None]) -> int:
    """Creates what is not there; how many. What is there is left as it is, and said."""
    from kubernetes import client

    created = 0
    for each in wanted:
        writer: Any = (
            core.create_namespaced_config_map if each["kind"] == "ConfigMap" else core.create_namespaced_secret
        )
        name = f"{each['kind']} {namespace}/{each['metadata']['name']}"
        try:
            writer(namespace, each)
        except client.ApiException as error:
            if error.status == 404:
                raise BackupError(f"there is no namespace {namespace}: create it first") from None
            if error.status != 409:
                raise BackupError(f"{name}: {error.reason}") from None
            told(f"{name}: is there, and is left as it is")
        else:
            created += 1
    return created
