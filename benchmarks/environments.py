"""How the time of a preview environment grows with their number: one alone, then several at once, each from nothing.

Usage: `python -m benchmarks.environments [NUMBER]` (default 10), on a control plane of its own that it removes again.
The floor is one environment alone in the same run; "growth" is the time per environment of all at once, over that.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kubernetes import client

from infra.environments import deployment
from infra.environments.ephemeral import derived, lifecycle
from infra.environments.local import objects
from infra.environments.workspace import ROOT, local_workspace

SCRIPT = ROOT / "tests" / "engine" / "environment_up.py"
VOLUMES = 12  # of one environment, with room to spare
PER_NODE = 5  # environments for each node of a zone; a node takes 110 pods


def up(folder: Path, name: str) -> float:
    """Brings one up in a process of its own, and says how long it took."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), name, "600"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def main() -> None:
    """Prints the seconds of each, and how they grow."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory(prefix="environments-") as temporary:
        folder = Path(temporary)
        space = local_workspace(ROOT, folder)
        cluster = deployment.cluster_of(space)
        if cluster is None:
            sys.exit("environments: no local control plane")
        try:
            cluster.up(print)
            objects.create_missing(
                deployment.reachable(space), nodes_per_zone=1 + number // PER_NODE, volumes=VOLUMES * number
            )
            measure(folder, derived.origin_of(space), number)
        finally:
            cluster.down()


def measure(folder: Path, origin: derived.Origin, number: int) -> None:
    """One alone, all at once, and all away again."""
    alone = up(folder, "alone")
    print(f"{alone:7.1f} s  one environment alone")
    names = [f"many-{each}" for each in range(number)]
    began = time.perf_counter()
    with ThreadPoolExecutor(max_workers=number) as pool:
        seconds = list(pool.map(lambda name: up(folder, name), names))
    together = time.perf_counter() - began
    listed = {each.name: each for each in lifecycle.listed(origin)}
    for name, each in zip(names, seconds, strict=True):
        print(f"{each:7.1f} s  {name}: {listed[name].ready} of {listed[name].pods} pods ready")
    print(f"{together:7.1f} s  all {number} at once, {together / number:.1f} s per environment")
    print(f"{statistics.median(seconds) / alone:7.2f}    median of those at once / alone")
    print(f"{together / number / alone:7.2f}    growth: per environment, {number} at once / alone; linear is 1")
    again = time.perf_counter()
    up(folder, "alone")
    print(f"{time.perf_counter() - again:7.1f} s  one of {number + 1} again, without changes")
    api: Any = client.CoreV1Api(deployment.reachable(origin.space))
    before = len(api.list_namespace().items)
    again = time.perf_counter()
    for name in names:
        lifecycle.down(origin, name, lambda _: None)
    gone = before - len(api.list_namespace().items)
    print(f"{time.perf_counter() - again:7.1f} s  removing {number} one after another ({gone} namespaces)")


if __name__ == "__main__":
    main()
