"""A stack of its own on an embedded control plane, deployed once for all tests that use it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.environments import deployment
from infra.environments.engine import Engine, Operation, Outcome
from infra.environments.local.cluster import LocalCluster
from infra.environments.workspace import LOCAL, ROOT, Workspace, local_workspace
from tests.stack_file import configure


class LiveStack:
    """The stack `local` in a folder of the tests. `up` takes settings that differ from the stack file's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.space: Workspace = local_workspace(ROOT, folder)
        self.told: list[str] = []
        self.clean = False

    @property
    def cluster(self) -> LocalCluster:
        cluster = deployment.cluster_of(self.space)
        assert cluster is not None
        return cluster

    def configure(self, **settings: Any) -> None:
        """Writes the stack file: what was generated stays, everything else is the default or given here."""
        configure(self.space.stack_file, {"environment": LOCAL, **settings})

    def up(self, **settings: Any) -> Outcome:
        self.configure(**settings)
        self.clean = False
        outcome = deployment.up(self.space, self.told.append)
        self.clean = not settings
        return outcome

    def run(self, operation: Operation) -> Outcome:
        self.clean = False
        return Engine(self.space).run(operation, self.told.append)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="session")
def deployed(folder: Path) -> Iterator[tuple[LiveStack, Outcome]]:
    """The stack and what its first deployment did."""
    live = LiveStack(folder)
    try:
        yield live, live.up()
    finally:
        live.cluster.down()
        shutil.rmtree(folder)


@pytest.fixture
def live(deployed: tuple[LiveStack, Outcome]) -> LiveStack:
    """The deployed stack, with its default settings and nothing pending."""
    stack = deployed[0]
    if not stack.clean:
        stack.up()
    stack.told.clear()
    return stack
