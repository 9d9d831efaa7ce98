"""What is told while something takes its time."""

from __future__ import annotations

import sys
import time


class Progress:
    """Tells what happens, each line with the time since the start."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._started = time.monotonic()
        self._quiet = quiet

    def __call__(self, text: str) -> None:
        """Tells one thing."""
        if not self._quiet:
            print(f"{time.monotonic() - self._started:6.1f} s  {text}", file=sys.stderr, flush=True)
