"""Running promtool, many files at a time."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[2]
PROMTOOL = ROOT / ".tools" / "bin" / "promtool"
BATCH = 64  # files a process: starting one costs as much as testing five files
ROUNDS = 6
# Every test opens a database: in memory, and with a heap that is cleared seldom, that is half as long.
MEMORY = Path("/dev/shm")
SCRATCH = str(MEMORY) if MEMORY.is_dir() else None


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Raises if there is none, rather than have a test pass for want of it."""
    if not PROMTOOL.exists():
        raise FileNotFoundError(f"{PROMTOOL.relative_to(ROOT)} is missing: run `make tools`")
    environment = {**os.environ, "GOGC": "400", "GOMAXPROCS": "1", "TMPDIR": SCRATCH or tempfile.gettempdir()}
    return subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False, env=environment)


def failures(files: Sequence[Path]) -> Mapping[Path, list[str]]:
    """What fails in each file of tests; nothing is there for those that pass. As many at a time as there are cores."""
    cores = os.cpu_count() or 1
    # Some files take seconds: several rounds keep all cores busy to the end.
    size = max(1, min(BATCH, len(files) // (ROUNDS * cores)))
    batches = [files[start : start + size] for start in range(0, len(files), size)]
    with ThreadPoolExecutor(cores) as pool:
        return {file: found for batch in pool.map(_failures, batches) for file, found in batch.items()}


def _failures(files: Sequence[Path]) -> dict[Path, list[str]]:
    with tempfile.NamedTemporaryFile(suffix=".xml", dir=SCRATCH) as report:
        run = promtool("test", "rules", f"--junit={report.name}", *files)
        text = Path(report.name).read_text()
    suites = list(ET.fromstring(text)) if text else []  # noqa: S314 - promtool's own words
    if len(suites) != len(files):
        raise RuntimeError(f"promtool tested {len(suites)} of {len(files)} files: {run.stderr}")
    found = {}
    for suite in suites:
        failed = [each for each in suite.iter() if each.tag in {"failure", "error"}]
        if failed:
            found[Path(suite.attrib["name"])] = [each.text or each.attrib.get("message", "") for each in failed]
    return found
