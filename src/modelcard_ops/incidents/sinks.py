"""Slack, mail and the status page behind one interface: how a note is written in each, and how each fails.

Sources: api.slack.com, "chat.postMessage"; developer.statuspage.io, "Incidents"; RFC 5321 and 5322.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Protocol

import httpx

from modelcard_ops.incidents.communication import MAIL, SLACK, STATUS_PAGE, Note
from modelcard_ops.incidents.severity import URGENT, Severity, State

TIMEOUT = 10.0  # seconds; an answer later than that is no answer
REPEATED = "(repeated: it is not known whether this arrived before)"
SECTION = 3000  # characters of a section (api.slack.com, "Section block")
RATE_LIMITED = (420, 429)  # the first is Statuspage's


class NotSentError(Exception):
    """Why a message was not taken, for certain."""


class UnavailableError(NotSentError):
    """Nobody takes messages now; `retry_after` seconds on, somebody may."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class RejectedError(NotSentError):
    """This message, or who sends it, is refused."""


class UnclearError(Exception):
    """Nobody knows whether it was taken: what is sent again says so."""


class Sink(Protocol):
    """Where messages go. `interval` is in seconds, between two messages to one target."""

    name: str
    interval: float

    def send(self, target: str, note: Note, *, message: int, repeated: bool, reference: str | None) -> str | None:
        """Sends a message once. `repeated` if an earlier attempt may have arrived.

        `reference` is what an earlier message of the incident returned here. Raises one of the errors above.
        """


def http_client() -> httpx.Client:
    """A client that never waits longer than `TIMEOUT`."""
    return httpx.Client(timeout=TIMEOUT, follow_redirects=False)


@dataclass(kw_only=True)
class Slack:
    """A bot of a workspace, with the scope `chat:write`, invited to the channels."""

    token: str
    url: str = "https://slack.com/api"
    interval: float = 1.0  # of one channel: api.slack.com, "Rate limits"
    name: str = SLACK
    client: httpx.Client = field(default_factory=http_client)

    def send(self, target: str, note: Note, *, message: int, repeated: bool, reference: str | None) -> str | None:  # noqa: ARG002 - it has none
        """Posts to a channel."""
        headers = {"Authorization": f"Bearer {self.token}"}
        body = {"channel": target, "unfurl_links": False, **slack_message(note, message, repeated=repeated)}
        answer = _asked(lambda: self.client.post(f"{self.url}/chat.postMessage", json=body, headers=headers))
        if answer.get("ok") is True:
            return None
        error = str(answer.get("error", "unreadable answer"))
        if error in {"ratelimited", "rate_limited"}:
            raise UnavailableError(error)
        # "It's possible some aspect of the operation succeeded before the error was raised."
        if error in {"internal_error", "fatal_error", "request_timeout", "service_unavailable", "unreadable answer"}:
            raise UnclearError(error)
        raise RejectedError(error)


def slack_message(note: Note, message: int, *, repeated: bool) -> dict[str, Any]:
    """The operations guide's message; a channel is called only where somebody has to come."""
    lines = [f"*{name}:* {_mrkdwn(text)}" for name, text in note.fields.items()]
    call = "<!channel> " if note.kind in {"opened", "escalated"} and note.severity in URGENT else ""
    mark = [f"_{REPEATED}_"] if repeated else []
    text = "\n".join([*mark, *lines])[:SECTION]
    return {
        "text": f"{call}{note.headline}{f' {REPEATED}' if repeated else ''}",
        "blocks": [
            {"type": "header", "text": {"type": "plain_text", "text": note.headline, "emoji": True}},
            {"type": "section", "text": {"type": "mrkdwn", "text": f"{call}{text}"[:SECTION]}},
        ],
        "metadata": {"event_type": "incident", "event_payload": {"incident": note.incident, "message": message}},
    }


