"""Files that belong to cards."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from modelcard_generator.api import problems
from modelcard_generator.api.authentication import CurrentUser
from modelcard_generator.api.limits import refuse_length
from modelcard_generator.api.service import CurrentService
from modelcard_generator.database import uploads
from modelcard_generator.errors import (
    AccessDenied,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    ServiceError,
    StorageFull,
    TooLarge,
)
from modelcard_generator.logging.config import audit_event

router = APIRouter(tags=["files"])
NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,200}")
MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}/[a-z0-9][a-z0-9.+-]{0,63}")


class File(BaseModel):
    """A file of a card: size in bytes, SHA-256 in hexadecimal."""

    id: UUID
    card_id: UUID
    file_name: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime


@router.post(
    "/cards/{card_id}/files",
    status_code=201,
    responses=problems.also(NotAuthenticated, AccessDenied, NotFound, TooLarge, StorageFull),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload_file(  # noqa: PLR0913, PLR0917 - FastAPI passes by name
    card_id: UUID,
    name: Annotated[str, Query()],
    request: Request,
    response: Response,
    user: CurrentUser,
    service: CurrentService,
) -> File:
    """Adds a file to a card: `curl --data-binary @report.pdf '…/cards/ID/files?name=report.pdf'`."""
    _refuse_name(name)
    await service.card_of(user, card_id)
    refuse_length(request, service.files.limit)
    upload_id = uuid4()
    written = await service.files.write(upload_id, request.stream())
    try:
        upload = await uploads.insert_upload(
            service.database,
            upload_id=upload_id,
            user_id=user.id,
            card_id=card_id,
            file_name=name,
            media_type=_media_type(request.headers.get("content-type", "")),
            size=written.size,
            sha256=written.sha256,
        )
    except BaseException:
        service.files.remove(upload_id)
        raise
    audit_event("file_upload", "File uploaded", user_id=user.username, card_id=str(card_id), file_id=str(upload_id))
    response.headers["Location"] = f"/files/{upload.id}"
    return _described(upload)


@router.get("/cards/{card_id}/files", responses=problems.also(NotAuthenticated, AccessDenied, NotFound))
async def list_files(card_id: UUID, user: CurrentUser, service: CurrentService) -> list[File]:
    """The files of a card, oldest first."""
    await service.card_of(user, card_id)
    return [_described(upload) for upload in await uploads.list_uploads(service.database, card_id)]


@router.get(
    "/files/{file_id}",
    response_class=FileResponse,
    responses={
        200: {"description": "The file", "content": {"application/octet-stream": {}}},
        **problems.also(NotAuthenticated, AccessDenied, NotFound),
    },
)
async def get_file(file_id: UUID, user: CurrentUser, service: CurrentService) -> FileResponse:
    """A file, to be saved and never shown in place."""
    upload = await uploads.get_upload(service.database, file_id)
    if upload.user_id != user.id:
        raise AccessDenied(f"file {file_id} belongs to somebody else")
    path = service.files.path(file_id)
    if not path.is_file():
        raise ServiceError(f"file {file_id} is recorded but not in the folder of uploads: an operator must restore it")
    return FileResponse(
        path,
        media_type=upload.media_type,
        filename=upload.file_name,
        headers={"Cache-Control": "private, no-cache", "Content-Security-Policy": "sandbox"},
    )


def _refuse_name(name: str) -> None:
    if not NAME.fullmatch(name) or name in {".", ".."} or not name.isprintable():
        raise InvalidInput(
            "name: a file name has 1 to 200 printable characters, no slash and no backslash, and is not `.` or `..`"
        )


def _media_type(header: str) -> str:
    kind = header.partition(";")[0].strip().lower()
    return kind if MEDIA_TYPE.fullmatch(kind) else "application/octet-stream"


def _described(upload: uploads.Upload) -> File:
    assert upload.card_id is not None  # noqa: S101 - files without a card are never listed here
    return File(
        id=upload.id,
        card_id=upload.card_id,
        file_name=upload.file_name,
        media_type=upload.media_type,
        size=upload.size,
        sha256=upload.sha256.hex(),
        created_at=upload.created_at,
    )
