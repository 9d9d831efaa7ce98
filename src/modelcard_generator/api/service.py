"""What the requests of one process share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from modelcard_generator.api.authentication import Tokens
from modelcard_generator.api.storage import FileStore
from modelcard_generator.cache.redis_cache import RedisCache
from modelcard_generator.database import cards as stored
from modelcard_generator.database.accounts import User
from modelcard_generator.database.pool import Database
from modelcard_generator.errors import AccessDenied
from modelcard_generator.logging import context
from modelcard_generator.monitoring.active_users import ActiveUsers
from modelcard_generator.monitoring.health import HealthChecker
from modelcard_generator.settings import Settings

CARDS = "cards"  # prefix of their keys in the cache
CARD_TTL = 300  # seconds; how long a card may outlive its deletion if Redis is out of reach when that happens


@dataclass(kw_only=True)
class Service:
    """The parts of one process. `draining` becomes true on SIGTERM and stays so."""

    settings: Settings
    database: Database
    cache: RedisCache
    active_users: ActiveUsers
    tokens: Tokens
    files: FileStore
    health: HealthChecker = field(init=False)
    draining: bool = False

    def __post_init__(self) -> None:
        async def card(card_id: UUID) -> stored.StoredCard:
            return await stored.get_card(self.database, card_id)

        self._card = self.cache.cache_result(ttl=CARD_TTL, key_prefix=CARDS)(card)

    async def card_of(self, user: User, card_id: UUID) -> stored.StoredCard:
        """A card that is `user`'s own. Raises `NotFound` and `AccessDenied`."""
        context.set_card(str(card_id))
        card = await self._card(card_id)
        if card.user_id != user.id:
            raise AccessDenied(f"card {card_id} belongs to somebody else")
        return card

    async def delete_card(self, user: User, card_id: UUID) -> None:
        """Deletes a card that is `user`'s own, everywhere. Raises as `card_of` does."""
        await self.card_of(user, card_id)
        await stored.delete_card(self.database, card_id)
        await self.cache.ainvalidate(CARDS)


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service


CurrentService = Annotated[Service, Depends(service_of)]
