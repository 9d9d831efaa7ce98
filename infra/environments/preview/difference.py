"""What changes between two sets of manifests, path by path, and what that does to what runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from infra.environments.preview.capacity import amount
from infra.environments.preview.manifests import Manifest, Manifests
from infra.quantities import Recipient
from infra.settings import MASK, UNSEEN_RECIPIENT

# By these a list of things names them; the first that is present and unique in both lists counts.
NAMES = ("name", "mountPath", "containerPort", "topologyKey", "key", "host", "path", "secretName", "ip", "type")
# Fields whose change makes the provider delete the object and make a new one.
# Source: pulumi-kubernetes 4.25.0, diff.go, without ConfigMaps and Secrets, which it updates in this stack.
REPLACING = {
    "DaemonSet": r"spec\.selector",
    "Deployment": r"spec\.selector",
    "Job": r"spec\.(completions|parallelism|selector|template)",
    "PersistentVolumeClaim": r"spec\.(accessModes|selector|storageClassName|volumeName)",
    "PodDisruptionBudget": r"spec",
    "ResourceQuota": r"spec\.scopes",
    "RoleBinding": r"roleRef",
    "ClusterRoleBinding": r"roleRef",
    "Secret": r"type",
    "Service": r"spec\.clusterIP",
    "StatefulSet": r"spec\.(podManagementPolicy|revisionHistoryLimit|selector|serviceName|volumeClaimTemplates)",
    "StorageClass": r"(parameters|provisioner)",
}
ROLLING = frozenset({"DaemonSet", "Deployment", "StatefulSet"})
# Kubernetes keeps quantities in its own form (2000m as 2), and leaves out what is false where that is the same.
_QUANTITY = re.compile(r"\.resources\.(limits|requests)\b|^spec\.hard\b|\.sizeLimit$")
_FALSE = re.compile(r"\.readOnly$")
_SIZE = "spec.resources.requests.storage"


class Effect(StrEnum):
    """What happens to an object, from the mildest on."""

    CREATED = "created"
    UPDATED = "updated"
    ROLLS_PODS = "rolls pods"
    REPLACED = "replaced"
    DELETED = "deleted"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One path. `before` or `after` is None where there is nothing."""

    path: str
    before: Any
    after: Any
    effect: Effect


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One object."""

    key: str
    effect: Effect
    changes: tuple[Change, ...] = ()


def difference(before: Manifests, after: Manifests) -> tuple[Difference, ...]:
    """Everything that is not alike, sorted by key."""
    return tuple(_differences(before, after))


def _differences(before: Manifests, after: Manifests) -> Iterator[Difference]:
    for key in sorted(before.keys() | after.keys()):
        if key not in before:
            yield Difference(key=key, effect=Effect.CREATED)
        elif key not in after:
            yield Difference(key=key, effect=Effect.DELETED)
        elif changes := _changes(before[key], after[key]):
            severity = list(Effect)
            worst = max((change.effect for change in changes), key=severity.index)
            yield Difference(key=key, effect=worst, changes=changes)


def _changes(before: Manifest, after: Manifest) -> tuple[Change, ...]:
    kind = after.get("kind", "")
    return tuple(
        Change(path=path, before=old, after=new, effect=_effect(kind, path, old, new))
        for path, old, new in _walk("", _with_data(before), _with_data(after))
    )


def _effect(kind: str, path: str, before: Any, after: Any) -> Effect:
    if kind in REPLACING and re.match(rf"{REPLACING[kind]}(?![A-Za-z])", path):
        return Effect.REPLACED
    if kind == "PersistentVolumeClaim" and path == _SIZE and (after is None or amount(after) < amount(before or 0)):
        return Effect.REPLACED  # a volume only grows
    if kind in ROLLING and path.startswith("spec.template"):
        return Effect.ROLLS_PODS
    return Effect.UPDATED


def _with_data(manifest: Manifest) -> Manifest:
    """A Secret as the provider keeps it: `stringData` is how it was written, `data` is what it holds."""
    if manifest.get("kind") != "Secret" or "stringData" not in manifest:
        return manifest
    rest = {key: value for key, value in manifest.items() if key not in {"data", "stringData"}}
    parts = [manifest[field] for field in ("data", "stringData") if field in manifest]
    whole = all(isinstance(part, Mapping) for part in parts)
    return rest | {"data": {key: value for part in parts for key, value in part.items()} if whole else MASK}


def _walk(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if before == after or _masked_alike(before, after) or _same_by_another_name(path, before, after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            yield from _walk(_join(path, key), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list):
        old, new = _by_name(before, after)
        if list(old) != list(new) and old.keys() == new.keys():
            yield f"{path}.order", list(old), list(new)
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _walk(f"{path}[{name}]", old.get(name), new.get(name))
    else:
        yield path, before, after


def _join(path: str, key: str) -> str:
    step = f"[{key}]" if re.search(r"[^A-Za-z0-9_$-]", key) else key
    return step if not path else f"{path}{step}" if step.startswith("[") else f"{path}.{step}"


def _by_name(before: list[Any], after: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    for name in NAMES:
        both = [[_named(item, name) for item in items] for items in (before, after)]
        if all(None not in names and len(set(names)) == len(names) for names in both):
            if len(before) == len(after) and not set(both[0]) & set(both[1]):
                break  # renamed, not taken away and made anew
            return _keyed(both[0], before), _keyed(both[1], after)
    return _keyed(range(len(before)), before), _keyed(range(len(after)), after)


def _keyed(names: Iterable[Any], items: list[Any]) -> dict[str, Any]:
    return {str(name): item for name, item in zip(names, items, strict=True)}


def _named(item: Any, name: str) -> Any:
    if not isinstance(item, Mapping):
        return None
    found = item.get(name)
    if found is None and name == "name":
        found = item.get("metadata", {}).get("name")
    return found if isinstance(found, str | int) else None


def _masked_alike(before: Any, after: Any) -> bool:
    """Two secrets are alike as far as anybody may see, also where one is masked as a whole."""
    if after == UNSEEN_RECIPIENT and isinstance(before, str):
        return re.fullmatch(Recipient.pattern, before) is not None
    return (before == MASK and _only_masks(after)) or (after == MASK and _only_masks(before))


def _same_by_another_name(path: str, before: Any, after: Any) -> bool:
    if _FALSE.search(path):
        return not before and not after
    if _QUANTITY.search(path) and isinstance(before, str | int) and isinstance(after, str | int):
        with suppress(ValueError):
            return amount(before) == amount(after)
    return False


def _only_masks(value: Any) -> bool:
    if isinstance(value, Mapping):
        return bool(value) and all(_only_masks(item) for item in value.values())
    return bool(value == MASK)
