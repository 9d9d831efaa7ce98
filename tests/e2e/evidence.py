"""What a cluster can say about a failure: objects, events, and the logs of every container of the stack."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.e2e.stack import Stack


def collect(stack: Stack, folder: Path) -> Path:
    """One file for each namespace's objects and events, and one for each container's log; returns the folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for namespace in stack.namespaces.values():
        _write(stack, folder / f"{namespace}.objects", "-n", namespace, "describe", "pods,deployments,hpa,pvc,jobs")
        _write(stack, folder / f"{namespace}.events", "-n", namespace, "get", "events", "--sort-by=.lastTimestamp")
        for pod in stack.get("pods", namespace):
            name = pod["metadata"]["name"]
            for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
                file = folder / f"{namespace}.{name}.{container['name']}.log"
                _write(stack, file, "-n", namespace, "logs", name, "-c", container["name"], "--tail=500")
    return folder


def _write(stack: Stack, file: Path, *words: str) -> None:
    try:
        file.write_text(stack.kubectl(*words))
    except RuntimeError as error:  # a container that never ran has no log
        file.write_text(f"{error}\n")
