"""Model cards, stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from modelcard_generator.database.optimization import query_timer
from modelcard_generator.database.pool import Database
from modelcard_generator.errors import NotFound


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A card: the `description` that it was made of, and its `content` in Markdown."""

    id: UUID
    user_id: UUID
    name: str
    format: str
    template: str
    description: dict[str, Any]
    content: str
    created_at: datetime


async def insert_card(  # noqa: PLR0913 - what a card consists of
    database: Database,
    *,
    user_id: UUID,
    name: str,
    format: str,  # noqa: A002 - the column's name
    template: str,
    description: Mapping[str, Any],
    content: str,
) -> StoredCard:
    """Stores a new card. Raises `InvalidInput` for text that PostgreSQL cannot hold, `Unavailable`."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(StoredCard)) as cursor:
        with query_timer("insert_card", operation="insert", table="model_cards"):
            await cursor.execute(
                """
                INSERT INTO model_cards (id, user_id, name, format, template, description, content)
                VALUES (%s, %s, %s, %s, %s, %s, %s)
                RETURNING id, user_id, name, format, template, description, content, created_at
                """,
                (uuid4(), user_id, name, format, template, Jsonb(description), content),
            )
            card = await cursor.fetchone()
    assert card is not None  # noqa: S101 - RETURNING
    return card


async def get_card(database: Database, card_id: UUID) -> StoredCard:
    """A card of anybody. Raises `NotFound` if there is none or it was deleted, `Unavailable`."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(StoredCard)) as cursor:
        with query_timer("get_card", operation="select", table="model_cards"):
            await cursor.execute(
                """
                SELECT id, user_id, name, format, template, description, content, created_at
                FROM model_cards
                WHERE id = %s AND deleted_at IS NULL
                """,
                (card_id,),
            )
            card = await cursor.fetchone()
    if card is None:
        raise NotFound(f"there is no card {card_id}")
    return card


async def delete_card(database: Database, card_id: UUID) -> None:
    """Marks a card and its uploads as deleted. Raises `NotFound` if there is none any more, `Unavailable`."""
    async with database.connection() as connection:
        with query_timer("delete_card", operation="delete", table="model_cards"):
            cursor = await connection.execute(
                """
                WITH card AS (
                    UPDATE model_cards SET deleted_at = now() WHERE id = %s AND deleted_at IS NULL RETURNING id
                ), files AS (
                    UPDATE uploads SET deleted_at = now() FROM card
                    WHERE uploads.card_id = card.id AND uploads.deleted_at IS NULL
                )
                SELECT id FROM card
                """,
                (card_id,),
            )
            row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"there is no card {card_id}")