def _mrkdwn(text: str) -> str:
    """Without what Slack would take for a mention or a link (api.slack.com, "Escaping text")."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@dataclass(kw_only=True)
class Mail:
    """A mail server, by STARTTLS, with a login unless it asks for none."""

    host: str
    port: int
    sender: str
    username: str = ""
    password: str = ""
    interval: float = 1.0
    name: str = MAIL
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def send(self, target: str, note: Note, *, message: int, repeated: bool, reference: str | None) -> str | None:  # noqa: ARG002 - it has none
        """Sends one mail to all recipients. Until its text has been sent, it has not been taken."""
        letter = mail_message(note, self.sender, target, message, repeated=repeated)
        recipients = [each.strip() for each in target.split(",")]
        try:
            server = smtplib.SMTP(self.host, self.port, timeout=TIMEOUT)
        except (OSError, smtplib.SMTPException) as error:
            raise UnavailableError(_reason(error)) from None
        try:
            self._hand_over(server, letter, recipients)
        finally:
            server.close()
        return None

    def _hand_over(self, server: smtplib.SMTP, letter: EmailMessage, recipients: list[str]) -> None:
        try:
            server.starttls(context=self.context)
            server.ehlo_or_helo_if_needed()
            if self.username:
                server.login(self.username, self.password)
            self._expect(server.mail(self.sender))
            for each in recipients:
                self._expect(server.rcpt(each))
        except smtplib.SMTPAuthenticationError as error:
            raise RejectedError(f"the login is refused ({error.smtp_code})") from None
        except (OSError, smtplib.SMTPException) as error:
            raise UnavailableError(_reason(error)) from None
        try:
            self._expect(server.data(letter.as_bytes()))
        except smtplib.SMTPDataError as error:
            self._expect((error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b""))
        except (OSError, smtplib.SMTPException) as error:
            raise UnclearError(_reason(error)) from None

    def _expect(self, answer: tuple[int, bytes]) -> None:
        code, text = answer
        reason = f"{code} {text.decode('utf-8', 'replace')}"[:200]
        if code >= 500:
            raise RejectedError(reason)
        if code >= 400:
            raise UnavailableError(reason)


def mail_message(note: Note, sender: str, recipients: str, message: int, *, repeated: bool) -> EmailMessage:
    """A mail, by its id the same however often it is sent, in the thread of its incident."""
    domain = sender.rpartition("@")[2]
    letter = EmailMessage()
    letter["From"], letter["To"] = sender, recipients
    title = note.fields.get("Title") or note.fields.get("Summary") or note.headline
    mark = " (repeated)" if repeated else ""
    letter["Subject"] = " ".join(f"[{note.severity}] {note.incident} {note.status}{mark}: {title}".split())[:200]
    letter["Message-ID"] = f"<{note.incident.lower()}.{message}@{domain}>"
    letter["References"] = f"<{note.incident.lower()}@{domain}>"
    lines = [note.headline, "", *(f"{name}: {text}" for name, text in note.fields.items())]
    letter.set_content("\n".join([REPEATED, "", *lines] if repeated else lines) + "\n")
    return letter


@dataclass(kw_only=True)
class StatusPage:
    """A page of Statuspage, or of what has its API. What may have arrived is looked for, not sent again."""

    token: str
    url: str = "https://api.statuspage.io/v1"
    interval: float = 1.0  # "each API token is limited to 1 request / second" (developer.statuspage.io)
    name: str = STATUS_PAGE
    client: httpx.Client = field(default_factory=http_client)

    def send(self, target: str, note: Note, *, message: int, repeated: bool, reference: str | None) -> str | None:
        """Creates the page's incident, or adds to it; returns its id."""
        body = {"status": _PAGE_STATES[note.status], "body": note.public}
        if reference is None and repeated:
            reference = self._find(target, note.incident)
            if reference is not None and self._says(target, reference, body):
                return reference
        if reference is None:
            created = self._ask("POST", f"/pages/{target}/incidents", {
                **body,
                "name": _NAMES[note.severity],
                "impact_override": "critical" if note.severity is Severity.P0 else "major",
                "metadata": {"responder": {"incident": note.incident, "message": message}},
            })  # fmt: skip
            return str(created["id"]) if created.get("id") else None
        if not (repeated and self._says(target, reference, body)):
            self._ask("PATCH", f"/pages/{target}/incidents/{reference}", body)
        return reference

    def _find(self, page: str, incident: str) -> str | None:
        found = self._look(f"/pages/{page}/incidents")
        for each in found if isinstance(found, list) else []:
            if (each.get("metadata") or {}).get("responder", {}).get("incident") == incident:
                return str(each["id"])
        return None

    def _says(self, page: str, reference: str, body: Mapping[str, str]) -> bool:
        found = self._look(f"/pages/{page}/incidents/{reference}")
        updates = found.get("incident_updates", []) if isinstance(found, Mapping) else []
        return any((each.get("status"), each.get("body")) == (body["status"], body["body"]) for each in updates)

    def _look(self, path: str) -> Any:
        try:
            return _answer(lambda: self.client.get(f"{self.url}{path}", headers=self._headers()))
        except UnclearError as error:
            raise UnavailableError(str(error)) from None  # to look changes nothing

    def _ask(self, method: str, path: str, incident: Mapping[str, Any]) -> dict[str, Any]:
        body = {"incident": incident}
        return _asked(lambda: self.client.request(method, f"{self.url}{path}", json=body, headers=self._headers()))

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"OAuth {self.token}"}


_PAGE_STATES: Mapping[State, str] = {state: str(state) for state in State}
_NAMES: Mapping[Severity, str] = {
    Severity.P0: "The service is not available",
    Severity.P1: "The service works only in part",
    Severity.P2: "Parts of the service do not work",
    Severity.P3: "A small fault of the service",
}


def _asked(ask: Callable[[], httpx.Response]) -> dict[str, Any]:
    found = _answer(ask)
    return found if isinstance(found, dict) else {}


def _answer(ask: Callable[[], httpx.Response]) -> Any:
    """The JSON of an answer, or what its absence means."""
    try:
        response = ask()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
        raise UnavailableError(_reason(error)) from None
    except httpx.HTTPError as error:
        raise UnclearError(_reason(error)) from None
    status = response.status_code
    if status in RATE_LIMITED:
        raise UnavailableError(f"HTTP {status}", _seconds(response.headers.get("Retry-After", "")))
    if status >= 500:
        raise UnclearError(f"HTTP {status}")
    if status >= 300:
        raise RejectedError(f"HTTP {status}")
    try:
        return response.json()
    except ValueError:
        return {}


def _seconds(header: str) -> float:
    return float(header) if header.isdecimal() else 0.0


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200] if str(error) else type(error).__name__
