"""Users and their tokens. Operators: `python -m modelcard_generator.database.accounts create|token|revoke NAME`."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import logging
import secrets
import sys
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import class_row

from modelcard_generator import settings
from modelcard_generator.database.optimization import query_timer
from modelcard_generator.database.pool import Database
from modelcard_generator.errors import InvalidInput, NotFound, ServiceError

PREFIX = "mcg_"  # lets scanners for leaked secrets find a token
ENTROPY = 32  # bytes; too many to guess, so that one round of SHA-256 is enough
NAME_LENGTH = 100  # characters


@dataclass(frozen=True, slots=True)
class User:
    """Who owns cards."""

    id: UUID
    username: str
    created_at: datetime


async def create_user(database: Database, username: str) -> UUID:
    """A new user's id. Raises `InvalidInput` if the name is taken or no name, `Unavailable`."""
    if not username.isprintable() or username != username.strip() or not 1 <= len(username) <= NAME_LENGTH:
        raise InvalidInput(f"a user name has 1 to {NAME_LENGTH} printable characters and no space around them")
    user_id = uuid4()
    async with database.connection() as connection:
        with query_timer("create_user", operation="insert", table="users"):
            try:
                await connection.execute("INSERT INTO users (id, username) VALUES (%s, %s)", (user_id, username))
            except psycopg.errors.UniqueViolation:
                raise InvalidInput(f"the user name {username!r} is taken") from None
    return user_id


async def issue_token(database: Database, username: str) -> str:
    """A new token, which is stored nowhere: only its SHA-256 is. Raises `NotFound`, `Unavailable`."""
    token = PREFIX + secrets.token_urlsafe(ENTROPY)
    async with database.connection() as connection:
        with query_timer("issue_token", operation="insert", table="api_tokens"):
            cursor = await connection.execute(
                "INSERT INTO api_tokens (token_sha256, user_id) SELECT %s, id FROM users WHERE username = %s",
                (_digest(token), username),
            )
    if cursor.rowcount == 0:
        raise NotFound(f"there is no user {username!r}")
    return token


async def user_of_token(database: Database, token: str) -> User | None:
    """Who holds a token; None if nobody does or it was revoked. Raises `Unavailable`."""
    if not token.startswith(PREFIX):
        return None
    async with database.connection() as connection, connection.cursor(row_factory=class_row(User)) as cursor:
        with query_timer("user_of_token", operation="select", table="api_tokens"):
            await cursor.execute(
                """
                SELECT u.id, u.username, u.created_at
                FROM api_tokens t
                JOIN users u ON u.id = t.user_id
                WHERE t.token_sha256 = %s AND t.revoked_at IS NULL
                """,
                (_digest(token),),
            )
            return await cursor.fetchone()


async def revoke_tokens(database: Database, username: str) -> int:
    """Revokes all tokens of a user; how many there were. Raises `NotFound`, `Unavailable`."""
    async with database.connection() as connection:
        with query_timer("revoke_tokens", operation="delete", table="api_tokens"):
            cursor = await connection.execute(
                """
                WITH owner AS (
                    SELECT id FROM users WHERE username = %s
                ), revoked AS (
                    UPDATE api_tokens SET revoked_at = now() FROM owner
                    WHERE api_tokens.user_id = owner.id AND revoked_at IS NULL
                    RETURNING 1
                )
                SELECT (SELECT count(*) FROM revoked) FROM owner
                """,
                (username,),
            )
            row = await cursor.fetchone()
    if row is None:
        raise NotFound(f"there is no user {username!r}")
    return int(row[0])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


async def _operate(command: str, name: str) -> str:
    given = settings.from_environment()
    async with Database(
        given.database_url.get_secret_value(), pool_size=1, authority_file=given.authority_file
    ) as database:
        try:
            match command:
                case "create":
                    return str(await create_user(database, name))
                case "token":
                    return await issue_token(database, name)
                case _:
                    return f"{await revoke_tokens(database, name)} revoked"
        except ServiceError as error:
            raise ServiceError(database.problem or error.detail) from error


def main() -> int:
    """Prints the result alone on stdout, or what is wrong on stderr; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m modelcard_generator.database.accounts")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, purpose in (
        ("create", "a user; prints the id"),
        ("token", "a new token of a user; prints it, once"),
        ("revoke", "all tokens of a user"),
    ):
        commands.add_parser(command, help=purpose).add_argument("name")
    given = parser.parse_args()
    logging.disable()  # what went wrong is said once, below
    try:
        print(asyncio.run(_operate(given.command, given.name)))
    except (ServiceError, settings.SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
