"""How long a preview takes, as a ratio to its floor (the imports it cannot do without) and to the engine's preview.

Usage: `make benchmark`; needs `make up` first, whose stack `local` the engine previews.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from infra.environments import deployment
from infra.environments.workspace import ROOT, workspace
from infra.errors import UserError

PACKAGES = "import pulumi, pulumi_kubernetes, pulumi_aws"
# They load a module when something in it is first named; a program pays for the modules that it declares resources of.
KUBERNETES = (
    PACKAGES
    + """
kubernetes = pulumi_kubernetes
kubernetes.apps.v1.Deployment, kubernetes.autoscaling.v2.HorizontalPodAutoscaler, kubernetes.core.v1.ConfigMap
kubernetes.networking.v1.NetworkPolicy, kubernetes.policy.v1.PodDisruptionBudget, kubernetes.meta.v1.ObjectMetaArgs"""
)
AWS = (
    KUBERNETES
    + """
pulumi_aws.iam.Role, pulumi_aws.kms.Key, pulumi_aws.s3.Bucket"""
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
    try:
        deployment.reachable(workspace("local"))
    except UserError as error:
        sys.exit(str(error))
    mcenv = str(Path(sys.executable).with_name("mcenv"))
    commands = {
        "packages": (sys.executable, "-c", PACKAGES),
        "packages, Kubernetes modules used": (sys.executable, "-c", KUBERNETES),
        "packages, Kubernetes and AWS modules": (sys.executable, "-c", AWS),
        "preview prod": (mcenv, "preview", "prod"),
        "preview local": (mcenv, "preview", "local"),
        "comment on all stacks": (mcenv, "ci", "preview", "--against", "HEAD", "--out", os.devnull),
        "engine": (sys.executable, "-c", ENGINE),
    }
    runs: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            runs[name].append(seconds(*command))
    median = {name: statistics.median(times) for name, times in runs.items()}
    floors = [name for name in commands if name.startswith("packages")]
    ratios = {f"preview prod / {name}": median["preview prod"] / median[name] for name in floors}
    ratios["comment on all stacks / preview prod"] = median["comment on all stacks"] / median["preview prod"]
    ratios["engine / preview of the same stack"] = median["engine"] / median["preview local"]
    if "--json" in sys.argv:
        print(json.dumps({"seconds": median, "ratios": ratios}, indent=2))
        return
    for name, value in median.items():
        print(f"{value:6.2f} s  {name}")
    for name, value in ratios.items():
        print(f"{value:6.2f}    {name}")


if __name__ == "__main__":
    main()
