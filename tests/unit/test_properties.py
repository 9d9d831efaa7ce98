"""Whatever valid settings a stack has, it renders valid manifests; whatever mistake it has ends before the first."""

import functools
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from kubernetes_validate import utils
from pydantic import BaseModel

from infra.defaults import defaults
from infra.environments.recording import Recording, record_platform
from infra.quantities import BucketName, Host, Label
from infra.settings import PROJECT, Environment, Settings
from infra.settings_reading import SettingsError, parse, placeholder_secrets
from infra.settings_schema import schema
from tests.conftest import NAME, container_of, everything_that_runs, workloads

KUBERNETES = "1.33"  # of the local control plane; see tools/go.mod
SCHEMA = Draft202012Validator(schema())


@pytest.fixture(autouse=True, scope="module")
def schemas_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))
        yield


def ordered(low: str, high: str, unit: str, most: int) -> st.SearchStrategy[dict[str, str]]:
    """Two quantities, of which the second is not below the first."""
    pairs = st.tuples(st.integers(1, most), st.integers(1, most)).map(sorted)
    return pairs.map(lambda pair: {low: f"{pair[0]}{unit}", high: f"{pair[1]}{unit}"})


def some(**settings: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these settings."""
    return st.fixed_dictionaries({}, optional=settings)


names = st.from_regex(Label.pattern, fullmatch=True)
counts = st.integers(1, 500)
replicas = st.integers(1, 14)  # as many as the least of `connections` serves
connections = st.integers(62, 500)  # as many as the most replicas of the defaults need
sizes = st.builds("{}{}".format, st.integers(1, 999), st.sampled_from(["Mi", "Gi"]))
images = st.sampled_from(["ghcr.io/a/b:2.0.0", f"registry.example.com:5000/a@sha256:{'0' * 64}"])
resources = st.builds(
    lambda cpu, memory, rest: cpu | memory | rest,
    ordered("cpu_request", "cpu_limit", "m", 64000),
    ordered("memory_request", "memory_limit", "Mi", 65536),
    some(ephemeral_storage=sizes),
)
overrides = some(
    namespace=names,
    protect_data=st.booleans(),
    rotation=st.integers(0, 10**6),
    app=some(
        image=images,
        workers=st.integers(1, 2),
        replicas=st.tuples(replicas, replicas).map(sorted).map(lambda pair: {"min": pair[0], "max": pair[1]}),
        resources=resources,
        autoscaling=some(cpu=st.integers(1, 100), memory=st.integers(1, 100), requests_per_second=counts),
        uploads=some(size=sizes, storage_class=names | st.none(), access_mode=st.just("ReadWriteMany")),
        termination_grace=st.integers(10, 600),
    ),
    edge=some(
        image=images,
        host=st.from_regex(Host.pattern, fullmatch=True).filter(lambda host: len(host) <= 253),
        replicas=counts,
        resources=resources,
        tls_secret=names | st.none(),
        ingress_class=names,
        ingress_namespace=names,
        upload_limit=sizes,
    ),
    database=some(image=images, resources=resources, storage=some(size=sizes), max_connections=connections),
    cache=some(image=images, resources=resources),
    backup=some(bucket=st.from_regex(BucketName.pattern, fullmatch=True)),
)
stacks = st.sampled_from(["local", "dev", "prod"])


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
