"""Who is asking."""

from __future__ import annotations

import hashlib
import time
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from modelcard_generator.database import accounts
from modelcard_generator.database.accounts import User
from modelcard_generator.database.pool import Database
from modelcard_generator.errors import NotAuthenticated
from modelcard_generator.logging import config as log
from modelcard_generator.logging import context

REMEMBERED = 30.0  # seconds; how long a revoked token still opens a process that has seen it
CAPACITY = 10_000

bearer = HTTPBearer(
    auto_error=False, description="A token from `python -m modelcard_generator.database.accounts token NAME`"
)


class Tokens:
    """Looks tokens up, and remembers the good ones for a moment: no request waits for one that was just used."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[bytes, tuple[User, float]] = {}

    async def user(self, token: str) -> User | None:
        """Whose token this is. Raises `Unavailable` if nobody can tell."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known and known[1] > time.monotonic():
            return known[0]
        user = await accounts.user_of_token(self._database, token)
        self._known.pop(digest, None)
        if user:
            if len(self._known) >= CAPACITY:
                self._known.clear()
            self._known[digest] = (user, time.monotonic() + REMEMBERED)
        return user


async def current_user(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]
) -> User:
    """The user of this request. Raises `NotAuthenticated`."""
    service = request.app.state.service
    client = request.client.host if request.client else "unknown"
    if credentials is None:
        log.failed_login("no token", client)
        raise NotAuthenticated("a token is needed: send the header `Authorization: Bearer TOKEN`")
    user: User | None = await service.tokens.user(credentials.credentials)
    if user is None:
        log.failed_login("unknown or revoked token", client)
        raise NotAuthenticated("this token is unknown or was revoked: ask an operator for a new one")
    context.set_user(user.username)
    service.active_users.seen(str(user.id))
    return user


CurrentUser = Annotated[User, Depends(current_user)]
