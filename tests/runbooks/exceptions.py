"""The command blocks that are not executed here, and why. An entry that is not needed fails, or is about no block."""

from __future__ import annotations

# The page, the beginning of a line of the block, and the reason.
NOT_EXECUTED: tuple[tuple[str, str, str], ...] = (
    (
        "clock-skew",
        "kubectl debug node/NODE",
        "timedatectl and chronyc ask the node's systemd and time service, which the container of a test run lacks",
    ),
)
