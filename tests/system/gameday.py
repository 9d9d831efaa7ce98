"""`make gameday`: one fault after another, and what came of it: which alert, when, and who was told.

The rendered configuration of Prometheus and Alertmanager runs unchanged but for addresses, with the real application,
PostgreSQL, Redis, nginx and exporters. `--json` prints the outcome for a program; names of faults run only these.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.environments.workspace import ROOT
from infra.monitoring.promql import parse, selectors
from infra.monitoring.rules import read_rules
from tests.app.servers import eventually
from tests.app.service import description
from tests.system.surroundings import Load, Surroundings, remove

PATIENCE = 240  # seconds until an alert must have been told
SILENCE = 150  # seconds without a heartbeat after which whoever waits for it calls
POLL = 0.5
# What there is nothing of while all is well: no series, and that is the good news.
ABSENT_IN_HEALTH = (
    "kube_pod_container_status_last_terminated_reason",
    "kube_pod_container_status_waiting_reason",
    "kube_job_failed",
    "kube_horizontalpodautoscaler_status_target_metric",
    "kube_pod_status_unschedulable",
    "alertmanager_cluster_members",
    "ALERTS",
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is done to the surroundings, how it is undone, and which alert must reach which receiver.

    `alert` is None where the outside must miss the heartbeat.
    """

    name: str
    inject: Callable[[Surroundings], None]
    heal: Callable[[Surroundings], None]
    alert: str | None
    receiver: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """Seconds from the fault until the alert was pending, firing and told; None if it was not."""

    fault: str
    alert: str
    pending: float | None
    firing: float | None
    notified: float | None
    receiver: str | None
    expected: str

    @property
    def ok(self) -> bool:
        """Whether the right receiver was told."""
        return self.receiver == self.expected


def _restart_cache(surroundings: Surroundings) -> None:
    surroundings.cache.start()
    surroundings.grant_monitor()


def _kill(name: str) -> Callable[[Surroundings], None]:
    return lambda surroundings: surroundings.processes[name].kill()


def _start(name: str) -> Callable[[Surroundings], None]:
    return lambda surroundings: surroundings.processes[name].start()


FAULTS = (
    Fault(
        name="PostgreSQL is killed",
        inject=lambda surroundings: surroundings.postgres.kill(),
        heal=lambda surroundings: surroundings.postgres.start(),
        alert="DatabaseConnectionIssues",
        receiver="p0",
    ),
    Fault(
        name="Redis is killed",
        inject=lambda surroundings: surroundings.cache.kill(),
        heal=_restart_cache,
        alert="RedisDown",
        receiver="p2",
    ),
    Fault(
        name="nginx is killed",
        inject=_kill("nginx"),
        heal=_start("nginx"),
        alert="NginxDown",
        receiver="p0",
    ),
    Fault(
        name="the application is killed",
        inject=lambda surroundings: surroundings.service.kill(),
        heal=lambda surroundings: surroundings.service.start() and None,
        alert="ApplicationDown",
        receiver="p0",
    ),
    Fault(
        name="the exporter of PostgreSQL is killed",
        inject=_kill("postgres-exporter"),
        heal=_start("postgres-exporter"),
        alert="DatabaseConnectionIssues",
        receiver="p1",
    ),
    Fault(
        name="Prometheus is killed",
        inject=_kill("prometheus"),
        heal=_start("prometheus"),
        alert=None,
        receiver="heartbeat",
    ),
    Fault(
        name="Alertmanager is killed",
        inject=_kill("alertmanager"),
        heal=_start("alertmanager"),
        alert=None,
        receiver="heartbeat",
    ),
)


def run(surroundings: Surroundings, fault: Fault) -> Result:
    """Injects the fault, waits for what must come of it, heals it and waits until that is over."""
    surroundings.say(fault.name)
    began = time.monotonic()
    fault.inject(surroundings)
    try:
        result = _silence(surroundings, fault, began) if fault.alert is None else _alert(surroundings, fault, began)
    finally:
        fault.heal(surroundings)
    eventually(surroundings.all_targets_up, within=120)
    if fault.alert is not None:
        eventually(lambda: surroundings.alerts().get(fault.alert or "") is None, within=120)
    return result


