"""Where `mcops` finds what `make tools` has unpacked because this computer has none: PostgreSQL and pgBackRest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from infra.environments.workspace import ROOT
from modelcard_ops.backup.programs import EXTRA

UNPACKED = ROOT / ".tools" / "debian"


@contextmanager
def programs() -> Iterator[None]:
    """As long as it is entered. A copy: PostgreSQL's user can enter neither a private checkout nor pytest's folders."""
    if not (UNPACKED / "programs").is_dir():
        yield
        return
    with tempfile.TemporaryDirectory(prefix="modelcard-programs-") as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(UNPACKED, Path(folder) / "debian", symlinks=True, ignore=shutil.ignore_patterns("apt"))
        with mock.patch.dict(os.environ, {EXTRA: f"{folder}/debian/programs"}):
            yield
