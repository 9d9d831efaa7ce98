from __future__ import annotations

import asyncio
import logging
import re
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from prometheus_client import REGISTRY, generate_latest

from modelcard_generator.database import accounts, cards, optimization, uploads
from modelcard_generator.database.optimization import Cursor, Page, get_model_cards_optimized, query_timer
from modelcard_generator.database.pool import Database
from modelcard_generator.errors import InvalidInput

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SELECT = {"operation": "select", "table": "model_cards"}


@pytest.fixture(autouse=True)
def threshold():
    """One of the process: what a test sets, no other one finds."""
    yield
    optimization.log_slower_than(1.0)


def fill(url: str, cards_of_users: list[int]) -> list[UUID]:
    """Users with that many cards, written in turn, three at every moment; their ids."""
    ids = [uuid4() for _ in cards_of_users]
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO users (id, username) VALUES (%s, %s)", [(each, str(each)) for each in ids])
        cursor.executemany(
            """
            INSERT INTO model_cards (id, user_id, name, format, template, description, content, created_at)
            SELECT gen_random_uuid(), %s, 'card ' || n, 'huggingface', 'default', '{}', '', %s + n / 3 * interval '1 s'
            FROM generate_series(1, %s) n
            """,
            [(each, NOW, count) for each, count in zip(ids, cards_of_users, strict=True)],
        )
    return ids


async def ready(database: Database) -> None:
    async with database.connection():
        pass


async def all_pages(database: Database, user: UUID, limit: int) -> list[Page]:
    pages = [await get_model_cards_optimized(database, user, limit)]
    while following := pages[-1].next:
        pages.append(await get_model_cards_optimized(database, user, limit, Cursor.decode(following)))
    return pages


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_hold_each_card_of_the_user_once_newest_first(database_url, limit):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            await ready(database)
            user, _ = fill(database_url, [20, 20])
            deleted = (await get_model_cards_optimized(database, user)).cards[3]
            await cards.delete_card(database, deleted.id)
            return user, deleted, await all_pages(database, user, limit)

    user, deleted, pages = asyncio.run(run())
    seen = [card for page in pages for card in page.cards]
    assert all(len(page.cards) <= limit for page in pages)
    assert sorted(card.name for card in seen) == sorted({f"card {n}" for n in range(1, 21)} - {deleted.name})
    assert seen == sorted(seen, key=lambda card: (card.created_at, card.id), reverse=True)
    assert {card.username for card in seen} == {str(user)}
    assert pages[-1].cards


