"""How the list of a user's cards grows with everybody else's: 1,000,000 cards of 10,000 users to 10,000 of 100.

Usage: `python benchmarks/queries.py`; takes half a minute and 1 GB of disk. Exits with 1 if the ratio of the medians
is above 2.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from modelcard_generator.database.optimization import Cursor, get_model_cards_optimized  # noqa: E402
from modelcard_generator.database.pool import Database  # noqa: E402
from tests.app.servers import PostgresServer  # noqa: E402

CARDS_OF_A_USER = 100
SIZES = {"10,000 cards": 100, "1,000,000 cards": 10_000}  # users
ROUNDS = 2000
WARM_UP = 200  # rounds; plans are prepared, caches as warm as they get
BOUND = 2.0
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)

# The cards of a user are far apart on disk, as if all users had written at the same time.
FILL = """
INSERT INTO users (id, username) SELECT md5(n::text)::uuid, 'user-' || n FROM generate_series(1, %(users)s) n;
INSERT INTO model_cards (id, user_id, name, format, template, description, content, created_at)
SELECT gen_random_uuid(), md5((n %% %(users)s + 1)::text)::uuid, 'Model number ' || n, 'huggingface', 'default',
       '{"model_details": {"name": "a model"}}', repeat(md5(n::text), 8),
       %(began)s + n * interval '1 second'
FROM generate_series(1, %(users)s * %(each)s) n;
"""


async def fill(database: Database, url: str, users: int) -> list[UUID]:
    """Makes users and their cards; their ids."""
    async with database.connection():
        pass  # the schema is there
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(FILL, {"users": users, "each": CARDS_OF_A_USER, "began": BEGAN})
        connection.execute("VACUUM ANALYZE users, model_cards")
        return [row[0] for row in connection.execute("SELECT id FROM users")]


async def floor(database: Database) -> None:
    """What no query is quicker than: connection, round trip, one row."""
    async with database.connection() as connection:
        await (await connection.execute("SELECT 1")).fetchall()


async def measure(server: PostgresServer) -> dict[str, float]:
    """Medians in seconds; interleaved, so that a noisy machine is noisy for all."""
    runs: dict[str, Callable[[], Awaitable[object]]] = {}
    databases = []
    for number, (size, users) in enumerate(SIZES.items()):
        url = server.create_database(f"size{number}")
        database = Database(url, pool_size=1)
        databases.append(database)
        await database.open()
        ids = await fill(database, url, users)
        middle = BEGAN + timedelta(seconds=users * CARDS_OF_A_USER // 2)
        after = Cursor(middle, UUID(int=0))
        runs["SELECT 1"] = partial(floor, database)
        runs[f"first page of {size}"] = partial(page, database, ids, None)
        runs[f"middle page of {size}"] = partial(page, database, ids, after)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(WARM_UP + ROUNDS):
        for name, run in runs.items():
            began = time.perf_counter()
            await run()
            times[name].append(time.perf_counter() - began)
    for database in databases:
        await database.close()
    return {name: statistics.median(each[WARM_UP:]) for name, each in times.items()}


async def page(database: Database, ids: list[UUID], after: Cursor | None) -> None:
    """Ten cards of somebody."""
    found = await get_model_cards_optimized(database, random.choice(ids), 10, after)  # noqa: S311 - any user will do
    assert len(found.cards) == 10  # noqa: S101 - else something else was measured


def main() -> int:
    """Prints medians and ratios; 1 if one is above `BOUND`."""
    server = PostgresServer()
    try:
        medians = asyncio.run(measure(server))
    finally:
        server.close()
    for name, median in medians.items():
        print(f"{name:32} {median * 1e6:6.0f} us  {median / medians['SELECT 1']:5.2f} x SELECT 1")
    small, large = SIZES
    ratios = {
        kind: medians[f"{kind} of {large}"] / medians[f"{kind} of {small}"] for kind in ("first page", "middle page")
    }
    for kind, ratio in ratios.items():
        print(f"{kind}, {large} / {small}: {ratio:.2f} (at most {BOUND})")
    return int(max(ratios.values()) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
