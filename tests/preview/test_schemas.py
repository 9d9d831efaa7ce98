"""Kubernetes' own schemas, strictly."""

from __future__ import annotations

import pytest

from infra.environments.preview import schemas
from tests.conftest import STACKS

APP = "apps/v1/Deployment modelcard/modelcard-generator"


@pytest.mark.parametrize("stack", STACKS)
def test_every_object_is_what_kubernetes_expects(stacks, stack):
    assert schemas.problems(stacks[stack].manifests) == []


def test_the_schemas_of_the_pinned_version_are_there():
    assert (schemas.folder() / "_definitions.json").is_file()


def test_an_unknown_field(objects):
    objects[APP]["spec"]["template"]["spec"]["containers"][0]["imagePullPolcy"] = "Always"
    (line,) = schemas.problems(objects)
    assert line.startswith(f"{APP}: spec.template.spec.containers[0]: ")
    assert "imagePullPolcy" in line


def test_a_wrong_type(objects):
    objects[APP]["spec"]["minReadySeconds"] = "10"
    assert schemas.problems(objects) == [f"{APP}: spec.minReadySeconds: '10' is not of type 'integer', 'null'"]


def test_a_missing_field(objects):
    del objects[APP]["spec"]["selector"]
    assert schemas.problems(objects) == [f"{APP}: spec: 'selector' is a required property"]


def test_a_kind_that_is_not_there(objects):
    objects[APP]["apiVersion"] = "apps/v9"
    assert schemas.problems(objects) == [f"{APP}: Kubernetes 1.33 has no Deployment in apps/v9"]


def test_a_long_message_is_cut(objects):
    objects[APP]["spec"]["template"]["spec"]["containers"] = "x" * 10_000
    assert max(len(line) for line in schemas.problems(objects)) < 400
