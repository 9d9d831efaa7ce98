"""Where a stack lives: its project files, state, passphrase and cluster.

The stack `local` has all of it in the checkout's `.local` folder, made on demand. Every other stack uses the checkout's
own files, and the backend, passphrase and kubeconfig of the caller's environment, as the official CLI does.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from infra.environments.local.cloud import LocalCloud
from infra.errors import UserError
from infra.settings import PROJECT

ROOT = Path(__file__).resolve().parents[2]
LOCAL = "local"
RECOVERY = f"{PROJECT}:recovery"
# What `mcenv secrets` and `mcenv recover` write into a stack file.
GENERATED = frozenset({f"{PROJECT}:secrets", f"{PROJECT}:rotation", RECOVERY})


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A stack, its folder, and the environment in which Pulumi runs for it."""

    stack: str
    root: Path
    project: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def stack_file(self) -> Path:
        """Its `Pulumi.STACK.yaml`."""
        return self.project / f"Pulumi.{self.stack}.yaml"

    @property
    def kubeconfig(self) -> str | None:
        """What the Kubernetes provider will read, if the environment says so."""
        return self.environment.get("KUBECONFIG")

    @property
    def cloud(self) -> LocalCloud | None:
        """What stands in for AWS, for a local one."""
        return LocalCloud(self.project.parent / "cluster" / "cloud") if self.stack == LOCAL else None

    @property
    def state_file(self) -> Path | None:
        """Where the backend keeps the state, if that is a file of this computer."""
        backend = self.environment.get("PULUMI_BACKEND_URL") or os.environ.get("PULUMI_BACKEND_URL", "")
        if not backend.startswith("file://"):
            return None
        folder = Path(backend.removeprefix("file://")).expanduser() / ".pulumi" / "stacks" / PROJECT
        return folder / f"{self.stack}.json"

    def document(self) -> dict[str, Any]:
        """The stack file as it is, secrets encrypted."""
        document: dict[str, Any] = yaml.safe_load(self.stack_file.read_text()) or {}
        return document

    def config(self) -> dict[str, Any]:
        """The `config` section of the stack file."""
        config: dict[str, Any] = self.document().get("config") or {}
        return config

    def exported(self) -> dict[str, Any] | None:
        """The state as the engine exports it, secrets encrypted; None when the stack was never deployed."""
        if (file := self.state_file) is None:
            deployment = json.loads(self.pulumi("stack", "export").stdout)["deployment"]
        elif not file.exists():
            return None
        else:
            deployment = _checkpoint(self, file)
        return deployment if (deployment or {}).get("resources") else None

    def pulumi(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs the Pulumi CLI on this stack. Raises `UserError` with the CLI's own complaint."""
        command = [
            str(pulumi_command(self.root)),
            *arguments,
            "--stack",
            self.stack,
            "--non-interactive",
            "--color=never",
        ]
        environment = {**os.environ, **self.environment}
        run = subprocess.run(
            command, cwd=self.project, env=environment, input=stdin, capture_output=True, text=True, check=False
        )
        if run.returncode:
            raise complaint(self, run.stderr or run.stdout)
        return run


def _checkpoint(space: Workspace, file: Path) -> dict[str, Any]:
    try:
        deployment: dict[str, Any] = json.loads(file.read_bytes())["checkpoint"]["latest"] or {}
    except (ValueError, KeyError, TypeError) as error:
        raise complaint(space, f"error: could not unmarshal {file.name}: {error}") from None
    return deployment


def pulumi_command(root: Path) -> Path:
    """The pinned Pulumi CLI."""
    command = root / ".tools" / "bin" / "pulumi"
    if not command.exists():
        raise UserError(f"{command}: not there: run `make tools`")
    return command


def workspace(stack: str, root: Path = ROOT) -> Workspace:
    """The workspace of a stack that has a file in the checkout."""
    file = root / f"Pulumi.{stack}.yaml"
    if not file.exists():
        known = ", ".join(sorted(path.name.split(".")[1] for path in root.glob("Pulumi.*.yaml")))
        raise UserError(f"{file.name}: there is no such stack: choose one of {known}")
    if stack == LOCAL:
        return local_workspace(root, root / ".local")
    return Workspace(stack=stack, root=root, project=root, environment=_tools_environment(root))


def local_workspace(root: Path, folder: Path) -> Workspace:
    """Everything in one folder: removing it forgets the stack."""
    project, state = folder / "project", folder / "state"
    for path in (project, state):
        path.mkdir(parents=True, exist_ok=True)
    passphrase = folder / "passphrase"
    if not passphrase.exists():
        passphrase.touch(0o600)
        passphrase.write_text(secrets.token_urlsafe(32))
    _copy_project(root, project)
    return Workspace(
        stack=LOCAL,
        root=root,
        project=project,
        environment={
            **_tools_environment(root),
            "PULUMI_BACKEND_URL": f"file://{state}",
            # Else every step writes the whole state, for minutes in sum. After a killed run `up` starts anew.
            "PULUMI_SKIP_CHECKPOINTS": "true",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase),
            "PULUMI_HOME": str(folder / "pulumi"),
            "KUBECACHEDIR": str(folder / "cluster" / "cache"),
            "KUBECONFIG": str(folder / "cluster" / "clusters" / "local" / "kubeconfig.yaml"),
        },
    )


