"""Every case for the tests that take one, and small resources to change."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest

from policy.model import Resource
from tests.policy.cases import CASES, Case
from tests.policy.small_stack import SMALL

# What a test may take: any case, one whose place can be unknown, or one that sets a value, which can be secret.
KINDS = {
    "case": CASES,
    "placed": [case for case in CASES if case.has_place],
    "valued": [case for case in CASES if case.has_value],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes one of these once for each of them."""
    for name in KINDS.keys() & set(metafunc.fixturenames):
        metafunc.parametrize(name, KINDS[name], ids=str)


def _one(kind: str, name: str) -> Resource:
    return deepcopy(next(each for each in SMALL if each.type.endswith(f":{kind}") and each.name == name))


@pytest.fixture
def deployment() -> Resource:
    """A Deployment that keeps every rule."""
    return _one("Deployment", "app")


@pytest.fixture
def config_map() -> Resource:
    """A ConfigMap that keeps every rule."""
    return _one("ConfigMap", "config")


@pytest.fixture
def cases() -> list[Case]:
    """All cases, for what holds of the whole."""
    return CASES


@pytest.fixture
def case_of() -> Callable[[str, str], Case]:
    """Find the first case of a rule whose path leads through a key."""
    return lambda rule, key: next(case for case in CASES if case.rule == rule and key in case.path)
