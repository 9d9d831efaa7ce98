"""`make scaling`: a load comes and goes, and the autoscaler takes the application to its maximum and back.

Real are the engine that deploys, the API server and its controllers, Prometheus and prometheus-adapter with what is
declared of them, the service and the requests. The pods are simulated: one service answers for all of them. `--json`
prints the outcome for a program.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from infra.errors import UserError
from tests.system.network import PATH, REQUESTS
from tests.system.pace import Demand, Judgement, Step, judge
from tests.system.scaled_stack import NO_ANSWER, Observation, ScaledStack

TARGET = 1  # requests per second and pod: a hundred of twenty pods are more than one service on two cores answers
LOAD = 30.0  # requests per second in all: of thirty pods, so that a pod without samples changes nothing
IDLE = 0.5  # of half a pod
POLL = 0.5
SLACK = 2.0  # seconds: the autoscaler tells whole ones, a moment after it has scaled
SYNC = 15  # seconds between two looks of the autoscaler (kube-controller-manager's default)
PATIENCE = 180  # seconds for what is no step: the first samples, and staying where it is
REMAIN = 75  # seconds at each end in which nothing may move: a period and a look


class Recorder:
    """Looks all the time, and keeps every change."""

    def __init__(self, stack: ScaledStack) -> None:
        self.stack = stack
        self.observations: list[Observation] = []

    def look(self) -> Observation:
        """Keeps what it sees if it differs from what it saw last."""
        seen = self.stack.observe()
        last = self.observations[-1] if self.observations else None
        if last is None or (seen.replicas, seen.current, seen.desired) != (last.replicas, last.current, last.desired):
            self.observations.append(seen)
            self.stack.say(f"{seen.current} replicas, {seen.desired} desired, {seen.average} requests per second each")
        return seen

    def until(self, condition: Callable[[Observation], bool], within: float, what: str) -> None:
        """Looks until it is so. Raises `UserError` with what it saw last."""
        deadline = time.monotonic() + within
        seen: Observation | None = None
        while time.monotonic() < deadline:
            with suppress(*NO_ANSWER):
                seen = self.look()
                if condition(seen):
                    return
            time.sleep(POLL)
        raise UserError(f"{what}: not within {within:.0f} s: {seen}")

    def remain(self, seconds: float) -> None:
        """Looks for so long."""
        end = time.monotonic() + seconds
        self.until(lambda _: time.monotonic() > end, seconds + PATIENCE, "looking")

    def steps(self) -> list[Step]:
        """What the autoscaler did, when by its own clock."""
        return [
            Step(after.scaled, before.desired, after.desired)
            for before, after in pairwise(self.observations)
            if before.desired != after.desired
        ]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it: every step with what the arithmetic says of it, and every look that saw something else."""

    steps: list[Judgement]
    observations: list[Observation]
    demands: list[Demand]
    requests: int
    failed: int
    counted: float

    @property
    def problems(self) -> list[str]:
        """All that is not as declared."""
        found = [f"{each.step.before} to {each.step.after}: {each.problem}" for each in self.steps if each.problem]
        if self.counted < self.requests - self.failed:
            found.append(f"{self.requests - self.failed} requests were answered, and {self.counted:.0f} counted")
        if self.failed:
            found.append(f"{self.failed} of {self.requests} requests failed")
        return found


def measure(stack: ScaledStack) -> Outcome:
    """The load comes, and stays until the maximum is reached; it goes, until the minimum is."""
    spec, network, service = stack.spec, stack.network, stack.service
    least, most = spec["minReplicas"], spec["maxReplicas"]
    network.rate = IDLE
    stack.say("waiting until the autoscaler knows all of its metrics")
    recorder = Recorder(stack)
    recorder.until(
        lambda seen: seen.metrics == len(spec["metrics"]) and seen.current == least, PATIENCE, "the first metrics"
    )
    recorder.remain(REMAIN)
    recorder = Recorder(stack)
    recorder.look()
    stack.say(f"{LOAD:g} requests per second, for {LOAD / TARGET:g} pods")
    demands = [Demand(float("-inf"), least), Demand(time.time(), most)]
    network.rate = LOAD
    recorder.until(lambda seen: seen.desired == most, _patience(spec, "scaleUp"), f"{most} replicas")
    recorder.remain(REMAIN)
    network.rate = IDLE
    demands.append(Demand(time.time(), least))
    stack.say(f"{IDLE:g} requests per second")
    recorder.until(lambda seen: seen.desired == least, _patience(spec, "scaleDown"), f"{least} replicas")
    recorder.remain(REMAIN)
    return Outcome(
        steps=judge(spec, recorder.steps(), demands, SLACK),
        observations=recorder.observations,
        demands=demands,
        requests=network.sent,
        failed=network.failed,
        counted=service.metric(REQUESTS, endpoint=PATH, status="200") if service else 0,
    )


def _patience(spec: Any, direction: str) -> float:
    """The stabilisation, and for each step a period and two looks; there are twelve steps down, and fewer up."""
    rules = spec["behavior"][direction]
    period = max(each["periodSeconds"] for each in rules["policies"])
    return float(rules["stabilizationWindowSeconds"] + 13 * (period + 2 * SYNC))


def table(outcome: Outcome) -> str:
    """For people. Seconds are since the load came; a step is as it should be if nothing is said of it."""
    rows = [("seconds", "replicas", "limit of the policies", "possible from", "requests/s per pod", "")]
    averages = {each.scaled: each.average for each in reversed(outcome.observations)}  # the first look after it
    begin = outcome.demands[1].at
    for each in outcome.steps:
        step, average = each.step, averages[each.step.at]
        shown = "-" if average is None else f"{average:.1f}"
        change = f"{step.before} → {step.after}"
        times = (f"{step.at - begin:.0f}", f"{each.earliest - begin:.0f}")
        rows.append((times[0], change, str(each.limit), times[1], shown, each.problem or ""))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def summary(outcome: Outcome) -> str:
    """What was done, in words."""
    gone = outcome.demands[2].at - outcome.demands[1].at
    return (
        f"{LOAD:g} requests per second came at 0 s and went at {gone:.0f} s; the target is lowered to {TARGET} a pod\n"
        f"pods are simulated: one real service answered {outcome.requests - outcome.failed} requests for all of them"
    )


@contextmanager
def started(say: Callable[[str], None]) -> Iterator[ScaledStack]:
    """Everything started; nothing is left of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="scaling-"))
    stack = ScaledStack(folder, TARGET, say)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Takes half an hour; exit status 1 if a step is not what the declared behaviour gives."""
    parser = argparse.ArgumentParser(prog="make scaling", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON on standard output")
    options = parser.parse_args(arguments)
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    try:
        with started(say) as stack:
            outcome = measure(stack)
    except UserError as error:
        print(f"make scaling: {error}", file=sys.stderr)
        return 1
    if options.json:
        document = asdict(outcome) | {"target": TARGET, "load": LOAD, "problems": outcome.problems}
        document["demands"] = [asdict(each) for each in outcome.demands[1:]]
        print(json.dumps(document, indent=2))
    else:
        print(table(outcome))
        print("\n".join(["", *(outcome.problems or ["every step is what the declared behaviour gives"])]))
        print(summary(outcome))
    return int(bool(outcome.problems))


if __name__ == "__main__":
    sys.exit(main())
