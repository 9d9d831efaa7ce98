"""The images of this repository, built from their Dockerfiles and taken to where the cluster finds them.

How, the caller says: `E2E_BUILD` and `E2E_LOAD` are commands with `{image}`, `{file}` and `{context}` in them. By
default docker builds, and kind is given the image; `E2E_LOAD='docker push {image}'` is for a cluster with a registry.
An empty `E2E_BUILD` says that all of them are there already.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.environments.workspace import ROOT
from infra.errors import UserError
from infra.settings import Settings

BUILD = os.environ.get("E2E_BUILD", "docker build --tag {image} --file {file} {context}")
LOAD = os.environ.get("E2E_LOAD", "kind load docker-image {image}")
STORAGE = "docker.io/terragonlabs/modelcard-e2e-storage:1.0.0"


def dockerfiles(settings: Settings) -> dict[str, Path]:
    """Each image of ours that the stack runs, and what the tests put beside it, with its Dockerfile."""
    return {
        str(settings.app.image): ROOT / "images" / "app" / "Dockerfile",
        str(settings.ops.image): ROOT / "images" / "ops" / "Dockerfile",
        str(settings.database.image): ROOT / "images" / "postgres" / "Dockerfile",
        STORAGE: Path(__file__).with_name("storage") / "Dockerfile",
    }


def commands(image: str, file: Path) -> Iterator[list[str]]:
    """What builds it and takes it there."""
    values = {"image": image, "file": str(file), "context": str(ROOT)}
    for template in filter(None, (BUILD, LOAD if BUILD else "")):
        yield [word.format(**values) for word in shlex.split(template)]


def provide(settings: Settings, say: Callable[[str], None]) -> None:
    """Returns when the cluster can have all of them. Raises `UserError` with the end of a failing command's output."""
    for image, file in dockerfiles(settings).items():
        for command in commands(image, file):
            say(" ".join(command))
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except FileNotFoundError:
                raise UserError(
                    f"{command[0]}: not there: set E2E_BUILD and E2E_LOAD to what builds and loads"
                ) from None
            if done.returncode:
                raise UserError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-800:]}")
