"""Cards: create, list, fetch, delete."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

from modelcard_generator.api import problems
from modelcard_generator.api.authentication import CurrentUser
from modelcard_generator.api.document import CARD_REQUEST
from modelcard_generator.api.limits import read_body
from modelcard_generator.api.service import CurrentService
from modelcard_generator.cards import request as requests
from modelcard_generator.cards.formats import Output
from modelcard_generator.cards.generation import generate, to_html
from modelcard_generator.database import cards as stored
from modelcard_generator.database.optimization import LIMIT, Cursor, Page, get_model_cards_optimized
from modelcard_generator.errors import AccessDenied, NotAuthenticated, NotFound, TooLarge
from modelcard_generator.logging import context
from modelcard_generator.logging.config import audit_event, log_card_generation

BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": CARD_REQUEST,
            "examples": {name: {"value": example} for name, example in requests.EXAMPLES.items()},
        }
    },
}
router = APIRouter(prefix="/cards", tags=["cards"])
# A page is shown with its own style and nothing else: no script, no frame, nothing loaded from anywhere.
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; frame-ancestors 'none'"
PRIVATE = {"Cache-Control": "private, no-cache"}


class Card(BaseModel):
    """A card as it was created; `content` is an object if the output is `json`."""

    id: UUID
    name: str
    format: str
    template: str
    created_at: datetime
    output: Output
    content: Any


@router.post(
    "",
    status_code=201,
    response_model=Card,
    responses=problems.also(NotAuthenticated, TooLarge),
    openapi_extra={"requestBody": BODY},
)
async def create_card(
    request: Request, response: Response, user: CurrentUser, service: CurrentService, output: Output = "markdown"
) -> Card:
    """Creates a card from a description."""
    body = await read_body(request, service.settings.body_limit)
    generated = await asyncio.to_thread(lambda: generate(requests.parse(body)))
    card = await stored.insert_card(
        service.database,
        user_id=user.id,
        name=generated.name,
        format=generated.format,
        template=generated.template,
        description=generated.description,
        content=generated.content,
    )
    context.set_card(str(card.id))
    log_card_generation(user.username, str(card.id), card.format)
    response.headers["Location"] = f"/cards/{card.id}"
    content = await asyncio.to_thread(_rendered, card, output)
    return Card(
        id=card.id,
        name=card.name,
        format=card.format,
        template=card.template,
        created_at=card.created_at,
        output=output,
        content=content,
    )


@router.get("", responses=problems.also(NotAuthenticated))
async def list_cards(
    user: CurrentUser,
    service: CurrentService,
    limit: Annotated[int, Query(ge=1, le=LIMIT)] = 10,
    after: Annotated[str | None, Query(max_length=200)] = None,
) -> Page:
    """The user's cards, newest first; `next` is what to pass as `after` for the following ones."""
    cursor = Cursor.decode(after) if after is not None else None
    return await get_model_cards_optimized(service.database, user.id, limit, cursor)


@router.get(
    "/{card_id}",
    response_class=Response,
    responses={
        200: {
            "description": "The card",
            "content": {
                "text/markdown": {"schema": {"type": "string"}},
                "text/html": {"schema": {"type": "string"}},
                "application/json": {"schema": {"type": "object"}},
            },
        },
        **problems.also(NotAuthenticated, AccessDenied, NotFound),
    },
)
async def get_card(card_id: UUID, user: CurrentUser, service: CurrentService, output: Output = "markdown") -> Response:
    """A card as Markdown, as a page, or as the description that it was made of."""
    card = await service.card_of(user, card_id)
    content = await asyncio.to_thread(_rendered, card, output)
    match output:
        case "html":
            return HTMLResponse(content, headers={**PRIVATE, "Content-Security-Policy": PAGE_POLICY})
        case "json":
            return JSONResponse(content, headers=PRIVATE)
        case "markdown":
            return Response(content, media_type="text/markdown", headers=PRIVATE)


@router.delete("/{card_id}", status_code=204, responses=problems.also(NotAuthenticated, AccessDenied, NotFound))
async def delete_card(card_id: UUID, user: CurrentUser, service: CurrentService) -> None:
    """Deletes a card."""
    await service.delete_card(user, card_id)
    audit_event("card_deletion", "Model card deleted", user_id=user.username, card_id=str(card_id))


def _rendered(card: stored.StoredCard, output: Output) -> Any:
    match output:
        case "markdown":
            return card.content
        case "html":
            return to_html(card.content, title=card.name)
        case "json":
            return card.description