def _copy_project(root: Path, project: Path) -> None:
    """The checkout's files, with what `secrets` and the passphrase added kept out of the checkout."""
    bare_project(root, project)
    source = yaml.safe_load((root / f"Pulumi.{LOCAL}.yaml").read_text()) or {}
    target = project / f"Pulumi.{LOCAL}.yaml"
    kept = yaml.safe_load(target.read_text()) if target.exists() else {}
    config = kept.get("config") or {}
    own = {key: value for key, value in config.items() if key in GENERATED}
    merged = {**source, "config": {**(source.get("config") or {}), **own}}
    if "encryptionsalt" in kept:
        merged["encryptionsalt"] = kept["encryptionsalt"]
    write_whole(target, yaml.safe_dump(merged))


def write_whole(file: Path, text: str) -> None:
    """Writes a file that others may read meanwhile: they find it as it was, or as it is to be."""
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.unfinished")
    unfinished.touch(0o600)
    unfinished.write_text(text)
    unfinished.rename(file)


def bare_project(root: Path, project: Path) -> None:
    """The description of the project in a folder that has no program of its own."""
    description = yaml.safe_load((root / "Pulumi.yaml").read_text())
    # The engine calls our function; it would look for this folder beside the file.
    del description["main"]
    write_whole(project / "Pulumi.yaml", yaml.safe_dump(description))


def _tools_environment(root: Path) -> dict[str, str]:
    # Without a language host the engine looks for this script, which starts policy packs with the venv's Python.
    paths = [root / ".tools" / "bin", root / "policy" / "bin", Path(sys.prefix) / "bin"]
    return {
        "PATH": os.pathsep.join([*map(str, paths), os.environ.get("PATH", "")]),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        **({"KUBECONFIG": str(Path(os.environ["KUBECONFIG"]).resolve())} if "KUBECONFIG" in os.environ else {}),
    }


@contextmanager
def exclusive(space: Workspace) -> Iterator[None]:
    """One `mcenv` at a time on a stack of this checkout."""
    folder = space.root / ".local" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / space.stack).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{space.stack}: another mcenv is working on this stack: wait until it has ended") from None
        yield


# What the engine says, and what that means to the person who reads it.
_COMPLAINTS = (
    (
        "incorrect passphrase",
        "{file}: the passphrase does not fit its secrets: set PULUMI_CONFIG_PASSPHRASE(_FILE) right",
    ),
    (
        "passphrase must be set",
        "{file}: a passphrase is needed: set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE",
    ),
    ("no space left on device", "{stack}: no space left on device: free some and run again"),
    ("PULUMI_ACCESS_TOKEN must be set", "{stack}: no backend: run `pulumi login`, or set PULUMI_BACKEND_URL"),
)
_CORRUPT = (
    "unexpected end of JSON input",
    "invalid character",
    "could not unmarshal",
    "could not deserialize",
    "checkpoint",
)


def complaint(space: Workspace, output: str) -> UserError:
    """The engine's output as one clear line."""
    for sign, meaning in _COMPLAINTS:
        if sign in output:
            return UserError(meaning.format(file=space.stack_file, stack=space.stack))
    lines = [line.strip().removeprefix("error: ") for line in output.splitlines() if line.strip()]
    first = next((line for line in output.splitlines() if line.strip().startswith("error:")), None)
    text = first.strip().removeprefix("error: ") if first else (lines[-1] if lines else "Pulumi failed without a word")
    if any(sign in text for sign in _CORRUPT):
        backend = space.environment.get("PULUMI_BACKEND_URL", os.environ.get("PULUMI_BACKEND_URL", "the backend"))
        return UserError(
            f"{backend}: the state of {space.stack} cannot be read ({text}): put back a copy with"
            f" `mcenv state restore {space.stack} COPY`, or from its .pulumi/backups"
            + (", or forget it with `make down`" if space.stack == LOCAL else "")
        )
    return UserError(f"{space.stack}: {text}")
