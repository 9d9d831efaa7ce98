"""Settings and their schema take the same values; whatever mistake a stack file has is told."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from infra.defaults import defaults
from infra.settings import PROJECT, Environment, Settings
from infra.settings_reading import SettingsError, parse, placeholder_secrets
from infra.settings_schema import schema
from tests.strategies import overrides, stacks

SCHEMA = Draft202012Validator(schema())


def leaves(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The key path of every single setting, without secrets."""
    for name, field in model.model_fields.items():
        if name in {"environment", "secrets"}:
            continue
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, (*path, name))
        else:
            yield (*path, name)


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {path[0]: nested(path[1:], value) if path[1:] else value}


# Nothing of these is a value of any setting, but for an empty list of approvals.
wrong = st.sampled_from(["", "Wrong!", "512MB", -1, 0.5, [], {}, ["a"], {"a": 1}])
FREE_TEXT = {"heartbeat_url", "webhook_url", "slack_token", "endpoint_authority", "access_key", "secret_key"}
mistakes = st.one_of(
    st.tuples(st.sampled_from(list(leaves(Settings))), wrong)
    .filter(lambda pair: pair[0][-1] not in FREE_TEXT or not pair[1] or not isinstance(pair[1], str))
    .filter(lambda pair: pair != (("approvals",), []))
    .map(lambda pair: nested(*pair)),
    st.builds(
        lambda path, typo: nested((*path[:-1], typo), 1),
        st.sampled_from(list(leaves(Settings))),
        st.from_regex("[a-z]{3,9}x", fullmatch=True),
    ),
    st.sampled_from(list(defaults("prod"))).map(lambda name: {name: None}),
)


@settings(max_examples=100)
@given(stacks, overrides)
def test_settings_and_schema_take_the_same_values(stack: str, values: dict[str, Any]) -> None:
    read = parse({**values, "environment": stack, "secrets": placeholder_secrets()}, file=f"Pulumi.{stack}.yaml")
    assert (read.environment, complaints(stack, values)) == (Environment(stack), [])


@settings(max_examples=200)
@given(stacks, mistakes)
def test_settings_and_schema_refuse_the_same_mistakes(stack: str, values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        parse({**values, "environment": stack, "secrets": placeholder_secrets()}, file=f"Pulumi.{stack}.yaml")
    first = next(iter(values))
    assert refused.value.problems[0].startswith(f"Pulumi.{stack}.yaml: {first}")
    assert complaints(stack, values) != []


@settings(max_examples=200)
@given(overrides, mistakes)
def test_a_mistake_is_told_whatever_else_is_set(values: dict[str, Any], mistake: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        parse({**values, **mistake, "environment": "prod", "secrets": placeholder_secrets()}, file="Pulumi.prod.yaml")
    assert any(problem.startswith(f"Pulumi.prod.yaml: {next(iter(mistake))}") for problem in refused.value.problems)


def complaints(stack: str, values: dict[str, Any]) -> list[str]:
    config = {f"{PROJECT}:{name}": value for name, value in {**values, "environment": stack}.items()}
    return [error.message for error in SCHEMA.iter_errors({"config": config})]
