"""A test double of Pulumi's AWS provider: the few types that the platform declares, by boto3, in the local cloud.

The engine asks it in place of the plugin `aws` (`PULUMI_DEBUG_PROVIDERS`). It knows no defaults and checks nothing:
what AWS would refuse, only AWS will.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from botocore.exceptions import BotoCoreError, ClientError
from google.protobuf import json_format, struct_pb2
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra.environments.local.aws_types import TYPES, Resource
from infra.environments.local.cloud import Access

VERSION = "7.16.0"  # of pulumi-aws, whose types these are
ABSENT = {"404", "NoSuchBucket", "NoSuchEntity", "NotFoundException", "NoSuchBucketPolicy"}


@functools.cache
def attach(access: Access) -> str:
    """Serves it until this process ends; what `PULUMI_DEBUG_PROVIDERS` must say."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(StandIn(access), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _SERVERS.append(server)
    return f"aws:{port}"


_SERVERS: list[grpc.Server] = []  # one that nobody holds is stopped


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """Pulumi's protocol, as far as the engine speaks it to this provider."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - gRPC's names
        """Its version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """The engine says where it is; nothing here asks it anything."""
        return Empty()

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Whatever the stack says of the real provider."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Nothing of it matters here."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Takes values in plain, and is not asked in previews."""
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=False, acceptResources=False)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses types that it does not know."""
        if _type(request.urn) not in TYPES:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the local cloud has no {_type(request.urn)}: add it there")
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Which inputs differ, and whether that takes a new resource."""
        olds, news = _plain(request.old_inputs), _plain(request.news)
        changed = sorted(name for name in olds.keys() | news.keys() if olds.get(name) != news.get(name))
        response = provider_pb2.DiffResponse
        return response(
            changes=response.DIFF_SOME if changed else response.DIFF_NONE,
            diffs=changed,
            replaces=[name for name in changed if name in TYPES[_type(request.urn)].identity],
            deleteBeforeReplace=True,  # names are physical
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Makes it."""
        inputs = _plain(request.properties)
        resource = self._resource(request.urn, inputs)
        made = self._told(context, lambda: resource.create(inputs))
        return provider_pb2.CreateResponse(id=made["id"], properties=_struct(inputs | made))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether it is still there; what differs from its inputs is not looked for."""
        state = _plain(request.properties)
        resource = self._resource(request.urn, state)
        try:
            there = resource.exists(state)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ABSENT:
                context.abort(grpc.StatusCode.UNKNOWN, str(error))
            there = False
        except BotoCoreError as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, f"the local cloud does not answer: run `make up` ({error})")
        if not there:
            return provider_pb2.ReadResponse(id="")
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Has it be as declared now."""
        inputs = _plain(request.news)
        state = _plain(request.olds) | inputs
        resource = self._resource(request.urn, inputs)
        self._told(context, lambda: resource.update(state))
        return provider_pb2.UpdateResponse(properties=_struct(state))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Removes it; what is gone is gone."""
        state = _plain(request.properties)
        resource = self._resource(request.urn, state)

        def remove() -> None:
            try:
                resource.delete(state)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ABSENT:
                    raise

        self._told(context, remove)
        return Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        """Nothing here takes long."""
        return Empty()

    def _resource(self, urn: str, properties: Mapping[str, Any]) -> Resource:
        kind = TYPES[_type(urn)]
        return kind(self._access.client(kind.service, str(properties.get("region", "us-east-1"))))

    def _told(self, context: Any, act: Any) -> Any:
        """What the cloud says against it is what the person reads."""
        try:
            return act()
        except (BotoCoreError, ClientError) as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))


def _type(urn: str) -> str:
    """`urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME`."""
    return urn.split("::")[2].rpartition("$")[2]


def _plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    found: dict[str, Any] = _whole(json_format.MessageToDict(struct))
    return {name: value for name, value in found.items() if not name.startswith("__") and value is not None}


def _whole(value: Any) -> Any:
    match value:
        case dict():
            return {key: _whole(item) for key, item in value.items()}
        case list():
            return [_whole(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


def _struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(dict(values))
    return struct
