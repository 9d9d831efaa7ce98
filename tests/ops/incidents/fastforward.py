"""The responder with a clock that can be put forward by a file: `python -m tests.ops.incidents.fastforward`."""

from __future__ import annotations

import os
import time
from pathlib import Path

from modelcard_ops.incidents.server import serve
from modelcard_ops.incidents.settings import from_environment

FILE = "FASTFORWARD_FILE"


class Forward:
    """By how many seconds the clock is ahead, as a file that two processes share."""

    def __init__(self, file: Path) -> None:
        self.file = file
        if not file.exists():
            file.write_text("0")

    def by(self, seconds: float) -> None:
        """Puts it forward."""
        ahead = float(self.file.read_text()) + seconds
        beside = self.file.with_suffix(".new")
        beside.write_text(str(ahead))
        beside.rename(self.file)

    def __call__(self) -> float:
        return time.time() + float(self.file.read_text())


if __name__ == "__main__":
    serve(from_environment(), clock=Forward(Path(os.environ[FILE])))
