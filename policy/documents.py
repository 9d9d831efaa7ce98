"""AWS policies: JSON inside of a property, in which one of something may stand for a list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policy.kinds import AWS_POLICY, AWS_ROLE, AWS_USER_POLICY, BUCKET_POLICY, KEY
from policy.model import Node, Resource

# Where each type keeps its policy.
IDENTITY = {
    AWS_POLICY: "policy",
    "aws:iam/rolePolicy:RolePolicy": "policy",
    "aws:iam/groupPolicy:GroupPolicy": "policy",
    AWS_USER_POLICY: "policy",
}
TRUST = {AWS_ROLE: "assumeRolePolicy"}
OF_RESOURCES = {BUCKET_POLICY: "policy", KEY: "policy"}
ALL = {**IDENTITY, **TRUST, **OF_RESOURCES}


@dataclass(frozen=True)
class Statement:
    """One statement of a policy, and where it stands."""

    path: str
    content: dict[str, Any]

    @property
    def allows(self) -> bool:
        """Whether it grants rather than denies."""
        return self.content.get("Effect") == "Allow"

    def listed(self, key: str) -> list[str]:
        """The values of an element, of which one may stand for a list."""
        return [str(each) for each in _listed(self.content.get(key))]

    @property
    def principals(self) -> list[str]:
        """Whom it names, of whatever kind; `*` is everybody."""
        named = self.content.get("Principal")
        groups = named.values() if isinstance(named, dict) else [named]
        return [str(each) for group in groups for each in _listed(group)]

    def conditions(self, operator: str) -> dict[str, list[str]]:
        """The keys that a condition operator compares, with their values."""
        compared = self.content.get("Condition", {}).get(operator, {})
        return {key: [str(each) for each in _listed(value)] for key, value in compared.items()}


def texts(resource: Resource) -> Iterator[Node]:
    """The policies of a resource; a role may hold more of them inside."""
    key = ALL.get(resource.type)
    if key is not None and resource.at(key).value is not None:
        yield resource.at(key)
    for inline in resource.at("inlinePolicies").elements() if resource.type in TRUST else ():
        yield inline.at("policy")


def statements(text: Node) -> Iterator[Statement]:
    """The statements of a policy. Raises ValueError if it is none."""
    document = json.loads(str(text.value))
    for position, content in enumerate(_listed(document["Statement"])):
        yield Statement(f"{text.path}.Statement[{content.get('Sid', position)}]", content)


def readable(text: Node) -> bool:
    """Whether it is a policy at all."""
    try:
        return all(isinstance(each.content, dict) for each in statements(text))
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
