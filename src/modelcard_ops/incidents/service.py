"""The responder's HTTP: Alertmanager's webhook, what people ask and say, the page, metrics and probes.

Everybody has to log in but the probes and Prometheus, whom a NetworkPolicy admits. What is refused at the webhook is
one line in the security log.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from modelcard_generator.logging.config import audit_event, failed_login, input_rejected
from modelcard_ops.incidents import metrics, postmortem, views, webhook
from modelcard_ops.incidents.assessment import Assessor
from modelcard_ops.incidents.ledger import RefusedError, UnknownIncidentError, identity, number_of
from modelcard_ops.incidents.receiving import ReplayedError
from modelcard_ops.incidents.responder import Responder
from modelcard_ops.incidents.severity import Severity, State
from modelcard_ops.incidents.sources import Monitoring

# 10,000 alerts of one group with our labels and annotations are 12 MB; what is larger is no group of ours.
MAX_WEBHOOK = 16 * 1024 * 1024
MAX_REQUEST = 64 * 1024
# Messages that are read at once: the others wait in their sockets, and memory stays bounded.
AT_ONCE = 2
PERSON = "oncall"  # of the page's login; its password is the token
LATE = 15.0  # seconds: three ticks


class TooLargeError(Exception):
    """A body beyond its limit."""


class Declaration(BaseModel):
    """What a person says who opens an incident."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    title: str = Field(min_length=1, max_length=300)
    severities: list[Severity] = []
    summary: str = Field(default="", max_length=4000)
    impact: str = Field(default="", max_length=4000)
    alerts: list[str] = []
    acknowledge: bool = False
    by: str = Field(min_length=1, max_length=100)


