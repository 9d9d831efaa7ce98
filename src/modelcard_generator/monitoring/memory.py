"""How much memory this process may have, and has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """In bytes. `used` is the working set as the kubelet counts it: without inactive file pages.

    `lost` is without active ones too: the kernel drops them before it kills anybody.
    """

    source: str
    used: int
    lost: int
    limit: int


def of_cgroup(root: Path) -> Memory | None:
    """Of this container; `None` if it has no limit. Source: the kernel's cgroup-v2.rst and cgroup-v1/memory.rst."""
    try:
        if (root / "memory.current").exists():
            source, prefix = "cgroup v2", ""
            usage, limit = (root / "memory.current").read_text(), (root / "memory.max").read_text().strip()
            stat = (root / "memory.stat").read_text()
        else:
            source, prefix = "cgroup v1", "total_"
            usage = (root / "memory/memory.usage_in_bytes").read_text()
            limit = (root / "memory/memory.limit_in_bytes").read_text().strip()
            stat = (root / "memory/memory.stat").read_text()
    except OSError:
        return None
    # cgroup v1 says "no limit" by a number that no machine has.
    if limit == "max" or int(limit) > psutil.virtual_memory().total:
        return None
    pages = dict(line.split() for line in stat.splitlines())
    used = int(usage) - int(pages.get(f"{prefix}inactive_file", 0))
    return Memory(source=source, used=used, lost=used - int(pages.get(f"{prefix}active_file", 0)), limit=int(limit))


def of_host() -> Memory:
    """Nothing of it is `lost` to us: no restart of this process gives back what others hold."""
    memory = psutil.virtual_memory()
    return Memory(source="host", used=memory.total - memory.available, lost=0, limit=memory.total)
