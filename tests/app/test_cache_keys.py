from __future__ import annotations

import copy
import enum
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from modelcard_generator.cache.keys import Keys, canonical


class Format(enum.Enum):
    HTML = "html"
    PDF = "pdf"


class Template(enum.Enum):
    HTML = "html"


class Level(enum.IntEnum):
    LOW = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Page:
    number: int
    size: int = 10


@dataclass(frozen=True)
class Sheet:
    number: int
    size: int = 10


class Filter(BaseModel):
    owner: str = ""
    tags: list[str] = []

    @cached_property
    def words(self) -> int:
        return len(self.owner.split())


MOMENT = datetime(2025, 1, 1, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
# Characters of the form itself, so that a missing length or end would show.
confusing = st.text(alphabet="s1:;()[]dSNTi", max_size=6)
atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([0.0, -0.0, 1.0, float("inf"), float("nan")]),
    confusing,
    confusing.map(str.encode),
    st.sampled_from([UUID(int=1), UUID(int=2), Format.HTML, Format.PDF, Template.HTML, Level.LOW, Right.READ]),
    st.sampled_from([Right.READ | Right.WRITE, Right(0), Decimal(1), Decimal("1.0"), timedelta(1), timedelta(0, 1)]),
    st.sampled_from([date(2025, 1, 1), MOMENT, MOMENT.replace(tzinfo=None), time(1), time(1, fold=1)]),
)  # fmt: skip
hashable = st.recursive(atoms, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
values = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(hashable, inner, max_size=3),
        st.frozensets(hashable, max_size=3),
        st.sets(hashable, max_size=3),
        st.builds(Page, inner, inner),
        st.builds(Sheet, inner, inner),
        st.builds(Filter, owner=confusing, tags=st.lists(confusing, max_size=2)),
    ),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    """Whether nothing tells them apart but the order in dictionaries and sets: stricter than `==`."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return same(sorted(one.items(), key=repr), sorted(other.items(), key=repr))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(each, its) for its in other) for each in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Page | Sheet | Filter):
        return same(vars(one), vars(other))
    return repr(one) == repr(other)


def reordered(value: Any) -> Any:
    """An equal value whose dictionaries and sets were filled in another order."""
    if isinstance(value, dict):
        items = [(key, reordered(item)) for key, item in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, list | tuple):
        return type(value)(map(reordered, value))
    return copy.deepcopy(value)


@given(values, values)
@example([1], [True])
@example(1, 1.0)
@example(1, "1")
@example((1,), [1])
@example(["a", "b"], ["as1:b"])
@example(["a", "b"], ["a;sb"])
@example(Format.HTML, Template.HTML)
@example(Level.LOW, 1)
@example(Page(1), Sheet(1))
@example({1: {"a": 1}}, {True: {"a": 1}})
def test_two_arguments_have_the_same_form_only_if_they_are_the_same(one, other):
    assert (canonical(one) == canonical(other)) == same(one, other)


@given(values)
def test_the_order_of_a_dictionary_does_not_matter(value):
    assert canonical(reordered(value)) == canonical(value)


def test_a_time_zone_is_more_than_its_offset():
    moment = datetime(2025, 1, 1, 12, tzinfo=BERLIN)
    fixed = moment.astimezone(timezone(timedelta(hours=1)))
    assert moment == fixed
    assert canonical(moment) != canonical(fixed)


def test_a_model_that_was_given_its_default_differs_from_one_that_was_not():
    assert canonical(Filter(owner="")) != canonical(Filter())


def test_what_a_model_has_worked_out_meanwhile_does_not_matter():
    used = Filter(owner="alice and bob")
    assert used.words == 3
    assert canonical(used) == canonical(Filter(owner="alice and bob"))


def load(owner: str, page: int = 1, *, size: int = 10) -> None:
    """Something to be cached."""


KEYS = Keys(load, "mcg", 1)


@given(st.text(), st.integers(), st.integers())
def test_every_spelling_of_a_call_gives_the_same_key(owner, page, size):
    spellings = [
        ((owner, page), {"size": size}),
        ((owner,), {"size": size, "page": page}),
        ((), {"page": page, "owner": owner, "size": size}),
    ]
    assert len({KEYS.of(args, kwargs) for args, kwargs in spellings}) == 1


def test_a_default_that_is_given_and_one_that_is_left_out_give_the_same_key():
    assert KEYS.of(("alice",), {}) == KEYS.of(("alice", 1), {"size": 10}) == KEYS.of((), {"owner": "alice", "size": 10})


def test_arguments_in_each_others_place_give_another_key():
    assert KEYS.of(("alice", 2), {"size": 3}) != KEYS.of(("alice", 3), {"size": 2})


def test_a_key_says_whose_it_is():
    prefix, name, digest = KEYS.of(("alice",), {}).split(":")
    assert (prefix, name, len(digest)) == ("mcg", f"{__name__}.load", 64)


def test_another_version_and_other_parameters_give_other_keys():
    def first(owner: str) -> None: ...

    def second(user: str) -> None: ...

    second.__qualname__ = first.__qualname__
    keys = {
        Keys(first, "mcg", 1).of(("a",), {}),
        Keys(first, "mcg", 2).of(("a",), {}),
        Keys(second, "mcg", 1).of(("a",), {}),
    }
    assert len(keys) == 3


def test_any_number_of_arguments_is_told_apart():
    def many(first: int, /, *rest: int, **options: int) -> None: ...

    keys = Keys(many, "mcg", 1)
    calls = [((1,), {}), ((1, 2), {}), ((1, 2, 3), {}), ((1,), {"first": 2}), ((1,), {"a": 2}), ((1,), {"b": 2})]
    assert len({keys.of(args, kwargs) for args, kwargs in calls}) == len(calls)


def test_a_default_before_any_number_of_arguments_may_be_left_out():
    def many(first: int, second: int = 2, *rest: int) -> None: ...

    keys = Keys(many, "mcg", 1)
    assert keys.of((1,), {}) == keys.of((1, 2), {}) == keys.of((), {"first": 1}) != keys.of((1, 2, 2), {})


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), (("alice", 1, 10), {}), (("alice",), {"owner": "bob"}), (("alice",), {"colour": 1})],
)
def test_a_wrong_call_is_wrong_as_ever(args, kwargs):
    with pytest.raises(TypeError, match="argument"):
        KEYS.of(args, kwargs)


class Slug(str):
    """Behaves in ways of its own."""

    __slots__ = ()


endless: list[Any] = []
endless.append(endless)


@pytest.mark.parametrize("value", [object(), [{"deep": object()}], Slug("a"), Page, open, endless, Page(object())])  # type: ignore[arg-type]
def test_an_argument_that_cannot_be_in_a_key_is_named(value):
    with pytest.raises(TypeError, match=rf"{__name__}\.load: argument page: "):
        KEYS.of(("alice", value), {})


def test_a_method_must_be_bound():
    class Repository:
        def card(self, number: int) -> None: ...

    with pytest.raises(TypeError, match=r"Repository\.card takes self"):
        Keys(Repository.card, "mcg", 1)
    assert Keys(Repository().card, "mcg", 1).of((1,), {})