class Word(BaseModel):
    """What a person says of an incident."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    by: str = Field(min_length=1, max_length=100)
    summary: str = Field(default="", max_length=4000)
    impact: str | None = Field(default=None, max_length=4000)
    state: State | None = None
    severity: Severity | None = None
    next_update: AwareDatetime | None = None
    resolution_eta: AwareDatetime | None = None
    anyway: bool = False
    public: bool = True


@dataclass(kw_only=True)
class Service:
    """What the routes share. `alive` says whether time is being looked after."""

    responder: Responder
    webhook_token: str
    token: str
    assessor: Assessor
    prometheus: Monitoring | None
    registry: CollectorRegistry
    alive: Callable[[], bool]
    reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/alerts", self.alerts, methods=["POST"]),
                Route("/", self.page),
                Route("/live", self.live),
                Route("/ready", self.ready),
                Route("/metrics", self.metrics),
                Route("/api/incidents", self.incidents),
                Route("/api/incidents", self.declare, methods=["POST"]),
                Route("/api/incidents/{incident}", self.incident),
                Route("/api/incidents/{incident}/postmortem", self.postmortem),
                Route("/api/incidents/{incident}/{what}", self.say, methods=["POST"]),
                Route("/api/assessment", self.assess, methods=["POST"]),
            ],
            exception_handlers={
                UnknownIncidentError: _answer(404),
                RefusedError: _answer(409),
                ValidationError: _invalid,
                TooLargeError: _answer(413),
            },
        )

    async def alerts(self, request: Request) -> Response:
        """Takes a message. 4xx is final for Alertmanager, which sends again after 5xx only."""
        if not _bearer(request, self.webhook_token):
            failed_login("webhook: no token, or another's", _client(request))
            return _refused("unauthenticated", 401, "a token is needed: Authorization: Bearer …")
        async with self.reading:
            try:
                body = await _body(request, MAX_WEBHOOK)
                message = await run_in_threadpool(webhook.read, body)
                received = await run_in_threadpool(self.responder.receive, message)
            except TooLargeError as error:
                input_rejected("webhook: too large", client=_client(request), limit=MAX_WEBHOOK)
                return _refused("oversized", 413, str(error))
            except webhook.MalformedError as error:
                input_rejected("webhook: malformed", client=_client(request), problem=str(error))
                return _refused("malformed", 400, str(error))
            except ReplayedError as error:
                input_rejected("webhook: replayed", client=_client(request), problem=str(error))
                return _refused("replayed", 409, str(error))
        metrics.webhooks.labels("taken").inc()
        name = identity(received.incident) if received.incident is not None else None
        return JSONResponse({"incident": name, "opened": received.opened, "new_alerts": received.new_alerts})

    async def page(self, request: Request) -> Response:
        """The incidents that are open, for people."""
        if not self._person(request):
            return self._login(request)
        template = postmortem.TEMPLATES.get_template("incidents.html.j2")
        ledger = self.responder.ledger
        incidents = await run_in_threadpool(views.listing, ledger)
        overdue = await run_in_threadpool(self.responder.overdue)
        text = template.render(incidents=incidents, now=views.moment(ledger.clock()), overdue=overdue, late_after=LATE)
        headers = {
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
            "Cache-Control": "no-store",
        }
        return HTMLResponse(text, headers=headers)

    async def incidents(self, request: Request) -> Response:
        """The open ones, or with `every` those that are over as well."""
        if not self._person(request):
            return self._login(request)
        every = request.query_params.get("every") == "true"
        return JSONResponse(await run_in_threadpool(views.listing, self.responder.ledger, every=every))

    async def incident(self, request: Request) -> Response:
        """All that is known of one."""
        if not self._person(request):
            return self._login(request)
        return JSONResponse(await self._detail(_number(request)))

    async def declare(self, request: Request) -> Response:
        """Opens one."""
        if not self._person(request):
            return self._login(request)
        said = Declaration.model_validate_json(await _body(request, MAX_REQUEST))
        number = await run_in_threadpool(
            lambda: self.responder.declare(
                title=said.title,
                severities=said.severities,
                by=said.by,
                summary=said.summary,
                impact=said.impact,
                alerts=said.alerts,
                acknowledge=said.acknowledge,
            )
        )
        _audit("declare", number, said.by)
        return JSONResponse(await self._detail(number), status_code=201)

    async def say(self, request: Request) -> Response:
        """Acknowledges, updates or resolves one."""
        if not self._person(request):
            return self._login(request)
        what, number = request.path_params["what"], _number(request)
        said = Word.model_validate_json(await _body(request, MAX_REQUEST))
        responder = self.responder
        actions: dict[str, Callable[[], None]] = {
            "ack": lambda: responder.acknowledge(number, said.by),
            "update": lambda: responder.update(
                number,
                by=said.by,
                summary=said.summary,
                impact=said.impact,
                state=said.state,
                severity=said.severity,
                next_update=said.next_update,
                resolution_eta=said.resolution_eta,
                public=said.public,
            ),
            "resolve": lambda: responder.resolve(
                number, by=said.by, summary=said.summary, anyway=said.anyway, public=said.public
            ),
        }
        if what not in actions:
            return JSONResponse({"error": f"an incident cannot {what}: ack, update or resolve"}, status_code=404)
        if what != "ack" and not said.summary:
            return JSONResponse({"error": "summary: say what there is to say"}, status_code=422)
        await run_in_threadpool(actions[what])
        _audit(what, number, said.by)
        return JSONResponse(await self._detail(number))

    async def postmortem(self, request: Request) -> Response:
        """The postmortem, in Markdown."""
        if not self._person(request):
            return self._login(request)
        incident = await self._detail(_number(request))
        now = self.responder.clock()
        text = await run_in_threadpool(postmortem.written, incident, prometheus=self.prometheus, now=now)
        return PlainTextResponse(text, media_type="text/markdown")

    async def assess(self, request: Request) -> Response:
        """Looks at everything, now."""
        if not self._person(request):
            return self._login(request)
        return JSONResponse(await run_in_threadpool(self.assessor.assess))

    async def live(self, _: Request) -> Response:
        """Whether time is being looked after; if not, a restart helps."""
        alive = self.alive()
        return PlainTextResponse("alive\n" if alive else "the clocks stand still\n", 200 if alive else 503)

    async def ready(self, _: Request) -> Response:
        """Whether the database answers."""
        await run_in_threadpool(self.responder.overdue)
        return PlainTextResponse("ready\n")

    async def metrics(self, _: Request) -> Response:
        """For Prometheus."""
        body = await run_in_threadpool(generate_latest, self.registry)
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    async def _detail(self, number: int) -> dict[str, Any]:
        return await run_in_threadpool(views.detail, self.responder.ledger, number)

    def _person(self, request: Request) -> bool:
        return _bearer(request, self.token) or _basic(request, self.token)

    def _login(self, request: Request) -> Response:
        # A browser asks first without a login: that is no attempt.
        if request.headers.get("Authorization"):
            failed_login("incidents: another's token", _client(request))
        return JSONResponse(
            {"error": "a token is needed"}, status_code=401, headers={"WWW-Authenticate": 'Basic realm="incidents"'}
        )


def _answer(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=status)

    return answer


async def _invalid(_: Request, error: Exception) -> Response:
    reasons = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in getattr(error, "errors", list)()]
    return JSONResponse({"error": "; ".join(reasons)}, status_code=422)


def _refused(result: str, status: int, error: str) -> Response:
    metrics.webhooks.labels(result).inc()
    # Its body has not been read: the connection is of no more use.
    return JSONResponse({"error": error}, status_code=status, headers={"Connection": "close"})


def _bearer(request: Request, token: str) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    return kind.lower() == "bearer" and hmac.compare_digest(given.encode(), token.encode())


def _basic(request: Request, token: str) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "basic":
        return False
    try:
        login = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(login, f"{PERSON}:{token}".encode())


async def _body(request: Request, limit: int) -> bytes:
    announced = request.headers.get("Content-Length", "")
    message = f"more than {limit} bytes"
    if announced.isdecimal() and int(announced) > limit:
        raise TooLargeError(message)
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise TooLargeError(message)
            parts.append(part)
    except ClientDisconnect:
        raise webhook.MalformedError("it ended before its end") from None
    return b"".join(parts)


def _client(request: Request) -> str | None:
    return request.client.host if request.client else None


def _number(request: Request) -> int:
    return number_of(request.path_params["incident"])


def _audit(what: str, number: int, by: str) -> None:
    audit_event(f"incident_{what}", f"{what} {identity(number)}", incident=identity(number), user_id=by)
