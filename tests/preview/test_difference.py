"""What changed, where, and what that does."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from infra.environments.preview.capacity import amount
from infra.environments.preview.difference import Effect, difference
from infra.settings import MASK

APP, EDGE = "apps/v1/Deployment modelcard/modelcard-generator", "apps/v1/Deployment modelcard/edge-nginx"
DATABASE = "apps/v1/StatefulSet modelcard/database-postgres"
CLAIM, SERVICE = "v1/PersistentVolumeClaim modelcard/app-uploads", "v1/Service modelcard/edge-nginx"
CONFIG = "v1/ConfigMap modelcard/edge-config"

JSON = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


def changed(objects, change):
    """The one object that differs after `change`."""
    before = copy.deepcopy(objects)
    change(objects)
    (found,) = difference(before, objects)
    return found


def spec(objects, key):
    return objects[key]["spec"]


def container(objects, key):
    return spec(objects, key)["template"]["spec"]["containers"][0]


def test_nothing_differs_from_itself(objects):
    assert difference(copy.deepcopy(objects), objects) == ()


def test_what_comes_and_goes(objects):
    before = {key: each for key, each in objects.items() if key != EDGE}
    assert [(each.key, each.effect) for each in difference(before, objects)] == [(EDGE, Effect.CREATED)]
    assert [(each.key, each.effect) for each in difference(objects, before)] == [(EDGE, Effect.DELETED)]


EFFECTS = {
    "pod template": (
        lambda o: container(o, APP).update(image="docker.io/x/y:2"),
        "spec.template.spec.containers[app].image",
        Effect.ROLLS_PODS,
    ),
    "scale": (lambda o: spec(o, EDGE).update(replicas=3), "spec.replicas", Effect.UPDATED),
    "configuration": (lambda o: o[CONFIG]["data"].update({"nginx.conf": "x"}), "data[nginx.conf]", Effect.UPDATED),
    "selector": (
        lambda o: spec(o, APP)["selector"]["matchLabels"].update(a="b"),
        "spec.selector.matchLabels.a",
        Effect.REPLACED,
    ),
    "address": (lambda o: spec(o, SERVICE).update(clusterIP="None"), "spec.clusterIP", Effect.REPLACED),
    "several addresses": (lambda o: spec(o, SERVICE).update(clusterIPs=["None"]), "spec.clusterIPs", Effect.UPDATED),
    "set's service": (lambda o: spec(o, DATABASE).update(serviceName="x"), "spec.serviceName", Effect.REPLACED),
    "set's claim": (
        lambda o: spec(o, DATABASE).update(volumeClaimTemplates=[{"metadata": {"name": "data"}}]),
        "spec.volumeClaimTemplates",
        Effect.REPLACED,
    ),
    "storage class": (lambda o: spec(o, CLAIM).update(storageClassName="x"), "spec.storageClassName", Effect.REPLACED),
    "more storage": (
        lambda o: spec(o, CLAIM)["resources"]["requests"].update(storage="900Gi"),
        "spec.resources.requests.storage",
        Effect.UPDATED,
    ),
    "less storage": (
        lambda o: spec(o, CLAIM)["resources"]["requests"].update(storage="1Gi"),
        "spec.resources.requests.storage",
        Effect.REPLACED,
    ),
}


@pytest.mark.parametrize("case", EFFECTS.values(), ids=EFFECTS)
def test_effect(objects, case):
    change, path, effect = case
    found = changed(objects, change)
    assert (found.effect, [each.path for each in found.changes]) == (effect, [path])


def test_the_worst_effect_counts(objects):
    def change(objects):
        container(objects, APP).update(image="docker.io/x/y:2")
        spec(objects, APP)["selector"]["matchLabels"].update(a="b")

    assert changed(objects, change).effect == Effect.REPLACED


def test_things_with_names_keep_them_when_their_place_changes(objects):
    def change(objects):
        container(objects, APP)["env"].insert(0, {"name": "FIRST", "value": "1"})

    (only,) = changed(objects, change).changes
    assert (only.path, only.before, only.after["value"]) == (
        "spec.template.spec.containers[app].env[FIRST]",
        None,
        "1",
    )


def test_a_changed_order_is_one_change(objects):
    found = changed(objects, lambda o: container(o, APP)["env"].reverse())
    assert [each.path for each in found.changes] == ["spec.template.spec.containers[app].env.order"]


def test_a_renamed_thing_is_not_taken_away_and_made_anew(objects):
    found = changed(objects, lambda o: container(o, APP).update(name="main"))
    assert [(each.path, each.before, each.after) for each in found.changes] == [
        ("spec.template.spec.containers[0].name", "app", "main")
    ]


def test_a_secret_is_alike_however_much_of_it_is_masked(objects):
    key = "v1/Secret modelcard/app-secrets"
    applied = {name: value for name, value in objects[key].items() if name != "stringData"} | {"data": MASK}
    assert difference({key: applied}, {key: objects[key]}) == ()


def test_what_kubernetes_writes_its_own_way_is_alike(objects):
    before = copy.deepcopy(objects)
    container(objects, APP)["resources"]["limits"]["cpu"] = "2"
    hard = spec(objects, "v1/ResourceQuota modelcard/quota")["hard"]
    hard["requests.storage"] = f"{amount(hard['requests.storage']) / 2**30:f}Gi"
    for mount in container(objects, APP)["volumeMounts"]:
        if not mount["readOnly"]:
            del mount["readOnly"]
    assert difference(before, objects) == ()


@given(JSON, JSON)
@limits(max_examples=100)
def test_only_what_is_equal_has_no_difference(before, after):
    alike = difference({"x": {"v": before}}, {"x": {"v": after}}) == ()
    assert alike == ({"v": before} == {"v": after})
