"""Runs the command blocks of the runbooks as they are written, and says what came of each."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.app.servers import eventually
from tests.conftest import NAME
from tests.runbooks.arguments import parse_kubectl
from tests.runbooks.checks import TABLE, Runbooks, reason
from tests.runbooks.declared import containers
from tests.runbooks.pages import Page, Piece
from tests.runbooks.shell import parse
from tests.runbooks.world import World

ASKS = re.compile(r"promtool query|custom\.metrics")
CREATES = re.compile(r"kubectl -n (\S+) create job (\S+)")
TIMEOUT = 120  # seconds; of a block
AT_ONCE = 4  # blocks
# kubectl says the last of these where it cannot sort, too, and ends with 0.
COMPLAINTS = (
    "command not found",
    "syntax error",
    "No such file or directory",
    "unbound variable",
    "No resources found",
)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One block and what came of it: `problems` is empty if all is well. `exception` is why it need not be."""

    page: Page
    block: Piece
    exception: str | None
    problems: Sequence[str]
    output: str
    seconds: float

    @property
    def executed(self) -> bool:
        """Every command of it did what it is for."""
        return not self.problems


def execute(runbooks: Runbooks, world: World, chosen: Sequence[tuple[Page, Piece]]) -> list[Execution]:
    """Blocks that only look go first and side by side; those that ask Prometheus wait until it knows everything."""
    changing = [each for each in chosen if changes(each[1])]
    asking = [each for each in chosen if each not in changing and ASKS.search(each[1].text)]
    looking = [each for each in chosen if each not in changing and each not in asking]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = [pool.submit(run, *each, runbooks, world) for each in looking]
        if asking:
            eventually(world.knows_everything, within=120)
        results += [pool.submit(run, *each, runbooks, world) for each in asking]
    return [*(each.result() for each in results), *(run(*each, runbooks, world) for each in changing)]


def changes(block: Piece) -> bool:
    """Whether the cluster is another one afterwards."""
    words = [each.words for each in parse(block.text).commands if each.program == "kubectl"]
    return any(parse_kubectl(each[1:]).changes for each in words)


def run(page: Page, block: Piece, runbooks: Runbooks, world: World) -> Execution:
    """Runs one block with the labels with which the test of the page's alert fires."""
    began = time.monotonic()
    with TemporaryDirectory(dir=world.folder) as folder:
        record = Path(folder) / "record"
        record.touch()
        try:
            for namespace, name in CREATES.findall(block.text):
                world.forget_job(namespace, name)
            text = page.filled(block.text, here(runbooks.labels.get(page.alert, {}), world))
            done = subprocess.run(
                ["bash", "-c", text],
                cwd=folder,
                env={**world.environment, "RUNBOOKS_RECORD": str(record)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
                timeout=TIMEOUT,
            )
            output = done.stdout
            problems = list(_problems(output, record))
        except subprocess.TimeoutExpired as error:
            output, problems = str(error.stdout), [f"has not ended after {TIMEOUT} s"]
        except LookupError as error:
            output, problems = "", [str(error)]
    return Execution(
        page=page,
        block=block,
        exception=reason(page, block),
        problems=problems,
        output=output,
        seconds=time.monotonic() - began,
    )


def _problems(output: str, record: Path) -> Iterator[str]:
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    for each in lines:
        if each["code"]:
            yield f"`kubectl {' '.join(each['command'])}`: {each['said']}"
    for complaint in COMPLAINTS:
        if complaint in output:
            yield f"says: {next(line for line in output.splitlines() if complaint in line)}"
    if not output.strip():
        yield "prints nothing"


def here(labels: Mapping[str, str], world: World) -> dict[str, str]:
    """The labels of an alert with names that exist here: a test of a rule invents its pods, nodes and Jobs."""
    found = dict(labels)
    for kind in ("deployment", "statefulset", "daemonset"):
        for each in world.declared.workloads():
            if each["metadata"]["name"] == labels.get(kind):
                found["namespace"] = each["metadata"]["namespace"]
    if "node" in labels:
        found["node"] = world.kubectl("get", "nodes", "-o", "name").split()[0].removeprefix("node/")
    if "pod" in labels:
        found["pod"] = _pod(labels, world)
    if "job_name" in labels:
        world.have_job(labels["namespace"], labels["job_name"])
    return found


def _pod(labels: Mapping[str, str], world: World) -> str:
    """A pod of the workload that the label is about: by the pod's name, else by its container, else the largest."""
    namespace = labels.get("namespace", world.namespaces["observability"])
    there = world.declared.workloads(namespace)
    by_name = [each for each in there if labels["pod"].startswith(f"{each['metadata']['name']}-")]
    by_container = [each for each in there if labels.get("container") in containers(each)]
    chosen = [*by_name, *by_container, *(each for each in there if each["kind"] == "Deployment")]
    label = chosen[0]["spec"]["template"]["metadata"]["labels"][NAME]
    words = ("-n", namespace, "get", "pods", "-l", f"{NAME}={label}", "-o", "name")
    names = [each.removeprefix("pod/") for each in world.kubectl(*words).split()]
    return labels["pod"] if labels["pod"] in names else names[0]


def table(executions: Sequence[Execution]) -> str:
    """What was not executed, each with its reason, and the share that was."""
    lines = [f"{each.block.where}: not executed: {each.exception}" for each in executions if each.exception]
    for each in executions:
        if each.executed and each.exception:
            lines.append(f"{each.block.where}: is executed: remove its entry from {TABLE}")
        elif not each.executed and not each.exception:
            lines += [f"{each.block.where}: {problem}" for problem in each.problems]
    return "\n".join([*lines, share(executions)])


def share(executions: Sequence[Execution]) -> str:
    """How much of what was chosen was executed."""
    done, excepted = sum(each.executed for each in executions), sum(bool(each.exception) for each in executions)
    percent = 100 * done // max(len(executions), 1)
    return f"{done} of {len(executions)} command blocks executed ({percent} %), {excepted} listed with a reason"


def well(execution: Execution) -> bool:
    """Whether a block was executed, or is excepted for a reason that holds."""
    return execution.executed != bool(execution.exception)
