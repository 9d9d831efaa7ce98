"""How a backup command ends when it does not end well: 1 failed, 3 partial, 4 locked, 5 objective missed."""

from __future__ import annotations

from modelcard_ops.errors import UserError


class BackupError(UserError):
    """Nothing was committed, and nothing that was committed is lost."""


class Partial(UserError):
    """A set was committed that lacks a part which the database does not need; retention does not count it."""

    code = 3


class Locked(UserError):
    """Another run is at work, or this one was taken for dead and another has taken over."""

    code = 4


class ObjectiveMissed(UserError):
    """A restore worked, but took longer or lost more than it may."""

    code = 5
