"""The OpenAPI document: what FastAPI finds out by itself, and the requests that this service reads by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from modelcard_generator.cards.request import SCHEMA

# A body that `read_body` and `parse` read, so that a limit holds before a byte is parsed.
CARD_REQUEST = {"$ref": "#/components/schemas/CardRequest"}


def describe_requests(api: FastAPI) -> None:
    """Adds the schemas of card requests to the components of the document."""
    generate: Callable[[], dict[str, Any]] = api.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        request = {name: value for name, value in SCHEMA.items() if name != "$defs"}
        document["components"]["schemas"] |= SCHEMA["$defs"] | {"CardRequest": request}
        return document

    api.openapi = openapi  # type: ignore[method-assign]
