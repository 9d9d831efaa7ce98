"""Waiting for what takes a moment."""

import time
from collections.abc import Callable

POLL_INTERVAL = 0.05


def wait_until(condition: Callable[[], object], timeout: float, *, interval: float = POLL_INTERVAL) -> bool:
    """Ask every `interval` seconds until the answer is true, for at most `timeout` seconds; the last answer."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
