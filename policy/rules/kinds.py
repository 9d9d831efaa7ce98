"""Nothing is deployed that no rule has been written about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policy.kinds import API_SERVICE
from policy.model import Control, Policy, Resource, Rule, Violation
from policy.rules.buckets import PARTS

SEEN = Control(
    "NIST SP 800-53, CM-7(5): authorized software, allow by exception",
    "https://csrc.nist.gov/projects/cprt/catalog#/cprt/framework/version/SP_800_53_5_1_1/home?element=CM-07",
)

# What can do no harm by itself, or is judged by way of what it belongs to.
HARMLESS = frozenset(
    {
        API_SERVICE,
        "kubernetes:keda.sh/v1alpha1:TriggerAuthentication",
        "pulumi:pulumi:Stack",
        "pulumi:providers:aws",
        "pulumi:providers:kubernetes",
    }
)
OURS = "modelcard:"  # components, which only hold others


def known_kind(rules: Iterable[Policy]) -> Rule:
    """Make the rule that every type is one that some rule is about."""
    known = HARMLESS.union(PARTS, *(rule.kinds for rule in rules if rule.kinds))

    def check(resource: Resource) -> Iterator[Violation]:
        if resource.type not in known and not resource.type.startswith(OURS):
            yield "", "is of a type that no rule is about; write rules for it, or add it to policy/rules/kinds.py"

    return Rule(
        name="known-kind",
        summary="Every resource is of a type that some rule is about.",
        control=SEEN,
        remedy="Write rules for the type, or add it to HARMLESS in policy/rules/kinds.py.",
        kinds=None,
        check=check,
    )
