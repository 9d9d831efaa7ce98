"""The postmortem in the operations guide's outline: filled with what is recorded, blank where a person must think."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jinja2

from modelcard_ops.incidents.assessment import NoAnswerError
from modelcard_ops.incidents.ledger import span
from modelcard_ops.incidents.severity import MINUTE
from modelcard_ops.incidents.sources import Monitoring

BUDGET_PERIOD = 30 * 86400  # seconds: that of the objectives (rules/objectives.yml)
SHORTEST = 5 * MINUTE  # what the recorded rates look back
JUST_NOW = 60  # seconds
OBJECTIVES = ("availability", "latency")
TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("modelcard_ops.incidents"),
    undefined=jinja2.StrictUndefined,
    autoescape=jinja2.select_autoescape(["html.j2", "html"]),
    keep_trailing_newline=True,
)


def outline(incident_id: str, timeline: str) -> str:
    """The operations guide's template with a timeline."""
    return _render(
        incident_id=incident_id,
        facts=None,
        summary="Brief description of the incident.",
        timeline=timeline,
        resolution="How was the incident resolved?",
        improvements=(),
    )


def written(incident: Mapping[str, Any], *, prometheus: Monitoring | None, now: float) -> str:
    """The postmortem of an incident as `views.detail` has it."""
    events: Sequence[Mapping[str, Any]] = incident["timeline"]
    resolved = [each for each in events if each["kind"] == "resolved"]
    opened = datetime.fromisoformat(incident["opened_at"])
    ended = datetime.fromisoformat(incident["resolved_at"]) if incident["resolved_at"] else None
    end = ended.timestamp() if ended else now
    length = max(0, int(end - opened.timestamp()))
    return _render(
        incident_id=incident["incident"],
        facts={
            "severity": incident["severity"],
            "title": incident["title"],
            "opened_by": incident["opened_by"],
            "opened_at": _moment(incident["opened_at"]),
            "duration": span(length) if ended else f"{span(length)}, and it is not over",
            "acknowledged": _acknowledged(incident, opened),
            # Of what has only just ended, Prometheus' own clock knows best how far it has come.
            "budget": budget(prometheus, length, end if now - end > JUST_NOW else None),
            "impact": incident["impact"],
            "links": _links(incident["links"]),
        },
        summary=f"{incident['summary']}\n\nBrief description of the incident.",
        timeline="\n".join(_line(each) for each in events),
        resolution=f"{resolved[-1]['summary']}\n\nHow was the incident resolved?"
        if resolved
        else "It is not over yet.",
        improvements=_improvements(incident, events),
    )


def budget(prometheus: Monitoring | None, length: float, end: float | None) -> str:
    """How much of the objectives' budget of 30 days was burnt meanwhile, with requests as evenly spread as ever."""
    if prometheus is None:
        return "unknown: Prometheus could not be asked"
    over = int(max(length, SHORTEST))
    try:
        burnt = {each: prometheus.number(_burnt(each, over), at=end) for each in OBJECTIVES}
    except NoAnswerError as error:
        return f"unknown: {error}"
    known = {name: value for name, value in burnt.items() if value is not None and value == value}  # noqa: PLR0124 - NaN
    if not known:
        return "unknown: Prometheus has no requests of that time"
    return ", ".join(f"{value:.2%} of {name}" for name, value in known.items()) + " (of 30 days)"


def _burnt(objective: str, over: int) -> str:
    of = f'{{objective="{objective}"}}'
    return (
        f"sum(avg_over_time(job_objective:bad_requests:rate5m{of}[{over}s]))"
        f" / sum(avg_over_time(job_objective:requests:rate5m{of}[{over}s]))"
        f" / scalar(objective:error_budget:ratio{of}) * {over / BUDGET_PERIOD:.9f}"
    )


def _acknowledged(incident: Mapping[str, Any], opened: datetime) -> str:
    within = f"{incident['respond_within']} were allowed"
    if incident["acknowledged_at"] is None:
        return f"nobody acknowledged; {within}"
    waited = span(max(0, int((datetime.fromisoformat(incident["acknowledged_at"]) - opened).total_seconds())))
    verdict = ", **too late**" if incident["breached_at"] else ""
    return f"{waited}, by {incident['acknowledged_by']}; {within}{verdict}"


def _improvements(incident: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the record itself shows."""
    found = []
    if incident["breached_at"]:
        found.append(
            f"Nobody acknowledged within {incident['respond_within']}; escalations: {incident['escalations']}."
        )
    if reminders := sum(each["kind"] == "reminder" for each in events):
        found.append(f"Updates were overdue {reminders} times.")
    undelivered = sorted(
        {f"{each['sink']} {each['target']}" for each in incident["messages"] if each["state"] != "sent"}
    )
    if undelivered:
        found.append(f"Not everybody was told: {', '.join(undelivered)}.")
    return found


def _links(links: Sequence[Mapping[str, str]]) -> list[str]:
    """In Markdown; a dashboard's address is Grafana's, whose own is the reader's affair."""
    lines = []
    for each in links:
        shown = [f"[{name}]({each[name]})" for name in ("graph", "runbook") if name in each]
        shown += [f"dashboard `{each['dashboard']}`"] if "dashboard" in each else []
        if shown:
            lines.append(f"{each['alert']}: {', '.join(shown)}")
    return lines


def _line(event: Mapping[str, Any]) -> str:
    return (
        f"- {_moment(event['at'])}: {str(event['state']).title()} - {event['kind']}: {event['summary']} ({event['by']})"
    )


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _render(**values: Any) -> str:
    return TEMPLATES.get_template("postmortem.md.j2").render(**values)
