"""Errors that are answered, not reported: each is one clear sentence for the person who caused it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of a card's description.

    `section` is the field's first part (`model_details`), `field` its dotted path, `error_type` one of
    `modelcard_generator.cards.validation.ERROR_TYPES`.
    """

    section: str
    field: str
    error_type: str
    message: str


class ServiceError(Exception):
    """Answered with `status` and one sentence (RFC 9457: `detail`)."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str, *, fields: Sequence[FieldError] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = tuple(fields)


class InvalidInput(ServiceError):
    """What was sent cannot be read or breaks a rule."""

    status = 422
    title = "Invalid input"


class NotAuthenticated(ServiceError):
    """No token, or one that nobody holds."""

    status = 401
    title = "Not authenticated"


class AccessDenied(ServiceError):
    """It belongs to somebody else."""

    status = 403
    title = "Access denied"


class NotFound(ServiceError):
    """There is no such thing."""

    status = 404
    title = "Not found"


class TooLarge(ServiceError):
    """More bytes than the service takes."""

    status = 413
    title = "Too large"


class Unavailable(ServiceError):
    """The service cannot answer now; later it may."""

    status = 503
    title = "Unavailable"


class StorageFull(ServiceError):
    """No room is left for uploads."""

    status = 507
    title = "Insufficient storage"
