"""Runs what a pod declares as a process on loopback: its command, its arguments, its files, with other addresses."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from infra.environments.recording import SECRET, SIGNATURE, Recording
from infra.environments.workspace import ROOT
from tests.conftest import pod_of, workloads

TOOLS = ROOT / ".tools" / "bin"


class Process:
    """A program in a folder of its own, with a log that says why it ended."""

    def __init__(self, command: list[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.command, self.log = command, log
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, again if it has ended."""
        self.process = subprocess.Popen(
            self.command, stdout=self.log.open("ab"), stderr=subprocess.STDOUT, env=self.environment
        )

    def kill(self) -> None:
        """SIGKILL to it and what it has started, if it runs."""
        if self.process is not None and self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            self.process.wait()
            for child in children:
                with suppress(psutil.NoSuchProcess):
                    child.kill()

    def check(self) -> None:
        """Raises with the end of the log if it has ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(
                f"{self.command[0]} ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}"
            )


def container_process(
    platform: Recording, workload: str, folder: Path, *, container: int = 0, replace: Mapping[str, str]
) -> Process:
    """A container of a workload as a process; `replace` maps texts of its files and arguments, such as addresses."""
    controller = workloads(platform)[workload]
    pod = pod_of(controller)
    declared = pod["containers"][container]
    volumes = {each["name"]: each for each in pod.get("volumes", [])}
    mounts = {each["mountPath"]: each for each in declared["volumeMounts"]}
    home = folder / workload
    places = {path: str(home / path.lstrip("/")) for path in mounts}
    translate = _translator(places, replace)
    for path, mount in mounts.items():
        place = Path(places[path])
        content = _content(platform, controller, volumes.get(mount["name"], {}))
        if "subPath" in mount:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(translate(content[mount["subPath"]]))
            continue
        place.mkdir(parents=True, exist_ok=True)
        for name, text in content.items():
            (place / name).write_text(translate(text))
    program, *arguments = [*declared["command"], *declared.get("args", [])]
    environment = {each["name"]: translate(each["value"]) for each in declared.get("env", []) if "value" in each}
    environment |= {each["name"]: f"{workload}-0" for each in declared.get("env", []) if "value" not in each}
    command = [str(TOOLS / _binary(program)), *map(translate, arguments)]
    return Process(command, log=home / f"log-{container}", environment=environment)


def files_of(platform: Recording, kind: str, name: str, namespace: str) -> dict[str, str]:
    """The content of a ConfigMap or Secret, secrets included."""
    for each in platform.all(f"v1:{kind}"):
        metadata = each.inputs["metadata"]
        if (metadata["name"], metadata["namespace"]) == (name, namespace):
            inputs = _plain(each.unmasked)
            return inputs.get("data") or inputs.get("stringData") or {}
    raise LookupError(f"there is no {kind} {name} in {namespace}")


def _content(platform: Recording, controller: Mapping[str, Any], volume: Mapping[str, Any]) -> dict[str, str]:
    namespace = controller["metadata"]["namespace"]
    if "configMap" in volume:
        return files_of(platform, "ConfigMap", volume["configMap"]["name"], namespace)
    if "secret" in volume:
        return files_of(platform, "Secret", volume["secret"]["secretName"], namespace)
    return {}


def _binary(program: str) -> str:
    names = {"adapter": "prometheus-adapter"}
    name = Path(program).name
    return names.get(name, name)


def _translator(places: Mapping[str, str], texts: Mapping[str, str]) -> Any:
    """Replaces all at once, so that nothing is replaced twice; longer ones first, paths only where one begins."""
    paths = [rf"(?<![\w/.-]){re.escape(path)}(?![\w.-])" for path in sorted(places, key=len, reverse=True)]
    others = [re.escape(text) for text in sorted(texts, key=len, reverse=True)]
    pattern, table = re.compile("|".join([*others, *paths])), {**places, **texts}
    return lambda text: pattern.sub(lambda found: table[found[0]], text)


def _plain(value: Any) -> Any:
    match value:
        case dict() if value.get(SIGNATURE) == SECRET:
            return _plain(value["value"])
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
