"""The real kubectl, for tests that ask a cluster as a person would."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from tests.system.pods import TOOLS

KUBECTL = str(TOOLS / "kubectl")


def kubectl(
    *words: str, stdin: str | None = None, environment: Mapping[str, str] | None = None, within: float = 120
) -> str:
    """Its output. Raises `RuntimeError` with its complaint, and `TimeoutExpired` after `within` seconds."""
    done = subprocess.run(
        [KUBECTL, *words], input=stdin, env=environment, capture_output=True, text=True, check=False, timeout=within
    )
    if done.returncode:
        raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
