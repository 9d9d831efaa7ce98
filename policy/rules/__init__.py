"""The rules, one module per family."""

from policy.model import Rule
from policy.rules import (
    access,
    buckets,
    cost,
    data,
    identities,
    images,
    kinds,
    names,
    network,
    openings,
    probes,
    reliability,
    resources,
    restricted,
    secrets,
    tokens,
    workloads,
)
from policy.stack import StackRule

_WRITTEN: tuple[Rule | StackRule, ...] = (
    *workloads.RULES,
    *restricted.RULES,
    *images.RULES,
    *resources.RULES,
    *probes.RULES,
    *secrets.RULES,
    *tokens.RULES,
    *network.RULES,
    *openings.RULES,
    *access.RULES,
    *reliability.RULES,
    *data.RULES,
    *names.RULES,
    *cost.RULES,
    *buckets.RULES,
    *identities.RULES,
)
# The one about every type comes first: the engine's adapter remembers by it what was declared.
ALL: tuple[Rule | StackRule, ...] = (kinds.known_kind(_WRITTEN), *_WRITTEN)
