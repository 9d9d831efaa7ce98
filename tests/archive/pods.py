"""What a pod would run, run here: its rendered files below a folder, its commands with those paths and ports."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.environments.recording import SECRET, SIGNATURE, Recording
from modelcard_ops.backup.programs import EXTRA

PROGRAMS = "/usr/lib/postgresql/15/bin"  # of Debian, as in the image
Manifest = Mapping[str, Any]


def plain(value: Any) -> Any:
    """A registration's unmasked inputs as the engine would send them on."""
    match value:
        case dict() if value.get(SIGNATURE) == SECRET:
            return plain(value["value"])
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case _:
            return value


class Volumes:
    """The volumes of a stack's pods below one folder. `addresses` are what is called otherwise here."""

    def __init__(self, platform: Recording, addresses: Mapping[str, str]) -> None:
        self.platform = platform
        # Neither a private checkout nor pytest's folder can be entered by the user that PostgreSQL runs as.
        self.folder = Path(tempfile.mkdtemp(prefix="modelcard-archive-"))
        self.addresses = dict(addresses)
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        # In the pod the user has the name that `/etc/passwd` gives it.
        own, me = self.user.pw_name, pwd.getpwuid(os.geteuid()).pw_name
        self.addresses["pod postgres postgres"] = f"pod {own} postgres\npod {me} postgres"
        self.addresses["pod postgres "] = f"pod {own} "
        self.own(self.folder)

    def own(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def content(self, kind: str, name: str) -> Mapping[str, str]:
        found = [
            plain(dict(each.unmasked))
            for each in self.platform.all(f"core/v1:{kind}")
            if plain(dict(each.unmasked))["metadata"]["name"] == name
        ]
        files: Mapping[str, str] = found[0]["data" if kind == "ConfigMap" else "stringData"]
        return files

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Pod:
    """One pod of it. `root` is the folder that stands for its root."""

    def __init__(self, volumes: Volumes, name: str, spec: Manifest) -> None:
        self.volumes, self.spec = volumes, spec
        self.root = volumes.folder / name
        self.root.mkdir()
        volumes.own(self.root)
        containers = [*spec.get("initContainers", []), *spec["containers"]]
        self.mounts = {mount["mountPath"]: mount for each in containers for mount in each["volumeMounts"]}
        for path, mount in self.mounts.items():
            if path != "/etc/passwd":
                self._fill(path, next(each for each in spec["volumes"] if each["name"] == mount["name"]))

    def _fill(self, path: str, volume: Manifest) -> None:
        folder = self.at(path)
        folder.mkdir(parents=True, exist_ok=True)
        for each in (folder, *folder.relative_to(self.root).parents):
            self.volumes.own(self.root / each)
        files: Mapping[str, str] = {}
        if "configMap" in volume:
            files = self.volumes.content("ConfigMap", volume["configMap"]["name"])
        elif "secret" in volume:
            files = self.volumes.content("Secret", volume["secret"]["secretName"])
        for name, text in files.items():
            file = folder / name
            file.write_text(self.here(text))
            file.chmod(0o400 if "secret" in volume else 0o444)
            self.volumes.own(file)

    def at(self, path: str) -> Path:
        """Where a path of the pod is."""
        return self.root / path.removeprefix("/")

    def here(self, text: str) -> str:
        """The text with this machine's paths and addresses; nothing else of it changes."""
        paths = {path: f"{self.root}{path}" for path in sorted(self.mounts, key=len, reverse=True)}
        known = self.volumes.addresses | paths
        return re.sub("|".join(map(re.escape, known)), lambda found: known[found[0]], text)

    def container(self, name: str) -> Manifest:
        containers = [*self.spec.get("initContainers", []), *self.spec["containers"]]
        found: Manifest = next(each for each in containers if each["name"] == name)
        return found

    def environment(self, name: str) -> dict[str, str]:
        given = {each["name"]: self.here(each["value"]) for each in self.container(name).get("env", [])}
        path = os.pathsep.join(filter(None, [PROGRAMS, os.environ.get(EXTRA), os.environ["PATH"]]))
        return {"PATH": path, "LANG": "C.UTF-8", "HOME": str(self.root), **given}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """A container's command."""
        container = self.container(name)
        command = [self.here(each) for each in (*container["command"], *container.get("args", []))]
        return self.popen(name, command)

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Another command in that container."""
        return subprocess.run(
            command, env=self.environment(name), cwd=self.root, user=self._user(), group=self._group(),
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, extra_groups=self._groups(),
        )  # fmt: skip

    def popen(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        log = (self.root / f"{name}.log").open("ab")
        return subprocess.Popen(
            command, env=self.environment(name), cwd=self.root, user=self._user(), group=self._group(),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, extra_groups=self._groups(),
        )  # fmt: skip

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text()

    def _user(self) -> int | None:
        return self.volumes.user.pw_uid if os.geteuid() == 0 else None

    def _group(self) -> int | None:
        return self.volumes.user.pw_gid if os.geteuid() == 0 else None

    def _groups(self) -> list[int] | None:
        return [] if os.geteuid() == 0 else None
