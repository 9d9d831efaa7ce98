"""What is declared for AWS in the shape of Terraform's plan. Source: Terraform, "JSON Output Format".

pulumi-aws is made from Terraform's provider: types and properties differ in spelling, and a block of which there
can be only one is a list in Terraform.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from policy.model import Resource

MAPS = frozenset({"tags"})
RENAMED = {"aws_s3_bucket_replication_config": "aws_s3_bucket_replication_configuration"}
PLURALS = re.compile(r"^(rule|transition|noncurrent_version_transition)s$")


def plan(resources: Iterable[Resource]) -> dict[str, Any]:
    """A plan that creates all of these."""
    made = [each for each in resources if each.type.startswith("aws:")]
    addresses = {each.urn: f"{type_of(each)}.{_name(each)}" for each in made}
    planned = [
        {
            "address": addresses[each.urn],
            "mode": "managed",
            "type": type_of(each),
            "name": _name(each),
            "provider_name": "registry.terraform.io/hashicorp/aws",
            "schema_version": 0,
            "values": values(each),
        }
        for each in made
    ]
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": planned}},
        "resource_changes": [
            {**each, "change": {"actions": ["create"], "before": None, "after": each["values"], "after_unknown": {}}}
            for each in planned
        ],
        "configuration": {
            "root_module": {
                "resources": [
                    {
                        "address": addresses[each.urn],
                        "mode": "managed",
                        "type": type_of(each),
                        "name": _name(each),
                        "expressions": _references(each, addresses),
                    }
                    for each in made
                ]
            }
        },
    }


def type_of(resource: Resource) -> str:
    """`aws:s3/bucketPolicy:BucketPolicy` is `aws_s3_bucket_policy`."""
    _, module, name = resource.type.split(":")
    type_ = f"aws_{module.partition('/')[0]}_{snake(name)}"
    return RENAMED.get(type_, type_)


def values(resource: Resource) -> dict[str, Any]:
    """Its properties as Terraform spells them."""
    return {
        _spelled(key): _value(_spelled(key), value) for key, value in resource.properties.items() if key[:2] != "__"
    }


def snake(name: str) -> str:
    """`blockPublicAcls` is `block_public_acls`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _spelled(key: str) -> str:
    return PLURALS.sub(r"\1", snake(key))


def _value(key: str, value: Any) -> Any:
    match value:
        case dict() if key in MAPS:
            return value
        case dict():
            return [{_spelled(each): _value(_spelled(each), below) for each, below in value.items()}]
        case list():
            return [_value(key, each)[0] if isinstance(each, dict) else each for each in value]
        case _:
            return value


def _name(resource: Resource) -> str:
    return resource.name.replace("-", "_")


def _references(resource: Resource, addresses: dict[str, str]) -> dict[str, Any]:
    found = {}
    for key, on in resource.depends.items():
        names = [addresses[urn] for urn in on if urn in addresses]
        if names:
            found[snake(key)] = {"references": [*(f"{name}.id" for name in names), *names]}
    return found
