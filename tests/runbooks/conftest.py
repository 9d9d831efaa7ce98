"""The share of the runbooks that was executed, at the end of a test run."""

from __future__ import annotations

from typing import Any

import pytest

EXECUTIONS = pytest.StashKey[list[Any]]()


def pytest_configure(config: pytest.Config) -> None:
    """Nothing has been executed yet."""
    config.stash[EXECUTIONS] = []


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Printed where anything was."""
    if found := config.stash.get(EXECUTIONS, []):
        from tests.runbooks.execution import share  # with all that runs them, which other tests do not need

        terminalreporter.section("runbooks")
        terminalreporter.line(f"of a sample: {share(found)}; `make runbooks` executes all")
