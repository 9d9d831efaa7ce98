"""The responder as a process: its threads, what they share, and how it begins and ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import httpx
import uvicorn
from prometheus_client import CollectorRegistry, ProcessCollector

from modelcard_generator.logging.config import setup_logging
from modelcard_ops.errors import UserError
from modelcard_ops.incidents import metrics
from modelcard_ops.incidents.assessment import Assessor
from modelcard_ops.incidents.communication import MAIL, SLACK, STATUS_PAGE, Audience
from modelcard_ops.incidents.delivery import Courier
from modelcard_ops.incidents.ledger import Clock
from modelcard_ops.incidents.looks import looks
from modelcard_ops.incidents.responder import Responder
from modelcard_ops.incidents.service import LATE, Service
from modelcard_ops.incidents.settings import Settings
from modelcard_ops.incidents.sinks import Mail, Sink, Slack, StatusPage
from modelcard_ops.incidents.store import Store, StoreError

LOG = logging.getLogger(__name__)
DATABASE = "incidents.sqlite3"
HEARTBEAT = 60.0  # seconds between two signs of life


def audience(settings: Settings) -> Audience:
    """Who can be told."""
    return Audience(
        slack=settings.slack_token is not None,
        recipients=settings.mail_recipients if settings.mail_host else (),
        status_page=settings.status_page_id if settings.status_page_token else "",
    )


def sinks(settings: Settings) -> list[Sink]:
    """By what they are told."""
    found: list[Sink] = []
    if settings.slack_token is not None:
        found.append(Slack(token=settings.slack_token.get_secret_value(), url=settings.slack_url))
    if settings.mail_host and settings.mail_recipients:
        password = settings.mail_password.get_secret_value() if settings.mail_password else ""
        found.append(
            Mail(
                host=settings.mail_host,
                port=settings.mail_port,
                sender=settings.mail_sender,
                username=settings.mail_username,
                password=password,
            )
        )
    if settings.status_page_id and settings.status_page_token is not None:
        token = settings.status_page_token.get_secret_value()
        found.append(StatusPage(token=token, url=settings.status_page_url))
    return found


@dataclass(kw_only=True)
class Process:
    """Everything that runs beside the server: a thread for time, one for each sink, one to assess, one heartbeat."""

    settings: Settings
    responder: Responder
    couriers: Sequence[Courier]
    assessor: Assessor
    ending: threading.Event = field(default_factory=threading.Event)
    ticked: float = field(default_factory=time.monotonic)
    ordered: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Starts the threads."""
        self._thread("time", self._keep_time)
        self._thread("assessments", self._assess)
        for courier in self.couriers:
            self._thread(courier.sink.name, partial(courier.run, self.ending))
        if self.settings.heartbeat_url is not None:
            self._thread("heartbeat", self._beat)

    def stop(self) -> None:
        """Ends them; what is being sent is sent."""
        self.ending.set()
        self.wake()
        for thread in self.threads:
            thread.join(timeout=15)

    def wake(self) -> None:
        """There may be something to send or to look at."""
        self.ordered.set()
        for courier in self.couriers:
            courier.wake.set()

    def alive(self) -> bool:
        """Whether the clocks are looked after, by the monotonic clock."""
        return time.monotonic() - self.ticked < max(LATE, 3 * self.settings.tick) and all(
            thread.is_alive() for thread in self.threads
        )

    def _thread(self, name: str, run: Callable[[], object]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _keep_time(self) -> None:
        while not self.ending.wait(self.settings.tick):
            try:
                self.responder.tick()
                self.ticked = time.monotonic()
            except Exception:
                LOG.exception("the clocks stumbled")

    def _assess(self) -> None:
        while not self.ending.is_set():
            self.ordered.wait(self.settings.tick)
            self.ordered.clear()
            try:
                if numbers := self.responder.unassessed():
                    self.responder.attach_assessment(numbers, self.assessor.assess())
            except Exception:
                LOG.exception("the assessment stumbled")

    def _beat(self) -> None:
        url = self.settings.heartbeat_url.get_secret_value() if self.settings.heartbeat_url else ""
        while not self.ending.is_set():
            # Who waits for it calls when it stops: also when a clock stands still.
            if self.alive() and self.responder.overdue() < LATE:
                try:
                    httpx.post(url, json={"status": "alive"}, timeout=10).raise_for_status()
                    metrics.heartbeats.inc()
                except httpx.HTTPError as error:
                    LOG.warning("no heartbeat", extra={"reason": type(error).__name__})
            self.ending.wait(HEARTBEAT)


def assemble(settings: Settings, *, clock: Clock = time.time) -> tuple[Process, Service]:
    """The parts of the process. Raises `UserError` if the database cannot be used."""
    try:
        store = Store(settings.data_dir / DATABASE)
    except StoreError as error:
        raise UserError(str(error)) from None
    manager = settings.monitoring(settings.alertmanager_url)
    responder = Responder(
        store,
        audience=audience(settings),
        clock=clock,
        still_firing=manager.firing if manager else lambda _: None,
    )
    of_all = sinks(settings)
    assessor = Assessor(looks(settings.sources()))
    couriers = [Courier(each, responder.ledger) for each in of_all]
    process = Process(settings=settings, responder=responder, couriers=couriers, assessor=assessor)
    responder.changed = process.wake
    names = [each for each in (SLACK, MAIL, STATUS_PAGE) if each in {sink.name for sink in of_all}]
    registry = CollectorRegistry()
    metrics.expect(names)
    for each in (metrics.REGISTRY, metrics.Incidents(responder.ledger, names, responder.overdue)):
        registry.register(each)
    ProcessCollector(registry=registry)
    service = Service(
        responder=responder,
        webhook_token=settings.webhook_token.get_secret_value(),
        token=settings.token.get_secret_value(),
        assessor=assessor,
        prometheus=settings.monitoring(settings.prometheus_url),
        registry=registry,
        alive=process.alive,
    )
    return process, service


def serve(settings: Settings, *, clock: Clock = time.time) -> None:
    """Runs until SIGTERM."""
    setup_logging(settings.log_dir)
    # It says of each request to whom it was sent; webhooks and heartbeats have their secrets in addresses.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    process, service = assemble(settings, clock=clock)
    process.responder.tick()
    process.start()
    server = uvicorn.Server(
        uvicorn.Config(
            service.application(),
            host=settings.host,
            port=settings.port,
            ssl_certfile=settings.certificate_file,
            ssl_keyfile=settings.key_file,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=10,
            limit_concurrency=200,
        )
    )
    try:
        server.run()
    finally:
        process.stop()
        process.responder.store.close()
