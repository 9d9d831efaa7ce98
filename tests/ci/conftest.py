from __future__ import annotations

import pytest

from infra.environments.ci.github import GitHub
from tests.ci.hub import TOKEN, running


@pytest.fixture
def hub():
    """What GitHub holds."""
    with running() as hub:
        yield hub


@pytest.fixture
def github(hub):
    """Our client of it."""
    return GitHub(api=hub.url, repository="acme/platform", token=TOKEN, wait=0.001)
