"""Serves the rules to the Pulumi engine; holds no rule itself, because `PolicyPack` blocks."""

import os
from datetime import UTC, datetime

from pulumi_policy import EnforcementLevel, PolicyPack

from policy.decoding import decode_once
from policy.engine import policies, run_of
from policy.lifetime import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    decode_once()
    PolicyPack(
        name="modelcard-platform",
        policies=list(policies(run_of(os.environ, today=datetime.now(tz=UTC).date()))),
        enforcement_level=EnforcementLevel.MANDATORY,
    )
