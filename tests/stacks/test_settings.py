"""Whatever valid settings a stack has, it renders valid manifests."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import Phase, given, settings
from kubernetes_validate import utils

from infra.environments.recording import Recording, record_platform
from infra.settings_reading import parse, placeholder_secrets
from tests.conftest import NAME, container_of, everything_that_runs, workloads
from tests.strategies import overrides, stacks

KUBERNETES = "1.33"  # of the local control plane; see tools/go.mod


@pytest.fixture(autouse=True, scope="module")
def schemas_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
        yield


# No shrinking: an example takes half a second.
@settings(max_examples=8, phases=[Phase.reuse, Phase.generate])
@given(stacks, overrides)
def test_valid_settings_render_valid_manifests(stack: str, values: dict[str, Any]) -> None:
    read = parse({**values, "environment": stack, "secrets": placeholder_secrets()}, file=f"Pulumi.{stack}.yaml")

    platform = record_platform(read, stack=stack)

    for manifest in platform.manifests():
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert list(dangling(platform)) == []


def dangling(platform: Recording) -> Iterator[str]:
    """What refers to something that is not there."""
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in everything_that_runs(platform).values()]
    for each in platform.all("v1:Service"):
        if not any(each.inputs["spec"]["selector"].items() <= known.items() for known in labels):
            yield f"{each.name} selects no pod"
    for each in platform.all("v2:HorizontalPodAutoscaler"):
        target = workloads(platform)[each.inputs["spec"]["scaleTargetRef"]["name"]]
        if not container_of(target)["resources"]["requests"]["cpu"] or "replicas" in target["spec"]:
            yield f"{each.name} cannot scale"
    for each in platform.all("NetworkPolicy"):
        wanted = each.inputs["spec"]["podSelector"].get("matchLabels", {}).get(NAME)
        if wanted and wanted not in everything_that_runs(platform):
            yield f"{each.name} is about no pod"
    namespaces = {each.name for each in platform.all("core/v1:Namespace")}
    for each in platform.all("v1:Service"):
        if each.inputs["metadata"]["namespace"] not in namespaces:
            yield f"{each.name} is in no namespace of the stack"
