"""Every refusal in one form: `application/problem+json` (RFC 9457) with one clear sentence in `detail`."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from modelcard_generator.errors import (
    AccessDenied,
    FieldError,
    InvalidInput,
    NotAuthenticated,
    ServiceError,
    TooLarge,
    Unavailable,
)
from modelcard_generator.logging import config as log
from modelcard_generator.logging import context

RETRY = "2"  # seconds until it is worth another try


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    error_type: str
    message: str


class Problem(BaseModel):
    """RFC 9457, with `errors` by section of the description."""

    title: str
    status: int
    detail: str
    errors: dict[str, list[FieldProblem]] = {}


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": error.title,
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
    for status, error in ((each.status, each) for each in (InvalidInput, Unavailable))
}


def also(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """Documents that a route may answer with these."""
    content = RESPONSES[InvalidInput.status]["content"]
    return {error.status: {"description": error.title, "content": content} for error in errors}


def install(api: FastAPI) -> None:
    """Answers errors, and writes down those that somebody should see."""
    api.add_exception_handler(ServiceError, _refused)
    api.add_exception_handler(RequestValidationError, _misspelt)
    api.add_exception_handler(HTTPException, _unrouted)
    api.add_exception_handler(Exception, _unexpected)


def answer(
    status: int, title: str, detail: str, fields: Sequence[FieldError] = (), headers: dict[str, str] | None = None
) -> JSONResponse:
    """A problem as a response."""
    body: dict[str, Any] = {"title": title, "status": status, "detail": detail}
    if fields:
        body["errors"] = {}
        for each in fields:
            problem = {"field": each.field, "error_type": each.error_type, "message": each.message}
            body["errors"].setdefault(each.section, []).append(problem)
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)  # noqa: S101 - Starlette's signature is wider than what it calls
    headers: dict[str, str] = {}
    match error:
        case AccessDenied():
            log.access_denied(context.user(), request.url.path)
        case InvalidInput() | TooLarge():
            log.input_rejected(error.detail, path=request.url.path)
        case NotAuthenticated():
            headers["WWW-Authenticate"] = "Bearer"
        case Unavailable():
            headers["Retry-After"] = RETRY
    return answer(error.status, error.title, error.detail, error.fields, headers)


async def _misspelt(request: Request, error: Exception) -> JSONResponse:
    """A path or query parameter that is not what it must be."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - as above
    first = error.errors()[0]
    detail = f"{first['loc'][-1]}: {first['msg']}"
    log.input_rejected(detail, path=request.url.path)
    return answer(InvalidInput.status, InvalidInput.title, detail)


async def _unrouted(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    phrase = HTTPStatus(error.status_code).phrase
    details = {
        404: "there is nothing at this path: see /docs",
        405: f"{request.method[:16]} is not possible here: see /docs",
    }
    detail = details.get(error.status_code, str(error.detail))
    return answer(error.status_code, phrase, detail, headers=dict(error.headers or {}))


async def _unexpected(_: Request, _error: Exception) -> JSONResponse:
    """A defect of ours; `RequestLog` writes it down, with the id that the caller was given."""
    return answer(500, "Internal error", f"this is a defect of the service: report request {context.request_id()}")
