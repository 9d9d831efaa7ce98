"""Runs the program under mocks that remember every registration: what previews, policies and tests look at."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from pulumi import _types
from pulumi.runtime import mocks, resource
from pulumi.runtime.proto import resource_pb2, source_pb2
from pulumi.runtime.settings import configure
from pulumi.runtime.stack import run_in_stack

from infra.settings import MASK, PROJECT, Settings
from infra.stack import deploy

# How Pulumi marks a secret inside a structure. Source: pulumi/pulumi, sdk/go/common/resource/sig.
SIGNATURE, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"

ACCOUNT = "123456789012"  # of AWS' own examples

# Pulumi evaluates the annotations of a class again for each of its instances: a third of a recording's time.
_types._types_from_py_properties = functools.cache(_types._types_from_py_properties)  # noqa: SLF001


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One resource as the engine would have been told of it. Secret values are masked, their keys are kept.

    `unmasked` is for the policies, which must see what they forbid and quote no value.
    """

    type: str
    name: str
    parent: str
    inputs: Mapping[str, Any]
    unmasked: Mapping[str, Any] = field(repr=False)
    custom: bool
    protect: bool
    retain_on_delete: bool
    urn: str
    depends: Mapping[str, frozenset[str]] = field(default_factory=dict)  # property to the URNs that it was made from
    dependencies: frozenset[str] = frozenset()  # the URNs of all that must be there before it

    @property
    def manifest(self) -> Mapping[str, Any] | None:
        """The Kubernetes object that this declares, if it does."""
        return self.inputs if self.type.startswith("kubernetes:") and "kind" in self.inputs else None


class Recording(mocks.MockMonitor):
    """A resource monitor that answers with the inputs and remembers them. Ask it by type and name."""

    def __init__(self) -> None:
        # No mocks, which would answer what the program never asks: for an existing resource, and a provider's function.
        self.registrations: list[Registration] = []
        self.outputs: dict[str, Mapping[str, Any]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        """Remembers the request, masked, and answers with its inputs and what the cloud would assign."""
        urn = self.make_urn(request.parent, request.type, request.name)
        inputs = json_format.MessageToDict(request.object)
        self.registrations.append(
            Registration(
                type=request.type,
                name=request.name,
                parent=request.parent,
                inputs=masked(inputs),
                unmasked=inputs,
                custom=request.custom,
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                urn=urn,
                depends={key: frozenset(on.urns) for key, on in request.propertyDependencies.items()},
                dependencies=frozenset(request.dependencies),
            )
        )
        # The mocks' own answer decodes the inputs and encodes them again.
        response = resource_pb2.RegisterResourceResponse(urn=urn, id=f"{request.name}-id", object=request.object)
        response.object.update(_assigned(request.type, request.name, inputs))
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        """Remembers that a component ended its declaration, and with what."""
        self.outputs[request.urn] = masked(json_format.MessageToDict(request.outputs))
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call] # as above

    def all(self, type_: str) -> list[Registration]:
        """All registrations whose type token ends in this, such as `apps/v1:Deployment`."""
        return [each for each in self.registrations if each.type.endswith(type_)]

    def one(self, type_: str, name: str) -> Mapping[str, Any]:
        """The inputs of the one resource of this type (its end suffices) and logical name."""
        found = [each for each in self.all(type_) if each.name == name]
        if len(found) != 1:
            known = ", ".join(sorted(each.name for each in self.all(type_))) or "none of that type"
            raise LookupError(f"{len(found)} resources {type_} {name}; there are: {known}")
        return found[0].inputs

    def manifests(self) -> Iterator[Mapping[str, Any]]:
        """All Kubernetes objects, in order of registration."""
        return (each.manifest for each in self.registrations if each.manifest is not None)


class _Outstanding:
    """Outputs without a value yet, as Pulumi keeps them; its own deque is searched for each: a third of a recording."""

    def __init__(self) -> None:
        self._futures: OrderedDict[asyncio.Future[Any], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._futures)

    def append(self, future: asyncio.Future[Any]) -> None:
        self._futures[future] = None

    def popleft(self) -> asyncio.Future[Any]:
        return self._futures.popitem(last=False)[0]

    def remove(self, future: asyncio.Future[Any]) -> None:
        if future not in self._futures:
            raise ValueError(future)
        del self._futures[future]


def _assigned(type_: str, name: str, inputs: Mapping[str, Any]) -> dict[str, str]:
    """What AWS would say of a new resource, for the inputs of others."""
    match type_:
        case "aws:kms/key:Key":
            return {"keyId": name, "arn": f"arn:aws:kms:{inputs['region']}:{ACCOUNT}:key/{name}"}
        case "aws:iam/role:Role":
            return {"arn": f"arn:aws:iam::{ACCOUNT}:role/{inputs['name']}"}
        case "aws:s3/bucket:Bucket":
            return {"arn": f"arn:aws:s3:::{inputs['bucket']}"}
        case _:
            return {}


def masked(value: Any) -> Any:
    """The value with everything secret replaced, whole numbers as integers."""
    match value:
        case dict() if value.get(SIGNATURE) == SECRET:
            return _mask(value.get("value"))
        case dict():
            return {key: masked(item) for key, item in value.items()}
        case list():
            return [masked(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _mask(value: Any) -> Any:
    match value:
        case dict() if value.get(SIGNATURE) == SECRET:
            return _mask(value.get("value"))
        case dict():
            return {key: _mask(item) for key, item in value.items()}
        case list():
            return [_mask(item) for item in value]
        case _:
            return MASK


def record(declare: Callable[[], None], *, stack: str) -> Recording:
    """Runs `declare` on a fresh event loop under fresh mocks and waits until every resource is registered.

    Raises whatever `declare` or one of its `apply` functions raises.
    """
    # Pulumi keeps the root resource in a context variable: an empty context per run is what makes it forget the last.
    with collector_paused(), _untraced():
        return contextvars.Context().run(_record, declare, stack)


def _record(declare: Callable[[], None], stack: str) -> Recording:
    recording = Recording()
    engine = mocks.MockEngine(None)
    fresh: dict[str, Any] = {
        "outputs": _Outstanding(),
        "feature_support": {},
    }  # what MockSettings would share with the last run
    configure(
        mocks.MockSettings(monitor=recording, engine=engine, project=PROJECT, stack=stack, dry_run=False, **fresh)
    )
    # It cancels what a failed run leaves behind; Pulumi would keep the next run waiting for that.
    with asyncio.Runner() as runner:
        runner.run(run_in_stack(declare))
    return recording


@contextmanager
def _untraced() -> Generator[None]:
    """Nobody asks a mock for the lines that declared a resource: to read them is a fifth of a recording's time."""
    traced = resource._get_stack_trace  # noqa: SLF001
    resource._get_stack_trace = source_pb2.StackTrace  # noqa: SLF001
    try:
        yield
    finally:
        resource._get_stack_trace = traced  # noqa: SLF001


def record_platform(settings: Settings, *, stack: str) -> Recording:
    """The platform of these settings, recorded."""
    return record(lambda: deploy(settings), stack=stack)


@contextmanager
def collector_paused() -> Generator[None]:
    """Nothing that a recording makes is garbage before its end: looking for it is a third."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
