"""The stacks, rendered once."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from infra.environments.preview.stack_preview import Rendered
from tests.conftest import STACKS, rendered_of

Objects = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def stacks() -> dict[str, Rendered]:
    return {stack: rendered_of(stack) for stack in STACKS}


@pytest.fixture
def objects(stacks) -> Objects:
    """What prod declares, to be broken by a test."""
    return copy.deepcopy(dict(stacks["prod"].manifests))
