"""Serves the rules to the Pulumi engine; holds no rule itself, because `PolicyPack` blocks."""

from datetime import UTC, datetime

from pulumi_policy import EnforcementLevel, PolicyPack

from policy.engine import policies

if __name__ == "__main__":
    PolicyPack(
        name="modelcard-platform",
        policies=list(policies(today=datetime.now(tz=UTC).date())),
        enforcement_level=EnforcementLevel.MANDATORY,
    )
