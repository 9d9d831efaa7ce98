"""What may not be lost without somebody's name to it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from infra.environments.approvals import LONGEST, Loss, foreseen, planned, refused
from infra.environments.engine import Change
from infra.settings_reading import SettingsError
from tests.conftest import platform_of, settings_of

TODAY = date(2026, 11, 25)
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
UPLOADS = f"{CLAIM}::app-uploads"


def approval(**changes):
    given = {
        "resource": UPLOADS,
        "operation": "replace",
        "approver": "alice",
        "reason": "The uploads were moved to another storage class on Tuesday.",
        "expires": (TODAY + timedelta(days=7)).isoformat(),
    }
    return settings_of("prod", approvals=[given | changes]).approvals[0]


@pytest.fixture
def state():
    """What an `up` of prod would have left."""
    resources = [
        {
            "type": each.type,
            "urn": f"urn:pulumi:prod::modelcard-platform::{each.type}::{each.name}",
            "custom": each.custom,
            "protect": each.protect,
            "inputs": dict(each.inputs),
        }
        for each in platform_of("prod").registrations
    ]
    return {"resources": resources}


def of(state, name: str) -> dict:
    (found,) = (each for each in state["resources"] if each["urn"].endswith(f":{name}"))
    return found


def losses(state) -> list[Loss]:
    return list(foreseen(state, platform_of("prod").registrations))


def test_what_stays_as_it_is_is_no_loss(state):
    assert losses(state) == []


def test_what_is_no_longer_declared_would_be_deleted(state):
    urn = f"urn:pulumi:prod::modelcard-platform::{CLAIM}::old-uploads"
    state["resources"].append({**of(state, "PersistentVolumeClaim::app-uploads"), "urn": urn})
    (loss,) = losses(state)
    assert (loss.resource, loss.operation, loss.urn) == (f"{CLAIM}::old-uploads", "delete", urn)
    assert "is it renamed?" in str(loss)


def test_what_is_not_protected_may_go(state):
    state["resources"].append(
        {"type": "kubernetes:core/v1:ConfigMap", "urn": "a::b::c::left", "custom": True, "inputs": {}}
    )
    assert losses(state) == []


def test_what_the_state_protects_may_not_whatever_its_kind(state):
    state["resources"].append(
        {"type": "aws:rds/instance:Instance", "urn": "a::b::c::left", "custom": True, "protect": True, "inputs": {}}
    )
    assert [loss.resource for loss in losses(state)] == ["aws:rds/instance:Instance::left"]


@pytest.mark.parametrize(
    ("name", "path", "value", "why"),
    [
        ("PersistentVolumeClaim::app-uploads", ("spec", "storageClassName"), "gp3", "spec.storageClassName"),
        ("StatefulSet::database-postgres", ("spec", "serviceName"), "other", "spec.serviceName"),
        ("PersistentVolumeClaim::app-uploads", ("metadata", "name"), "other", "modelcard/other becomes"),
    ],
)
def test_what_becomes_another_object_would_be_replaced(state, name, path, value, why):
    inputs = of(state, name)["inputs"]
    of(state, name)["inputs"] = {**inputs, path[0]: {**inputs[path[0]], path[1]: value}}
    (loss,) = [loss for loss in losses(state) if loss.resource.endswith(name)]
    assert (loss.operation, why in loss.why) == ("replace", True)


def test_what_is_updated_in_place_is_no_loss(state):
    inputs = of(state, "StatefulSet::database-postgres")["inputs"]
    of(state, "StatefulSet::database-postgres")["inputs"] = {**inputs, "spec": {**inputs["spec"], "replicas": 7}}
    assert losses(state) == []


def test_what_the_engine_says_counts_too():
    changes = [
        Change(operation="replace", type=CLAIM, name="app-uploads", properties=("spec",)),
        Change(operation="delete", type="kubernetes:core/v1:ConfigMap", name="left"),
        Change(operation="update", type=CLAIM, name="other"),
    ]
    assert [(loss.resource, loss.operation) for loss in planned(changes)] == [(UPLOADS, "replace")]


LOSS = Loss(resource=UPLOADS, operation="replace", why="spec.storageClassName")


def test_a_loss_is_refused_with_what_to_do():
    (line,) = refused([LOSS], [], TODAY, "Pulumi.prod.yaml")
    assert line == (
        f"Pulumi.prod.yaml: {UPLOADS} would be replaced (spec.storageClassName): "
        "if that is meant, add it to `approvals` with approver, reason and expiry"
    )


def test_a_loss_that_somebody_approved_may_happen():
    assert refused([LOSS], [approval()], TODAY, "Pulumi.prod.yaml") == []


@pytest.mark.parametrize("days", [0, LONGEST.days])
def test_an_approval_counts_on_its_last_day_and_for_a_month(days):
    assert refused([LOSS], [approval(expires=(TODAY + timedelta(days=days)).isoformat())], TODAY, "x") == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"expires": (TODAY - timedelta(days=1)).isoformat()}, "the approval by alice ended on 2026-11-24"),
        ({"expires": (TODAY + LONGEST + timedelta(days=1)).isoformat()}, "is for more than 31 days"),
        ({"operation": "delete"}, "if that is meant"),
        ({"resource": f"{CLAIM}::app-upload"}, "if that is meant"),
    ],
)
def test_another_approval_does_not_count(changes, why):
    (line,) = refused([LOSS], [approval(**changes)], TODAY, "x")
    assert why in line


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"approver": ""}, r"approvals\.0\.approver"),
        ({"reason": "because"}, r"approvals\.0\.reason"),
        ({"resource": "app-uploads"}, r"approvals\.0\.resource"),
        ({"operation": "rename"}, r"approvals\.0\.operation"),
        ({"expires": "soon"}, r"approvals\.0\.expires"),
        ({"expires": None}, r"approvals\.0\.expires"),
    ],
)
def test_an_approval_without_name_reason_or_end_is_none(changes, where):
    with pytest.raises(SettingsError, match=rf"^Pulumi\.prod\.yaml: {where}"):
        approval(**changes)
