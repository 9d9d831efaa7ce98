"""What every record of a request says beside its own fields: who asks, in which request, about which card.

Two context variables, so that both kinds of field follow awaits, tasks and `asyncio.to_thread` (PEP 567):

- a request's own fields are one dict for the whole request, which is changed in place. A task or thread works on a copy
  of the context, but on the same dict; so what a dependency in a thread learns, the middleware around it knows.
- fields bound for a block are a dict that is never changed, only replaced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
NOTHING: Mapping[str, Any] = MappingProxyType({})

_request: ContextVar[dict[str, Any] | None] = ContextVar("request", default=None)
_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound", default=NOTHING)


def fields() -> Mapping[str, Any]:
    """What holds here and now; not to be changed."""
    request, bound = _request.get(), _bound.get()
    if not bound:
        return request or NOTHING
    return {**request, **bound} if request else bound


@contextmanager
def request_context(**fields: Any) -> Iterator[None]:
    """A request begins: forgets the fields of any other. Fields that are None are left out."""
    token = _request.set({name: value for name, value in fields.items() if value is not None})
    try:
        yield
    finally:
        # A generator that is finished in another context has nothing to undo there.
        with suppress(ValueError):
            _request.reset(token)


@contextmanager
def bind(**fields: Any) -> Iterator[None]:
    """Adds fields to the records of a block and of the tasks and threads it starts; not those that every record has."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        with suppress(ValueError):
            _bound.reset(token)


def set_user(user_id: str) -> None:
    """Says whose request this is, from here on, wherever in the request that is found out."""
    _set("user_id", user_id)


def set_card(card_id: str) -> None:
    """Says which card this request is about, from here on, wherever in the request that is found out."""
    _set("card_id", card_id)


def _set(name: str, value: Any) -> None:
    request = _request.get()
    if request is None:
        _request.set({name: value})
    else:
        request[name] = value


def user() -> str | None:
    """Who asks, as far as it is known."""
    return fields().get("user_id")


def request_id() -> str | None:
    """Of the request that is being answered; None outside of one."""
    return fields().get("request_id")


def request_id_from(header: bytes | str | None) -> str:
    """The id that came with a request, if it is 1 to 128 of `A-Z a-z 0-9 . _ -`; otherwise a new one, 32 hex digits."""
    text = header.decode("latin-1") if isinstance(header, bytes) else header
    return text if text and SANE_ID.fullmatch(text) else os.urandom(16).hex()
