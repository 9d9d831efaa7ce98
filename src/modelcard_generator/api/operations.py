"""What operators and their tools ask; the edge lets nobody else through."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from modelcard_generator.api.service import CurrentService
from modelcard_generator.monitoring.exposition import expose

router = APIRouter(tags=["operations"])


@router.get("/health", responses={503: {"description": "This process should be restarted"}})
async def health(service: CurrentService) -> JSONResponse:
    """The whole report. 503 only for what a restart cures, so that a dead database restarts nothing."""
    report = await service.health.live()
    return JSONResponse(report.to_dict(), 200 if report.live else 503)


@router.get("/ready", responses={503: {"description": "This process should get no traffic"}})
async def ready(service: CurrentService) -> JSONResponse:
    """Whether requests would be served: the database is required, the cache and external services are not."""
    report = await service.health.ready()
    return JSONResponse(report.to_dict(), 200 if report.ready else 503)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Prometheus' text format, over all workers of this pod."""
    body, content_type = await asyncio.to_thread(expose, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})