def _alert(surroundings: Surroundings, fault: Fault, began: float) -> Result:
    alert, seen = fault.alert or "", dict[str, float]()
    while time.monotonic() - began < PATIENCE:
        state = surroundings.alerts().get(alert)
        if state is not None:
            seen.setdefault(state, time.monotonic() - began)
        for notification in surroundings.outside.on("/alerts", since=began):
            if notification.alerts(alert):
                return _result(fault, seen, notification.at - began, str(notification.body["receiver"]))
        time.sleep(POLL)
    return _result(fault, seen, None, None)


def _silence(surroundings: Surroundings, fault: Fault, began: float) -> Result:
    while time.monotonic() - began < PATIENCE * 2:
        beats = surroundings.outside.on("/heartbeat")
        if beats and time.monotonic() - beats[-1].at > SILENCE:
            return _result(fault, {}, time.monotonic() - began, "heartbeat")
        time.sleep(POLL)
    return _result(fault, {}, None, None)


def _result(fault: Fault, seen: dict[str, float], notified: float | None, receiver: str | None) -> Result:
    return Result(
        fault=fault.name,
        alert=fault.alert or "no heartbeat",
        pending=seen.get("pending"),
        firing=seen.get("firing"),
        notified=notified,
        receiver=receiver,
        expected=fault.receiver,
    )


def expressions() -> Iterator[tuple[str, str]]:
    """Where each query of a rule or a panel is, and the query."""
    import dashboards

    for path in sorted((ROOT / "rules").glob("*.yml")):
        for rule in read_rules(path, f"rules/{path.name}")[0]:
            yield f"{rule.file}:{rule.line} {rule.name}", rule.expr
    for uid, panel, query in dashboards.queries():
        yield f"dashboards/json/{uid}.json {panel}", query


def without_data(surroundings: Surroundings) -> list[str]:
    """Series that a rule or panel reads and the real Prometheus does not have, and queries that it refuses."""
    answers: dict[str, bool] = {}
    problems = []
    for where, text in expressions():
        for each in selectors(parse(text)):
            if each.metric in ABSENT_IN_HEALTH:
                continue
            if each.metric not in answers:
                answers[each.metric] = bool(surroundings.ask(f"last_over_time({each.metric}[10m])"))
            if not answers[each.metric]:
                problems.append(f"{where}: there is no {each.metric}")
        try:
            surroundings.ask(text)
        except RuntimeError as error:
            problems.append(f"{where}: {error}")
    return sorted(set(problems))


def table(results: Sequence[Result]) -> str:
    """For people; seconds since the fault."""
    rows = [("fault", "alert", "pending", "firing", "notified", "receiver", "")]
    for each in results:
        times = [f"{value:.0f} s" if value is not None else "-" for value in (each.pending, each.firing, each.notified)]
        verdict = "" if each.ok else f"expected {each.expected}"
        rows.append((each.fault, each.alert, *times, each.receiver or "nobody", verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main() -> int:
    """Runs the day; exit status 1 if anybody was not told, or a query has no data."""
    parser = argparse.ArgumentParser(prog="make gameday", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON on standard output")
    parser.add_argument("faults", nargs="*", help="parts of the names of the faults to run; all without any")
    arguments = parser.parse_args()
    chosen = [each for each in FAULTS if not arguments.faults or any(part in each.name for part in arguments.faults)]
    if not chosen:
        parser.error(f"no fault is called so: there are {', '.join(each.name for each in FAULTS)}")
    folder = Path(tempfile.mkdtemp(prefix="gameday-"))
    began = time.monotonic()
    surroundings = Surroundings(
        folder, lambda text: print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)
    )
    results: list[Result] = []
    try:
        surroundings.start()
        load = Load(surroundings, description())
        eventually(lambda: surroundings.outside.on("/heartbeat"), within=120)
        surroundings.say("asking every query of rules and dashboards")
        eventually(lambda: len(without_data(surroundings)) == 0 or time.monotonic() - began > 300, within=400)
        missing = without_data(surroundings)
        results += [run(surroundings, each) for each in chosen]
        load.close()
    finally:
        surroundings.stop()
        remove(folder)
    if arguments.json:
        print(json.dumps({"faults": [asdict(each) for each in results], "without_data": missing}, indent=2))
    else:
        print(table(results))
        print("\n".join(["", *missing]) if missing else "\nevery query of a rule or a panel has data")
    return int(bool(missing) or not all(each.ok for each in results))


if __name__ == "__main__":
    sys.exit(main())
