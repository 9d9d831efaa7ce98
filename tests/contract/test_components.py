"""What every component promises. A new one is found by itself and has to keep to it."""

import dataclasses
import importlib
import inspect
import pkgutil
import typing

import pulumi
import pytest

import infra.components
from infra.environments.preview.crosscheck import CLUSTER_SCOPED
from infra.environments.recording import Recording, Registration
from infra.kube.component import PREFIX
from tests.conftest import EXTENDED, STACKS, everything_that_runs, platform_of

COMPONENTS = [
    each
    for module in pkgutil.iter_modules(infra.components.__path__, "infra.components.")
    for each in vars(importlib.import_module(module.name)).values()
    if inspect.isclass(each) and issubclass(each, pulumi.ComponentResource) and each.__module__ == module.name
    if not each.__subclasses__()  # what several of them share is none itself
]
NAMESPACES = {"modelcard", "modelcard-observability", "modelcard-agents", "kube-system"}
LABELS = {"app.kubernetes.io/part-of": "modelcard", "app.kubernetes.io/managed-by": "pulumi"}

component = pytest.mark.parametrize("component", COMPONENTS, ids=lambda each: each.__name__)


@pytest.fixture(scope="module", params=[*STACKS, "extended"])
def each_platform(request) -> Recording:
    """What each stack declares, and one that says all that it may."""
    return platform_of("prod", **EXTENDED) if request.param == "extended" else platform_of(request.param)


def args_of(component: type) -> type:
    return typing.get_type_hints(component.__init__)["args"]


def declared(component: type, platform: Recording) -> list[Registration]:
    """The components of this class in a platform."""
    return [each for each in platform.registrations if each.type == f"{PREFIX}:{component.__name__}"]


def children(parent: Registration, platform: Recording) -> list[Registration]:
    return [each for each in platform.registrations if each.parent == parent.urn]


def objects(parent: Registration, platform: Recording) -> list[Registration]:
    """Those of its children that are Kubernetes objects."""
    return [each for each in children(parent, platform) if each.manifest]


def test_there_are_components_to_check():
    assert {each.__name__ for each in COMPONENTS} >= {"App", "Cache", "Database", "Edge", "Namespace"}


@component
def test_it_is_made_from_name_args_and_options(component):
    parameters = inspect.signature(component).parameters
    assert list(parameters) == ["name", "args", "opts"]
    assert [name for name, each in parameters.items() if each.default is None] == ["opts"]


@component
def test_its_arguments_are_a_frozen_dataclass_of_keywords_with_a_docstring(component):
    args = args_of(component)
    assert args.__name__ == f"{component.__name__}Args"
    assert (dataclasses.is_dataclass(args), args.__dataclass_params__.frozen) == (True, True)
    assert all(field.kw_only for field in dataclasses.fields(args))
    assert not args.__doc__.startswith(f"{args.__name__}("), "a docstring of its own, not the one that dataclasses make"


@component
def test_its_docstring_is_about_itself(component):
    assert component.__doc__ != component.__mro__[1].__doc__


@component
def test_the_platform_declares_it_under_the_platforms_type(component, platform, extended):
    assert {each.custom for each in declared(component, platform) + declared(component, extended)} == {False}


@component
def test_everything_that_it_declares_is_its_child(component, each_platform):
    for parent in declared(component, each_platform):
        assert children(parent, each_platform)
        for child in children(parent, each_platform):
            assert f"{PREFIX}:{component.__name__}$" in child.urn


def test_nothing_but_providers_and_components_is_declared_outside_of_components(each_platform):
    (stack,) = each_platform.all("pulumi:pulumi:Stack")
    kinds = {each.type.rsplit(":", 1)[0] for each in children(stack, each_platform)}
    assert kinds == {PREFIX, "pulumi:providers"}


@component
def test_its_objects_carry_the_common_labels(component, each_platform):
    for parent in declared(component, each_platform):
        own = {"app.kubernetes.io/component": "namespace" if component.__name__ == "Namespace" else parent.name}
        for child in objects(parent, each_platform):
            assert (LABELS | own).items() <= child.inputs["metadata"]["labels"].items(), child.name


@component
def test_its_objects_are_in_the_platforms_namespaces(component, each_platform):
    for parent in declared(component, each_platform):
        namespaces = {
            child.inputs["metadata"].get("namespace", "")
            for child in objects(parent, each_platform)
            if child.inputs["kind"] not in CLUSTER_SCOPED
        }
        assert namespaces <= NAMESPACES


@component
def test_its_objects_are_named_after_it_or_its_workloads(component, each_platform):
    for parent in declared(component, each_platform):
        known = [parent.name, *everything_that_runs(each_platform)]
        for child in children(parent, each_platform):
            assert any(child.name == name or child.name.startswith(f"{name}-") for name in known), child.name


@component
def test_it_ends_by_registering_every_public_attribute(component, each_platform):
    for each in declared(component, each_platform):
        assert each.urn in each_platform.outputs, "it must end with `finish` or `register_outputs`"
        assert set(each_platform.outputs[each.urn]) == set(inspect.get_annotations(component))


@component
def test_its_docstring_names_its_outputs(component):
    assert [name for name in inspect.get_annotations(component) if f"`{name}`" not in component.__doc__] == []


@component
def test_no_secret_output_is_plain(component, each_platform):
    for each in declared(component, each_platform):
        outputs = each_platform.outputs[each.urn]
        assert {name for name, value in outputs.items() if "://" in str(value) and "@" in str(value)} == set()
