"""Rows of uploaded files; the files themselves are in the folder of uploads, named by the row's id."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row

from modelcard_generator.database.optimization import query_timer
from modelcard_generator.database.pool import Database
from modelcard_generator.errors import NotFound


@dataclass(frozen=True, slots=True)
class Upload:
    """A file: `size` in bytes, `sha256` as 32 bytes."""

    id: UUID
    user_id: UUID
    card_id: UUID | None
    file_name: str
    media_type: str
    size: int
    sha256: bytes
    created_at: datetime


async def insert_upload(  # noqa: PLR0913 - what an upload consists of
    database: Database,
    *,
    upload_id: UUID,
    user_id: UUID,
    card_id: UUID | None,
    file_name: str,
    media_type: str,
    size: int,
    sha256: bytes,
) -> Upload:
    """Stores the row of a file. Raises `NotFound` if its card is gone, `Unavailable`."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(Upload)) as cursor:
        with query_timer("insert_upload", operation="insert", table="uploads"):
            await cursor.execute(
                """
                INSERT INTO uploads (id, user_id, card_id, file_name, media_type, size, sha256)
                SELECT %(id)s, %(user_id)s, %(card_id)s, %(file_name)s, %(media_type)s, %(size)s, %(sha256)s
                WHERE %(card_id)s::uuid IS NULL
                   OR EXISTS (SELECT FROM model_cards WHERE id = %(card_id)s AND deleted_at IS NULL)
                RETURNING id, user_id, card_id, file_name, media_type, size, sha256, created_at
                """,
                {
                    "id": upload_id,
                    "user_id": user_id,
                    "card_id": card_id,
                    "file_name": file_name,
                    "media_type": media_type,
                    "size": size,
                    "sha256": sha256,
                },
            )
            upload = await cursor.fetchone()
    if upload is None:
        raise NotFound(f"there is no card {card_id}")
    return upload


async def get_upload(database: Database, upload_id: UUID) -> Upload:
    """A file of anybody. Raises `NotFound` if there is none or it was deleted, `Unavailable`."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(Upload)) as cursor:
        with query_timer("get_upload", operation="select", table="uploads"):
            await cursor.execute(
                """
                SELECT id, user_id, card_id, file_name, media_type, size, sha256, created_at
                FROM uploads
                WHERE id = %s AND deleted_at IS NULL
                """,
                (upload_id,),
            )
            upload = await cursor.fetchone()
    if upload is None:
        raise NotFound(f"there is no file {upload_id}")
    return upload


async def list_uploads(database: Database, card_id: UUID) -> tuple[Upload, ...]:
    """The files of a card, oldest first. Raises `Unavailable`."""
    async with database.connection() as connection, connection.cursor(row_factory=class_row(Upload)) as cursor:
        with query_timer("list_uploads", operation="select", table="uploads"):
            await cursor.execute(
                """
                SELECT id, user_id, card_id, file_name, media_type, size, sha256, created_at
                FROM uploads
                WHERE card_id = %s AND deleted_at IS NULL
                ORDER BY created_at, id
                """,
                (card_id,),
            )
            return tuple(await cursor.fetchall())
