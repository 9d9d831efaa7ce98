"""The rules, one module per family."""

from policy.rules import images, probes, resources, restricted, secrets, tokens, workloads

ALL = (
    *workloads.RULES,
    *restricted.RULES,
    *images.RULES,
    *resources.RULES,
    *probes.RULES,
    *secrets.RULES,
    *tokens.RULES,
)
