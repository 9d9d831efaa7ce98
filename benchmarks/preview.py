"""How long a preview takes, as a ratio to its floor (the imports it cannot do without) and to the engine's preview.

Usage: `make benchmark`; needs `make up` first, whose stack `local` the engine previews.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = "import pulumi, pulumi_kubernetes, pulumi_aws"
# The packages load their modules on first use; a program pays for those that it declares resources of.
MODULES = (
    PACKAGES
    + """
from pulumi_kubernetes.apps import v1
from pulumi_kubernetes.autoscaling import v2
from pulumi_kubernetes.core import v1
from pulumi_kubernetes.meta import v1
from pulumi_kubernetes.networking import v1
from pulumi_kubernetes.policy import v1
from pulumi_aws import iam, kms, s3"""
)
ENGINE = """
from infra.environments.engine import Engine, Operation
from infra.environments.workspace import workspace
Engine(workspace("local")).run(Operation.PREVIEW, lambda text: None)"""
ROUNDS = 7


def seconds(*command: str) -> float:
    """Wall clock of one run."""
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Interleaves the runs, so that a noisy machine is noisy for all, and prints the ratios of the medians."""
    mcenv = str(Path(sys.executable).with_name("mcenv"))
    commands = {
        "packages": (sys.executable, "-c", PACKAGES),
        "modules": (sys.executable, "-c", MODULES),
        "preview prod": (mcenv, "preview", "prod"),
        "preview local": (mcenv, "preview", "local"),
        "engine": (sys.executable, "-c", ENGINE),
    }
    runs: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            runs[name].append(seconds(*command))
    median = {name: statistics.median(times) for name, times in runs.items()}
    ratios = {
        "preview prod / packages imported": median["preview prod"] / median["packages"],
        "preview prod / packages and the modules used": median["preview prod"] / median["modules"],
        "engine / preview of the same stack": median["engine"] / median["preview local"],
    }
    if "--json" in sys.argv:
        print(json.dumps({"seconds": median, "ratios": ratios}, indent=2))
        return
    for name, value in median.items():
        print(f"{value:6.2f} s  {name}")
    for name, value in ratios.items():
        print(f"{value:6.2f}    {name}")


if __name__ == "__main__":
    main()
