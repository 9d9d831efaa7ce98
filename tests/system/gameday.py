"""`make gameday`: one fault after another, and what came of it: which alert, when, and who was told.

The rendered configuration of Prometheus and Alertmanager runs unchanged but for addresses, with the real application,
PostgreSQL, Redis, nginx and exporters, and the real responder: each fault ends with an incident that was opened,
escalated and resolved, and its postmortem in build/gameday. Only the time to respond is put forward rather than waited
for. `--json` prints the outcome for a program; names of faults run only these.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from infra.environments.workspace import ROOT
from infra.monitoring.promql import parse, selectors
from infra.monitoring.rules import read_rules
from modelcard_ops.incidents.severity import RESPONSE, Severity
from tests.app.servers import eventually
from tests.app.service import description
from tests.system.surroundings import Load, Surroundings, remove

PATIENCE = 240  # seconds until an alert must have been told
SILENCE = 150  # seconds without a heartbeat after which whoever waits for it calls
POLL = 0.5
POSTMORTEMS = ROOT / "build" / "gameday"
# What there is nothing of while all is well: no series, and that is the good news.
ABSENT_IN_HEALTH = (
    "kube_pod_container_status_last_terminated_reason",
    "kube_pod_container_status_waiting_reason",
    "kube_job_failed",
    "kube_horizontalpodautoscaler_status_target_metric",
    "kube_pod_status_unschedulable",
    "alertmanager_cluster_members",
    "ALERTS",
    "incidents_open_info",
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
    incident: str | None = None
    postmortem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the right receiver was told, and the incident ended as it should."""
        return self.receiver == self.expected and self.postmortem is not None


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
        incident = _responded(surroundings, fault) if result.receiver else None
    finally:
        fault.heal(surroundings)
    eventually(surroundings.all_targets_up, within=120)
    if fault.alert is not None:
        eventually(lambda: surroundings.alerts().get(fault.alert or "") is None, within=120)
    return result if incident is None else _ended(surroundings, result, incident)


def _responded(surroundings: Surroundings, fault: Fault) -> str:
    """Nobody comes in time, then somebody does. The incident's name."""
    people = surroundings.people
    if fault.alert is None:
        # Whoever waits for the heartbeat calls a person, and the person opens it.
        declared = people.post("/api/incidents", {"title": fault.name, "severities": ["P1"], "by": "gameday"})
        name = str(declared["incident"])
    else:
        eventually(lambda: _open(surroundings, fault.alert or ""), within=PATIENCE)
        name = _open(surroundings, fault.alert)
    severity = Severity(people.get(f"/api/incidents/{name}").json()["severity"])
    surroundings.forward.by(RESPONSE[severity])
    eventually(lambda: people.get(f"/api/incidents/{name}").json()["breached_at"], within=60)
    eventually(
        lambda: any(name in each["text"] and "⏰" in each["text"] for each in surroundings.chat.slack), within=60
    )
    people.post(f"/api/incidents/{name}/ack", {"by": "gameday"})
    word = {"by": "gameday", "summary": f"It is known: {fault.name}", "state": "identified"}
    people.post(f"/api/incidents/{name}/update", word)
    return name


def _open(surroundings: Surroundings, alert: str) -> str:
    """The incident that is open for an alert; "" for none."""
    found = surroundings.people.get("/api/incidents").json()
    return next((str(each["incident"]) for each in found if each["title"].startswith(f"{alert}:")), "")


def _ended(surroundings: Surroundings, result: Result, name: str) -> Result:
    """Resolved by whoever has mended it; Alertmanager may not have said yet that the alert is over."""
    people = surroundings.people
    people.post(f"/api/incidents/{name}/resolve", {"by": "gameday", "summary": "It was started again", "anyway": True})
    POSTMORTEMS.mkdir(parents=True, exist_ok=True)
    file = POSTMORTEMS / f"{name}.md"
    file.write_text(people.get(f"/api/incidents/{name}/postmortem").text)
    kinds = {each["kind"] for each in people.get(f"/api/incidents/{name}").json()["timeline"]}
    complete = {"opened", "breach", "escalation", "acknowledged", "update", "resolved"} <= kinds
    return replace(result, incident=name, postmortem=str(file.relative_to(ROOT)) if complete else None)


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
    rows = [("fault", "alert", "pending", "firing", "notified", "receiver", "postmortem", "")]
    for each in results:
        times = [f"{value:.0f} s" if value is not None else "-" for value in (each.pending, each.firing, each.notified)]
        verdict = "" if each.receiver == each.expected else f"expected {each.expected}"
        rows.append((each.fault, each.alert, *times, each.receiver or "nobody", each.postmortem or "none", verdict))
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
