from __future__ import annotations

import asyncio
import hashlib
from uuid import UUID, uuid4

import psycopg
import pytest

from modelcard_generator.database.accounts import create_user, issue_token, revoke_tokens, user_of_token
from modelcard_generator.database.cards import StoredCard, delete_card, get_card, insert_card
from modelcard_generator.database.optimization import get_model_cards_optimized
from modelcard_generator.database.pool import Database
from modelcard_generator.database.uploads import Upload, get_upload, insert_upload, list_uploads
from modelcard_generator.errors import InvalidInput, NotFound

HOSTILE = ["'; DROP TABLE model_cards; --", "%s %(id)s %%", 'a"b\\c', "$1 {x} \t\n", "модель 模型 🦄", "x" * 10_000]


@pytest.fixture(scope="module")
def database_url(postgres) -> str:
    """One for all of these tests: each has users of its own."""
    return postgres.create_database(f"test-{uuid4().hex}")


@pytest.fixture
def eve() -> str:
    """A user name that no other test has."""
    return f"eve-{uuid4().hex}"


async def new_card(database: Database, user_id: UUID, text: str = "text") -> StoredCard:
    return await insert_card(
        database, user_id=user_id, name=text, format=text, template=text, description={text: [text, 1.5, None]},
        content=text,
    )  # fmt: skip


async def new_upload(database: Database, user_id: UUID, card_id: UUID | None, text: str = "text") -> Upload:
    return await insert_upload(
        database, upload_id=uuid4(), user_id=user_id, card_id=card_id, file_name=text, media_type=text, size=2**40,
        sha256=hashlib.sha256(text.encode()).digest(),
    )  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_text_is_stored_comes_back(database_url, text, eve):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            user_id = await create_user(database, eve)
            card = await new_card(database, user_id, text)
            assert card.user_id == user_id
            assert (card.name, card.content, card.description) == (text, text, {text: [text, 1.5, None]})
            assert await get_card(database, card.id) == card
            upload = await new_upload(database, user_id, card.id, text)
            assert upload.file_name == text
            assert await get_upload(database, upload.id) == upload
            (listed,) = (await get_model_cards_optimized(database, user_id)).cards
            assert listed.name == text

    asyncio.run(run())


@pytest.mark.parametrize("value", ["\x00", "\ud800", float("nan")], ids=["NUL", "surrogate", "NaN"])
def test_a_description_that_json_cannot_hold_is_refused(database_url, value, eve):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            user_id = await create_user(database, eve)
            await insert_card(
                database, user_id=user_id, name="n", format="f", template="t", description={"x": value}, content=""
            )

    with pytest.raises(InvalidInput, match="cannot be stored"):
        asyncio.run(run())


def test_a_deleted_card_is_gone_with_its_files_and_its_row_stays(database_url, eve):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            user_id = await create_user(database, eve)
            card, other = await new_card(database, user_id), await new_card(database, user_id)
            upload, kept = [await new_upload(database, user_id, each.id) for each in (card, other)]
            await delete_card(database, card.id)
            for gone in (
                get_card(database, card.id),
                delete_card(database, card.id),
                get_upload(database, upload.id),
                new_upload(database, user_id, card.id),
            ):
                with pytest.raises(NotFound):
                    await gone
            assert await list_uploads(database, card.id) == ()
            assert await list_uploads(database, other.id) == (kept,)
            assert [each.id for each in (await get_model_cards_optimized(database, user_id)).cards] == [other.id]

            return user_id

    user_id = asyncio.run(run())
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            """
            SELECT count(*), count(deleted_at) FROM model_cards WHERE user_id = %(id)s
            UNION ALL SELECT count(*), count(deleted_at) FROM uploads WHERE user_id = %(id)s
            """,
            {"id": user_id},
        ).fetchall()
    assert rows == [(2, 1), (2, 1)]


def test_what_never_was_is_not_found_by_its_id(database_url):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            with pytest.raises(NotFound, match="there is no card 00000000-0000-0000-0000-000000000001"):
                await get_card(database, UUID(int=1))
            with pytest.raises(NotFound, match="there is no file 00000000-0000-0000-0000-000000000001"):
                await get_upload(database, UUID(int=1))

    asyncio.run(run())


def test_the_files_of_a_card_are_listed_oldest_first(database_url, eve):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            user_id = await create_user(database, eve)
            card = await new_card(database, user_id)
            written = tuple([await new_upload(database, user_id, card.id) for _ in range(5)])
            await new_upload(database, user_id, None)
            assert await list_uploads(database, card.id) == written

    asyncio.run(run())


def test_a_token_opens_until_it_is_revoked(database_url, eve):
    mallory = f"mallory-{eve}"

    async def run():
        async with Database(database_url, pool_size=1) as database:
            user_id = await create_user(database, eve)
            await create_user(database, mallory)
            tokens = [await issue_token(database, name) for name in (eve, eve, mallory)]
            users = [await user_of_token(database, token) for token in tokens]
            assert [user and user.username for user in users] == [eve, eve, mallory]
            assert users[0].id == user_id
            assert await revoke_tokens(database, eve) == 2
            assert await revoke_tokens(database, eve) == 0
            users = [await user_of_token(database, token) for token in tokens]
            assert [user and user.username for user in users] == [None, None, mallory]

    asyncio.run(run())


def test_a_token_is_long_and_stored_only_as_its_hash(database_url, eve):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            await create_user(database, eve)
            return await issue_token(database, eve), await issue_token(database, eve)

    token, other = asyncio.run(run())
    assert token != other
    assert token.startswith("mcg_")
    assert len(token) == 4 + 43  # 32 bytes in base64
    with psycopg.connect(database_url) as connection:
        stored = connection.execute(
            "SELECT token_sha256, t::text FROM api_tokens t JOIN users u ON u.id = user_id WHERE username = %s", (eve,)
        ).fetchall()
    assert {digest for digest, _ in stored} == {hashlib.sha256(each.encode()).digest() for each in (token, other)}
    assert all(token.removeprefix("mcg_") not in row for _, row in stored)


@pytest.mark.parametrize("token", ["", "mcg_", "mcg_" + "A" * 43, "mcg_' OR true --", "mcg_\x00", "mcg_\ud800", "🦄"])
def test_a_token_that_nobody_holds_is_nobodys(database_url, token, eve):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            await create_user(database, eve)
            await issue_token(database, eve)
            return await user_of_token(database, token)

    assert asyncio.run(run()) is None


def test_a_user_name_belongs_to_one(database_url, eve):
    async def run():
        async with Database(database_url, pool_size=4) as database:
            return await asyncio.gather(*(create_user(database, eve) for _ in range(4)), return_exceptions=True)

    made = asyncio.run(run())
    assert sum(isinstance(each, UUID) for each in made) == 1
    assert {str(each) for each in made if isinstance(each, InvalidInput)} == {f"the user name '{eve}' is taken"}


@pytest.mark.parametrize("name", ["", " eve", "eve\n", "a\x00b", "x" * 101])
def test_a_user_name_that_cannot_be_typed_is_refused(name):
    with pytest.raises(InvalidInput, match="1 to 100 printable characters"):
        asyncio.run(create_user(Database("postgresql://nowhere.invalid/x", pool_size=1), name))


def test_unknown_users_have_no_tokens(database_url, eve):
    async def run():
        async with Database(database_url, pool_size=1) as database:
            for function in (issue_token, revoke_tokens):
                with pytest.raises(NotFound, match=f"there is no user '{eve}'"):
                    await function(database, eve)

    asyncio.run(run())
