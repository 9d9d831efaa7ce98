"""When the pods of a workload are those that were declared."""

from types import SimpleNamespace

import pytest

from infra.environments.rollouts import _missing


def workload(*, declared: int = 2, seen: int = 2) -> SimpleNamespace:
    return SimpleNamespace(
        metadata=SimpleNamespace(name="web", generation=declared), status=SimpleNamespace(observed_generation=seen)
    )


@pytest.mark.parametrize(
    ("present", "updated", "ready", "done"),
    [
        (None, None, None, 0),
        (3, 1, 2, 0),  # both old ones serve, the new one does not yet
        (3, 2, 2, 1),  # an old one serves for the second new one
        (2, 2, 1, 1),
    ],
)
def test_an_old_pod_does_not_count_as_a_new_one(present, updated, ready, done):
    assert _missing(workload(), 2, present, updated, ready) == f"web: {done} of 2 pods are new and ready"


def test_nothing_is_missing_once_all_are_new_and_ready():
    assert _missing(workload(), 2, 2, 2, 2) == ""


def test_a_status_from_before_the_change_counts_for_nothing():
    assert _missing(workload(declared=3), 2, 2, 2, 2) == "web: 0 of 2 pods are new and ready"
