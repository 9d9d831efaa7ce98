"""The program of nginx: this computer's, or the one that `make tools` has unpacked."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.unpacked import UNPACKED


def nginx() -> Path:
    """Where it is. Raises `RuntimeError` where it is nowhere."""
    folders = (UNPACKED / "programs", "/usr/local/sbin", "/usr/sbin", "/usr/bin")
    found = shutil.which("nginx", path=":".join(map(str, folders)))
    if found is None:
        raise RuntimeError("nginx is needed: run `make tools`")
    return Path(found)
