"""A part of the mutation matrix, chosen by a seed; `make policies` is the whole, and compares with the judges."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from policy.exceptions import EXCEPTIONS
from policy.rules import ALL
from tests.policy.matrix import LEAST, ours, platform
from tests.policy.mutations import MOST, Mutant, mutants


@pytest.fixture(scope="module")
def whole():
    """What prod declares."""
    return platform()


@pytest.fixture(scope="module")
def found(whole) -> list[tuple[Mutant, str | None]]:
    """One mutant of each mutation, and our policy that refuses it."""
    today = datetime.now(UTC).date()
    return [(mutant, ours(mutant, whole, today)) for mutant in mutants(whole, most=1)]


def test_our_policies_notice_what_is_broken(found):
    missed = [str(mutant) for mutant, rule in found if rule is None]
    assert len(missed) * 100 <= (100 - LEAST) * len(found), missed


def test_many_different_policies_notice(found):
    assert len(Counter(rule for _, rule in found)) > len(ALL) // 2


def test_the_platform_that_is_not_broken_passes(whole):
    intact = Mutant("nothing", whole[0], whole[0])
    assert ours(intact, whole, datetime.now(UTC).date()) is None


def test_every_exception_is_for_something_that_is_deployed(whole):
    assert {each.resource for each in EXCEPTIONS} <= {str(each) for each in whole}


def test_mutants_are_many_and_the_same_each_time(whole):
    first, second = mutants(whole), mutants(whole)
    assert [str(mutant) for mutant in first] == [str(mutant) for mutant in second]
    assert len(first) > len(mutants(whole, most=1)) * (MOST - 1)
    assert all(mutant.after != mutant.before for mutant in first)
