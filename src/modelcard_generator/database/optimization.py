"""What keeps queries quick and shows those that are not: a timer of every query, and a list that needs no sort."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from psycopg.rows import class_row

from modelcard_generator.errors import InvalidInput
from modelcard_generator.monitoring import metrics

if TYPE_CHECKING:
    from modelcard_generator.database.pool import Database  # which times its own query with `query_timer`

logger = logging.getLogger(__name__)

# Every pair of operation and table that is queried; a timer for another one raises KeyError.
QUERIES = (
    ("select", "model_cards"),
    ("insert", "model_cards"),
    ("delete", "model_cards"),
    ("select", "uploads"),
    ("insert", "uploads"),
    ("insert", "users"),
    ("select", "api_tokens"),
    ("insert", "api_tokens"),
    ("delete", "api_tokens"),
    ("select", "pg_stat_activity"),
)
for _operation, _table in QUERIES:
    metrics.expect(metrics.database_queries_total, operation=[_operation], table=[_table])
    metrics.expect(metrics.database_query_duration, operation=[_operation], table=[_table])
_CHILDREN = {
    (operation, table): (
        metrics.database_queries_total.labels(operation=operation, table=table),
        metrics.database_query_duration.labels(operation=operation, table=table),
    )
    for operation, table in QUERIES
}

_slow_query = 1.0  # seconds, as in the seed


def log_slower_than(seconds: float) -> None:
    """Sets how long a query of this process may take before it is logged; `Database` calls it with its `slow_query`."""
    global _slow_query  # noqa: PLW0603 - one threshold for a process, as the seed has it
    _slow_query = seconds


@contextmanager
def query_timer(query_name: str, *, operation: str, table: str) -> Iterator[None]:
    """Counts and times one query, also a failed one, and logs it if it was slow. May surround awaits.

    Goes around the query alone, inside `Database.connection()`: waiting for a connection is no fault of the query.
    """
    count, seconds = _CHILDREN[operation, table]
    start = time.perf_counter()
    try:
        yield
    finally:
        duration = time.perf_counter() - start
        count.inc()
        seconds.observe(duration)
        if duration > _slow_query:
            logger.warning(
                "Slow query detected: %s took %.2fs",
                query_name,
                duration,
                extra={"query_name": query_name, "duration": duration},
            )


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last card of a page; the next page begins after it, whatever was created or deleted meanwhile."""

    created_at: datetime
    id: UUID

    def encode(self) -> str:
        """32 characters that need no quoting in a URL: 8 bytes of microseconds since 1970, 16 of the id."""
        moment = (self.created_at - _EPOCH) // _MICROSECOND
        return base64.urlsafe_b64encode(moment.to_bytes(8, "big", signed=True) + self.id.bytes).decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises `InvalidInput` if `encode` did not make `text`."""
        try:
            raw = base64.urlsafe_b64decode(text)
            moment = int.from_bytes(raw[:-16], "big", signed=True)
            cursor = cls(_EPOCH + moment * _MICROSECOND, UUID(bytes=raw[-16:]))
        except (ValueError, OverflowError):
            cursor = None
        if cursor is None or cursor.encode() != text:
            raise InvalidInput("after: this is not the `next` of a page of cards")
        return cursor


@dataclass(frozen=True, slots=True)
class CardSummary:
    """A card in a list."""

    id: UUID
    name: str
    format: str
    template: str
    created_at: datetime
    username: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some cards, newest first, and the encoded `Cursor` of the page that follows; None if this is the last."""

    cards: tuple[CardSummary, ...]
    next: str | None


LIMIT = 100  # cards of a page at most
_FIRST_PAGE = """
SELECT mc.id, mc.name, mc.format, mc.template, mc.created_at, u.username
FROM model_cards mc
JOIN users u ON mc.user_id = u.id
WHERE mc.user_id = %(user_id)s AND mc.deleted_at IS NULL
ORDER BY mc.created_at DESC, mc.id DESC
LIMIT %(limit)s
"""
# Cards of one moment are told apart by their ids; the index is in this order.
_LATER_PAGE = _FIRST_PAGE.replace("ORDER", "AND (mc.created_at, mc.id) < (%(created_at)s, %(id)s)\nORDER")


async def get_model_cards_optimized(
    database: Database, user_id: UUID, limit: int = 10, after: Cursor | None = None
) -> Page:
    """A user's cards, newest first, `limit` at a time. As quick on page 1000 as on page 1.

    Raises `InvalidInput` for a limit outside of 1 to 100, `Unavailable`.
    """
    if not 1 <= limit <= LIMIT:
        raise InvalidInput(f"limit: {limit} is not between 1 and {LIMIT}")
    # One more than asked for tells whether a page follows.
    values = {"user_id": user_id, "limit": limit + 1}
    if after is not None:
        values |= {"created_at": after.created_at, "id": after.id}
    async with database.connection() as connection, connection.cursor(row_factory=class_row(CardSummary)) as cursor:
        with query_timer("get_model_cards_optimized", operation="select", table="model_cards"):
            await cursor.execute(_LATER_PAGE if after else _FIRST_PAGE, values)
            cards = await cursor.fetchall()
    last = cards[limit - 1] if len(cards) > limit else None
    return Page(tuple(cards[:limit]), Cursor(last.created_at, last.id).encode() if last else None)
