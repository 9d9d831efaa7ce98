"""The program, as the official CLI (`infra/__main__.py`) and `mcenv` (Automation API) both run it."""

from __future__ import annotations

import pulumi

from infra import stack
from infra.errors import UserError
from infra.settings_reading import from_engine


def program() -> None:
    """Reads the settings, then declares; a mistake in the settings ends the run before the first resource."""
    try:
        settings = from_engine()
    except UserError as error:
        raise pulumi.RunError(str(error)) from None
    stack.deploy(settings)
