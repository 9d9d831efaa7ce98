"""Decodes each resource once. pulumi-policy 1.21 does it anew for every policy: a hundred times, a minute per `up`.

What it hands to policies is read-only, so all may have the same. The pack's process ends with the operation, and
what it remembers with it.
"""

from __future__ import annotations

from typing import Any

import pulumi_policy.policy
from google.protobuf import json_format
from google.protobuf.message import Message

sdk: Any = pulumi_policy.policy  # what it imports for itself is not part of its types


class _Once:
    """Stands in for `json_format` in the SDK, and for what it does with the result."""

    def __init__(self) -> None:
        self._documents: dict[bytes, dict[str, Any]] = {}
        self._decoded: dict[int, Any] = {}
        self._deserialize = sdk.deserialize_properties

    def __getattr__(self, name: str) -> Any:
        return getattr(json_format, name)

    def MessageToDict(self, message: Message) -> dict[str, Any]:  # noqa: N802 - the SDK calls it so
        """The document of this message, always the same object for the same content."""
        content = message.SerializeToString()
        if content not in self._documents:
            self._documents[content] = json_format.MessageToDict(message)
        return self._documents[content]

    def deserialize(self, document: dict[str, Any], *options: Any) -> Any:
        """The values of a document of this; whoever asks for options may mean to change them."""
        if options:
            return self._deserialize(document, *options)
        known = id(document)  # the document is never forgotten, so nothing else gets its identity
        if known not in self._decoded:
            self._decoded[known] = self._deserialize(document)
        return self._decoded[known]


def decode_once() -> None:
    """Lets the SDK of this process decode every resource once."""
    once = _Once()
    sdk.json_format, sdk.deserialize_properties = once, once.deserialize