def test_a_card_that_is_created_meanwhile_moves_no_page(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            await ready(database)
            (user,) = fill(database_url, [6])
            whole = await get_model_cards_optimized(database, user, 6)
            first = await get_model_cards_optimized(database, user, 3)
            await cards.insert_card(
                database, user_id=user, name="new", format="f", template="t", description={}, content=""
            )
            second = await get_model_cards_optimized(database, user, 3, Cursor.decode(first.next))
            return whole, first, second

    whole, first, second = asyncio.run(run())
    assert first.cards + second.cards == whole.cards
    assert whole.next is second.next is None


def test_a_user_without_cards_has_an_empty_page(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            return await get_model_cards_optimized(database, uuid4())

    assert asyncio.run(run()) == Page((), None)


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_limit_out_of_range_is_refused(limit):
    database = Database("postgresql://nowhere.invalid/x", pool_size=1)
    with pytest.raises(InvalidInput, match=f"limit: {limit} is not between 1 and 100"):
        asyncio.run(get_model_cards_optimized(database, uuid4(), limit))


@pytest.mark.parametrize("moment", ["0001-01-01", "1969-12-31T23:59:59.999999", "2026-05-01", "9999-12-31"])
@pytest.mark.parametrize("card_id", [UUID(int=0), UUID(int=2**128 - 1), uuid4()], ids=["least", "greatest", "any"])
def test_a_cursor_comes_back_as_it_was_in_characters_fit_for_a_url(moment, card_id):
    cursor = Cursor(datetime.fromisoformat(moment).replace(tzinfo=UTC), card_id)
    assert Cursor.decode(cursor.encode()) == cursor
    assert re.fullmatch("[A-Za-z0-9_-]{32}", cursor.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "A" * 31,
        "A" * 33,
        "A" * 28,
        "A" * 36,
        "_" * 31 + "=",
        "A" * 30 + "+/",
        "é" * 32,
        "f" * 32,
        "\ud800",
    ],
)
def test_a_text_that_is_no_cursor_is_refused_in_a_sentence(text):
    with pytest.raises(InvalidInput, match="after: this is not the `next` of a page of cards"):
        Cursor.decode(text)


def plan(url: str, query: str, values: dict[str, object], mode: str) -> list[dict]:
    """All nodes; with a plan for these values, or for any (what a prepared statement becomes)."""
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(f"SET plan_cache_mode = {mode}")
        types = {"user_id": "uuid", "limit": "bigint", "created_at": "timestamptz", "id": "uuid"}
        for number, name in enumerate(types, 1):
            query = query.replace(f"%({name})s", f"${number}")
        connection.execute(f"PREPARE listing ({', '.join(types.values())}) AS {query}")
        arguments = [values.get(name) for name in types]
        row = connection.execute("EXPLAIN (FORMAT JSON) EXECUTE listing (%s, %s, %s, %s)", arguments).fetchone()
    assert row
    nodes = [row[0][0]["Plan"]]
    for node in nodes:
        nodes.extend(node.get("Plans", ()))
    return nodes


def test_the_list_is_read_from_its_index_without_a_sort_on_every_page(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            await ready(database)

    asyncio.run(run())
    # One has most of the cards, one many, the others few.
    users = fill(database_url, [10_000, 1000, *[40] * 200])
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    later = {"created_at": NOW + timedelta(minutes=1), "id": UUID(int=0)}
    for mode in ("force_custom_plan", "force_generic_plan"):
        for user in users[:3]:
            first = {"user_id": user, "limit": 11}
            for query, values in ((optimization._FIRST_PAGE, first), (optimization._LATER_PAGE, first | later)):
                nodes = plan(database_url, query, values, mode)
                assert not [node for node in nodes if "Sort" in node["Node Type"]]
                (cards_read,) = [node for node in nodes if node.get("Relation Name") == "model_cards"]
                assert (cards_read["Node Type"], cards_read["Index Name"]) == ("Index Scan", "model_cards_of_user")
                # The place where the page begins is found in the index, not by reading up to it.
                assert ("created_at" in cards_read["Index Cond"]) == (values is not first)


def test_a_slow_query_is_logged_with_its_name_and_duration(caplog):
    optimization.log_slower_than(0.01)
    with caplog.at_level(logging.WARNING), query_timer("get_card", **SELECT):
        time.sleep(0.02)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "Slow query detected: get_card took 0.02s"
    assert record.query_name == "get_card"
    assert 0.02 <= record.duration < 1


def test_a_slow_query_is_one_of_more_than_a_second(caplog, monkeypatch):
    moments = iter([0.0, 1.0, 0.0, 1.01])
    monkeypatch.setattr(optimization.time, "perf_counter", lambda: next(moments))
    for _ in range(2):
        with query_timer("get_card", **SELECT):
            pass
    assert [record.getMessage() for record in caplog.records] == ["Slow query detected: get_card took 1.01s"]


def test_the_databases_threshold_is_used(database_url, caplog):
    async def run():
        async with Database(database_url, pool_size=1, slow_query=1e-6) as database:
            await get_model_cards_optimized(database, uuid4())

    asyncio.run(run())
    assert "Slow query detected: get_model_cards_optimized took 0.0" in caplog.text


def counted(operation: str, table: str) -> tuple[float, float]:
    labels = {"operation": operation, "table": table}
    return (
        REGISTRY.get_sample_value("database_queries_total", labels) or 0,
        REGISTRY.get_sample_value("database_query_duration_seconds_count", labels) or 0,
    )


def test_a_failed_query_counts_too():
    before = counted("select", "model_cards")
    with pytest.raises(ValueError, match="broken"), query_timer("get_card", **SELECT):
        raise ValueError("broken")
    assert counted("select", "model_cards") == (before[0] + 1, before[1] + 1)


def test_a_query_that_the_table_of_queries_lacks_is_found_by_its_first_test():
    with pytest.raises(KeyError), query_timer("forgotten", operation="select", table="forgotten"):
        pass


def test_every_query_is_exposed_before_it_happens():
    exposed = generate_latest(REGISTRY).decode()
    for operation, table in optimization.QUERIES:
        assert f'database_queries_total{{operation="{operation}",table="{table}"}}' in exposed


def test_every_function_counts_its_query_and_the_table_of_queries_has_no_other(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            user_id = await accounts.create_user(database, "eve")
            token = await accounts.issue_token(database, "eve")
            await accounts.user_of_token(database, token)
            await accounts.revoke_tokens(database, "eve")
            card = await cards.insert_card(
                database, user_id=user_id, name="n", format="f", template="t", description={}, content=""
            )
            await cards.get_card(database, card.id)
            await get_model_cards_optimized(database, user_id)
            upload = await uploads.insert_upload(
                database,
                upload_id=uuid4(),
                user_id=user_id,
                card_id=card.id,
                file_name="f",
                media_type="a/b",
                size=0,
                sha256=bytes(32),
            )
            await uploads.get_upload(database, upload.id)
            await uploads.list_uploads(database, card.id)
            await cards.delete_card(database, card.id)
            await database.check()

    before = {each: counted(*each)[0] for each in optimization.QUERIES}
    asyncio.run(run())
    risen = {each: counted(*each)[0] - count for each, count in before.items()}
    twice = {("select", "model_cards"), ("select", "uploads")}
    assert risen == {each: 2 if each in twice else 1 for each in optimization.QUERIES}
