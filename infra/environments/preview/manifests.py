"""What a stack declares, by a key that stays the same from run to run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.environments.recording import Registration

Manifest = Mapping[str, Any]
Manifests = Mapping[str, Manifest]
# The first line of each file that `write_to` writes; by it the next run knows what it may remove.
HEADER = "# Rendered by `mcenv preview`; secret values are masked.\n"


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Of its own, so that nobody else's YAML changes."""


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def key(manifest: Manifest) -> str:
    """`apiVersion/Kind namespace/name`, or `apiVersion/Kind name` of what is in no namespace."""
    metadata = manifest.get("metadata", {})
    place = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name", "?"))))
    return f"{manifest['apiVersion']}/{manifest['kind']} {place}"


def declared(registrations: Iterable[Registration]) -> list[tuple[str, Manifest]]:
    """Everything that a provider would be asked to make, sorted: objects, and inputs of other clouds' resources."""
    found = [
        (f"{each.type} {each.name}" if each.manifest is None else key(each.manifest), each.inputs)
        for each in registrations
        if each.custom and not each.type.startswith("pulumi:")
    ]
    return sorted(found, key=lambda pair: pair[0])


def duplicates(pairs: Iterable[tuple[str, Manifest]]) -> list[str]:
    """Keys that are declared more than once: the last would silently win."""
    seen: set[str] = set()
    twice = {name for name, _ in pairs if name in seen or seen.add(name)}  # type: ignore[func-returns-value]
    return [f"{name}: declared more than once: give each object a name of its own" for name in sorted(twice)]


def write_to(manifests: Manifests, folder: Path) -> list[Path]:
    """One YAML file per manifest. Files of an earlier run that are not written again are removed, others are kept."""
    files = {folder / _file(name): manifest for name, manifest in manifests.items()}
    for stale in set(folder.rglob("*.yaml")) - files.keys():
        if stale.read_text(encoding="utf-8").startswith(HEADER):
            stale.unlink()
    for path, manifest in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER + to_yaml(manifest), encoding="utf-8")
    return sorted(files)


def to_yaml(value: Any) -> str:
    """Keys in order, lists as they are, text of several lines as a block."""
    return str(yaml.dump(value, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, width=120))


def _file(name: str) -> Path:
    """`modelcard/deployment.apps_edge-nginx.yaml`, as kubectl names kinds."""
    what, _, place = name.partition(" ")
    folder, _, own = place.rpartition("/")
    group_version, _, kind = what.rpartition("/")
    group, _, _ = group_version.rpartition("/")
    if ":" in what:  # not Kubernetes: `aws:s3/bucket:Bucket`
        folder, group, kind = what.partition(":")[0], "", what.rpartition(":")[2]
    return Path(folder or "cluster") / f"{kind.lower()}{'.' if group else ''}{group}_{own}.yaml"
