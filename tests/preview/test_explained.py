"""Two stacks may differ by settings that have a reason, and by nothing else."""

from __future__ import annotations

import pytest

from infra.defaults import reasons
from infra.environments.preview.explained import differing, explained, left_over, unexplained
from tests.conftest import STACKS, settings_of

NAMES = ("dev", "prod")


@pytest.mark.parametrize("pair", [(a, b) for a in STACKS for b in STACKS if a < b], ids="-".join)
def test_each_setting_by_which_two_stacks_differ_has_a_reason(pair):
    theirs, ours = map(settings_of, pair)
    assert unexplained(pair, theirs, ours) == []
    assert {row.key for row in explained(theirs, ours)} == differing(theirs, ours).keys() != set()


def test_a_difference_comes_with_its_reason():
    rows = {row.key: row for row in explained(settings_of("dev"), settings_of("prod"))}
    assert (rows["app.replicas.max"].before, rows["app.replicas.max"].after) == (4, 20)
    assert rows["app.replicas.max"].why == reasons()["app.replicas.max"]


def test_a_difference_without_a_reason_is_a_finding():
    dev = settings_of("dev", edge={"upload_limit": "1Gi"})
    assert unexplained(NAMES, dev, settings_of("prod")) == [
        "Pulumi.dev.yaml: edge.upload_limit differs from prod (1Gi, 100Mi) without a reason in infra/defaults.py"
    ]


def test_a_row_that_loses_its_reason_is_a_finding():
    why = {key: reason for key, reason in reasons().items() if key != "app.replicas.max"}
    assert unexplained(NAMES, settings_of("dev"), settings_of("prod"), why) == [
        "Pulumi.dev.yaml: app.replicas.max differs from prod (4, 20) without a reason in infra/defaults.py"
    ]


def test_rotated_secrets_are_no_difference():
    assert "rotation" not in differing(settings_of("dev", rotation=3), settings_of("prod"))


def test_a_program_that_asks_which_stack_it_is_is_found(stacks):
    theirs, ours = stacks["dev"], stacks["prod"]

    def program(settings):
        assert settings == theirs.settings.model_copy(update={"environment": ours.settings.environment})
        manifests = {key: dict(each) for key, each in theirs.manifests.items()}
        manifests["v1/ConfigMap modelcard/app-config"]["immutable"] = True
        del manifests["v1/Service modelcard/edge-nginx"]
        return manifests

    assert left_over(NAMES, theirs.settings, ours.settings, theirs.manifests, program) == [
        "v1/ConfigMap modelcard/app-config: immutable differs between dev and prod though all settings are alike",
        "v1/Service modelcard/edge-nginx: being deleted differs between dev and prod though all settings are alike",
    ]
