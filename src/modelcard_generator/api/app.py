"""Wires the service: settings in, an ASGI application out."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from modelcard_generator import __version__
from modelcard_generator import settings as configuration
from modelcard_generator.api import cards, document, files, operations, problems
from modelcard_generator.api.authentication import Tokens
from modelcard_generator.api.limits import RequestLimits
from modelcard_generator.api.requests import RequestLog
from modelcard_generator.api.service import Service
from modelcard_generator.api.storage import FileStore
from modelcard_generator.cache.redis_cache import RedisCache
from modelcard_generator.cards.generation import check_templates
from modelcard_generator.database.pool import Database
from modelcard_generator.logging.config import setup_logging
from modelcard_generator.monitoring import metrics
from modelcard_generator.monitoring.active_users import ActiveUsers
from modelcard_generator.monitoring.health import HealthChecker
from modelcard_generator.monitoring.middleware import RequestMetrics, expect_routes
from modelcard_generator.settings import Settings

DESCRIPTION = """Writes model cards from JSON descriptions, in three formats.

Every request but those for the service's own state needs a token: `Authorization: Bearer mcg_…`."""


def create() -> ASGIApp:
    """The application of one worker process, as the environment says."""
    settings = configuration.from_environment()
    setup_logging(settings.log_dir)
    return application(settings)


def application(settings: Settings) -> ASGIApp:
    """The application with everything around it; nothing connects before it starts."""
    service = assemble(settings)
    api = FastAPI(
        title="Model Card Generator",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lambda _: running(service),
        responses=problems.RESPONSES,
    )
    api.state.service = service
    problems.install(api)
    for router in (cards.router, files.router, operations.router):
        api.include_router(router)
    document.describe_requests(api)
    expect_routes(api)
    limited = RequestLimits(api, timeout=settings.request_timeout)
    return RequestLog(RequestMetrics(limited), draining=lambda: service.draining)


def assemble(settings: Settings) -> Service:
    """The parts of one process."""
    database = Database(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool_size,
        authority_file=settings.authority_file,
        slow_query=settings.slow_query,
    )
    cache = RedisCache(settings.cache_url.get_secret_value(), authority_file=settings.authority_file)
    store = FileStore(settings.uploads_dir, limit=settings.upload_limit)
    service = Service(
        settings=settings,
        database=database,
        cache=cache,
        active_users=ActiveUsers(cache),
        tokens=Tokens(database),
        files=store,
    )
    service.health = HealthChecker(
        database=database.check,
        redis=cache.ping,
        external_apis=settings.external_apis,
        paths={"uploads": settings.uploads_dir, "logs": settings.log_dir},
        templates=check_templates,
        serving=lambda: database.migrated and not service.draining,
    )
    return service


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """Starts the parts of a process, and stops them after its last request."""
    metrics.build_info.labels(version=__version__).set(1)
    await service.database.open()
    await service.active_users.start()
    await asyncio.to_thread(service.files.remove_leftovers)
    with _drained(service):
        yield
    await service.active_users.aclose()
    await service.health.aclose()
    await service.cache.aclose()
    await service.database.close()


@contextmanager
def _drained(service: Service) -> Iterator[None]:
    """On SIGTERM, answers for a while with `Connection: close`: no client meets a closed connection unwarned."""
    # uvicorn sets its own handler before it starts the application.
    stop = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def begin() -> None:
        if not service.draining and callable(stop):
            service.draining = True
            loop.call_later(service.settings.drain, stop, signal.SIGTERM, None)

    loop.add_signal_handler(signal.SIGTERM, begin)
    yield
    loop.remove_signal_handler(signal.SIGTERM)
