"""The table of defaults."""

from collections.abc import Iterator
from types import NoneType
from typing import get_args

import pytest
from pydantic import BaseModel

from infra.defaults import ENVIRONMENTS, TABLE, Row, defaults, reasons
from infra.settings import Environment, Settings

GIVEN_BY_EACH_STACK = {"environment", "secrets"}


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.key)
def test_values_differ_if_and_only_if_there_is_a_reason(row: Row) -> None:
    differs = not (row.local == row.dev == row.prod)
    assert differs == bool(row.why)


def test_every_setting_has_a_default_or_may_be_absent() -> None:
    required = {key for key, optional in _settings(Settings) if not optional}
    assert required <= {row.key for row in TABLE}


def test_every_default_is_a_setting_and_occurs_once() -> None:
    keys = [row.key for row in TABLE]
    assert sorted(keys) == sorted(set(keys) & {key for key, _ in _settings(Settings)})


def test_the_columns_are_the_environments() -> None:
    assert list(ENVIRONMENTS) == list(Environment)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_two_environments_share_an_address_or_a_bucket(environment: str) -> None:
    others = [defaults(other) for other in ENVIRONMENTS if other != environment]
    mine = defaults(environment)
    assert mine["edge"]["host"] not in {other["edge"]["host"] for other in others}
    assert mine["backup"]["bucket"] not in {other["backup"]["bucket"] for other in others}


def test_reasons_name_every_setting_that_may_differ() -> None:
    assert set(reasons()) == {row.key for row in TABLE if (row.local, row.dev) != (row.prod, row.prod)}


def _settings(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, bool]]:
    """Dotted key of each setting, and whether it may be absent."""
    for name, field in model.model_fields.items():
        if path == "" and name in GIVEN_BY_EACH_STACK:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _settings(field.annotation, f"{path}{name}.")
        else:
            yield f"{path}{name}", NoneType in get_args(field.annotation)
