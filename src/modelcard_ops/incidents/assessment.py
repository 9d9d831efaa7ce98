"""The first look at an incident: everything is looked at side by side, and nothing is waited for too long.

What could not be looked at is unknown, which is never good news.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Status = Literal["healthy", "unhealthy", "unknown"]
WORST: Sequence[Status] = ("healthy", "unknown", "unhealthy")
WITHIN = 15.0  # seconds, of the whole; each look waits at most 10 s for an answer (`sources.TIMEOUT`)
DETAILS = 20


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one look saw, in a line, and what there is to say about it."""

    status: Status
    summary: str
    details: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Finding(Found):
    """As above, of what, and how long it took."""

    name: str
    seconds: float


class NoAnswerError(Exception):
    """Why something could not be looked at."""


Look = Callable[[], Found]


class Assessor:
    """Looks at all of it. A look that still hangs is not started again beside itself."""

    def __init__(self, looks: Mapping[str, Look], *, within: float = WITHIN) -> None:
        self._looks = looks
        self._within = within
        self._hanging: dict[str, threading.Thread] = {}
        self._one = threading.Lock()

    def assess(self) -> dict[str, Any]:
        """The report, fit for JSON, within the time that it may take."""
        with self._one:
            began = time.monotonic()
            answers: queue.SimpleQueue[Finding] = queue.SimpleQueue()
            found = {name: self._start(name, look, answers) for name, look in self._looks.items()}
            while missing := [name for name, finding in found.items() if finding is None]:
                left = self._within - (time.monotonic() - began)
                try:
                    finding = answers.get(timeout=max(left, 0.001))
                except queue.Empty:
                    for name in missing:
                        found[name] = _unknown(name, f"no answer within {self._within:g} s", self._within)
                else:
                    found[finding.name] = finding
        return _report([finding for finding in found.values() if finding is not None], time.monotonic() - began)

    def _start(self, name: str, look: Look, answers: queue.SimpleQueue[Finding]) -> Finding | None:
        hanging = self._hanging.get(name)
        if hanging is not None and hanging.is_alive():
            return _unknown(name, "the last look still waits for an answer", 0.0)
        thread = threading.Thread(target=_look, args=(name, look, answers), daemon=True, name=f"look at {name}")
        self._hanging[name] = thread
        thread.start()
        return None


def _look(name: str, look: Look, answers: queue.SimpleQueue[Finding]) -> None:
    began = time.monotonic()
    try:
        found = look()
        seconds = round(time.monotonic() - began, 3)
        details = tuple(found.details[:DETAILS])
        answers.put(Finding(name=name, status=found.status, summary=found.summary, details=details, seconds=seconds))
    except NoAnswerError as error:
        answers.put(_unknown(name, str(error), time.monotonic() - began))
    except Exception as error:  # noqa: BLE001 - what cannot be looked at is unknown, whatever the reason
        answers.put(_unknown(name, f"{type(error).__name__}: {error}"[:300], time.monotonic() - began))


def _unknown(name: str, why: str, seconds: float) -> Finding:
    return Finding(name=name, status="unknown", summary=why, seconds=round(seconds, 3))


def _report(findings: Sequence[Finding], seconds: float) -> dict[str, Any]:
    status = max((each.status for each in findings), key=WORST.index, default="unknown")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": status,
        "summary": _summary(findings),
        "seconds": round(seconds, 3),
        "findings": [asdict(each) for each in findings],
    }


def _summary(findings: Sequence[Finding]) -> str:
    bad = [f"{each.name}: {each.summary}" for each in findings if each.status == "unhealthy"]
    unknown = [each.name for each in findings if each.status == "unknown"]
    parts = [*bad, *([f"unknown: {', '.join(unknown)}"] if unknown else [])]
    return "; ".join(parts) or "nothing is wrong with what was looked at"


def text(report: Mapping[str, Any]) -> str:
    """The report for people."""
    marks = {"healthy": "✔", "unhealthy": "✘", "unknown": "?"}
    lines = [f"{report['status']}, {report['at']}, after {report['seconds']:.1f} s"]
    for each in report["findings"]:
        lines.append(f"{marks[each['status']]} {each['name']:<12} {each['status']:<9}  {each['summary']}")
        lines += [f"{'':<16}{line}" for line in each["details"]]
    return "\n".join(lines)
