"""What people are told of an incident, and by which sinks. Nothing is sent here: messages go into the outbox.

`IncidentCommunication` has the fields and methods of the operations guide; its postmortem is in `postmortem.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from modelcard_ops.incidents.severity import EVERYBODY, URGENT, Severity, State, channels

Kind = Literal["opened", "update", "alerts", "acknowledged", "escalated", "reminder", "assessment", "resolved"]
SLACK, MAIL, STATUS_PAGE = "slack", "mail", "status-page"
HEADLINES: Mapping[Kind, str] = {
    "opened": "🚨 Incident",
    "update": "🚨 Incident Update",
    "alerts": "🚨 More alerts",
    "acknowledged": "👋 Acknowledged",
    "escalated": "⏰ Nobody has come",
    "reminder": "⏳ An update is due",
    "assessment": "📊 Assessment",
    "resolved": "✅ Resolved",
}
# What of it the public hears, and no more than a person wrote: alerts name what is inside.
PUBLIC: Mapping[Kind, str] = {
    "opened": "We are looking into a problem with the service.",
    "resolved": "The problem is solved.",
}
FOR_RESPONDERS: tuple[Kind, ...] = ("acknowledged", "reminder", "assessment")


@dataclass(frozen=True, kw_only=True)
class IncidentUpdate:
    """How an incident stands: `status` is investigating, identified, monitoring or resolved."""

    timestamp: datetime
    status: str
    summary: str
    impact: str
    next_update: datetime | None = None
    resolution_eta: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Note:
    """A message as the outbox keeps it: all that a sink needs to write it in its own way.

    `public` is what the status page says; empty texts are left out.
    """

    kind: Kind
    incident: str
    severity: Severity
    status: State
    headline: str
    fields: Mapping[str, str]
    public: str = ""

    def as_data(self) -> dict[str, Any]:
        """Fit for JSON."""
        return asdict(self)

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Note:
        """As it was."""
        return cls(**{**data, "severity": Severity(data["severity"]), "status": State(data["status"])})


class Post(Protocol):
    """Puts a message into the outbox, in the transaction of what it is about."""

    def __call__(self, sink: str, target: str, note: Note) -> None:
        """`target` is a channel, the recipients, or the page."""


@dataclass(frozen=True, kw_only=True)
class Audience:
    """Which sinks there are: what is not set is not told."""

    slack: bool = False
    recipients: tuple[str, ...] = ()
    status_page: str = ""


@dataclass(kw_only=True)
class IncidentCommunication:
    """Tells who is concerned by an incident of this severity how it stands."""

    incident_id: str
    severity: Severity
    audience: Audience
    post: Post
    updates: list[IncidentUpdate] = field(default_factory=list)
    public: bool = True

    def post_update(  # noqa: PLR0913 - the operations guide's arguments, and when the next follows
        self,
        status: State,
        summary: str,
        impact: str,
        *,
        kind: Kind = "update",
        timestamp: datetime | None = None,
        next_update: datetime | None = None,
        resolution_eta: datetime | None = None,
        more: Mapping[str, str] | None = None,
    ) -> IncidentUpdate:
        """Posts an update to every channel that it concerns."""
        update = IncidentUpdate(
            timestamp=timestamp or datetime.now(UTC),
            status=status,
            summary=summary,
            impact=impact,
            next_update=next_update,
            resolution_eta=resolution_eta,
        )
        self.updates.append(update)
        self._send_slack_update(update, kind, more or {})
        self._send_email_update(update, kind, more or {})
        self._update_status_page(update, kind)
        return update

    def _send_slack_update(self, update: IncidentUpdate, kind: Kind, more: Mapping[str, str]) -> None:
        if not self.audience.slack:
            return
        told: Sequence[str] = channels(self.severity)
        if kind == "escalated":
            told = EVERYBODY
        elif kind in FOR_RESPONDERS:
            told = EVERYBODY[:1]
        for channel in told:
            self._send_slack_message(channel, self._note(update, kind, more))

    def _send_slack_message(self, channel: str, message: Note) -> None:
        self.post(SLACK, channel, message)

    def _send_email_update(self, update: IncidentUpdate, kind: Kind, more: Mapping[str, str]) -> None:
        hint = self.severity is Severity.P3 and kind != "escalated"
        if self.audience.recipients and kind not in FOR_RESPONDERS and not hint:
            self.post(MAIL, ", ".join(self.audience.recipients), self._note(update, kind, more))

    def _update_status_page(self, update: IncidentUpdate, kind: Kind) -> None:
        """Only of what users notice, and only what a person wrote for them."""
        by_person = "\n\n".join(text for text in (update.summary, update.impact) if text) if kind == "update" else ""
        public = by_person or PUBLIC.get(kind, "")
        if self.audience.status_page and self.public and self.severity in URGENT and public:
            note = self._note(update, kind, {}, public=public)
            self.post(STATUS_PAGE, self.audience.status_page, note)

    def _note(self, update: IncidentUpdate, kind: Kind, more: Mapping[str, str], *, public: str = "") -> Note:
        fields = {
            "Incident": self.incident_id,
            "Severity": str(self.severity),
            "Status": str(update.status),
            "Summary": update.summary,
            "Impact": update.impact,
            "Next update": _shown(update.next_update),
            "Expected to be over": _shown(update.resolution_eta),
            **more,
        }
        return Note(
            kind=kind,
            incident=self.incident_id,
            severity=self.severity,
            status=State(update.status),
            headline=f"{HEADLINES[kind]} - {self.incident_id}",
            fields={name: text for name, text in fields.items() if text},
            public=public,
        )

    def generate_postmortem_template(self) -> str:
        """The outline with the timeline of these updates, to be completed by a person."""
        from modelcard_ops.incidents.postmortem import outline

        return outline(self.incident_id, self._format_timeline())

    def _format_timeline(self) -> str:
        """One line for each update."""
        lines = (f"- {_shown(each.timestamp)}: {each.status.title()} - {each.summary}" for each in self.updates)
        return "\n".join(lines)


def _shown(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else ""
