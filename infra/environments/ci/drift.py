"""Whether clusters are as their states say, and the issue that says where they are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.environments.ci.github import GitHub, Written
from infra.environments.engine import Change, Engine, Operation, Progress
from infra.environments.workspace import exclusive, workspace
from infra.errors import UserError

LABEL = "drift"


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What of a stack was changed by hand, or why that cannot be told."""

    stack: str
    changes: tuple[Change, ...] = ()
    failure: str = ""

    @property
    def found(self) -> bool:
        """Whether there is something to tell."""
        return bool(self.changes or self.failure)


def look(
    stacks: Sequence[str], progress: Progress, ask: Callable[[str, Progress], list[Change]] | None = None
) -> list[Drift]:
    """Looks at each stack; one that cannot be looked at does not keep the others from it."""
    if not stacks:
        raise UserError("no stack named: say which ones to look at")
    found = []
    for stack in stacks:
        try:
            found.append(Drift(stack=stack, changes=tuple((ask or _ask)(stack, progress))))
        except UserError as error:
            found.append(Drift(stack=stack, failure=str(error)))
    return found


def _ask(stack: str, progress: Progress) -> list[Change]:
    space = workspace(stack)
    with exclusive(space):
        return Engine(space).run(Operation.DRIFT, progress).changes


def report(drift: Drift, hub: GitHub) -> Written:
    """Has an open issue say it; closes it when nothing is left to say."""
    return hub.issue(f"Drift of {drift.stack}", body(drift) if drift.found else None, LABEL)


def body(drift: Drift) -> str:
    """The text of the issue."""
    if drift.failure:
        told = ["It could not be found out whether the cluster is as the state says:", "", "```", drift.failure, "```"]
    else:
        told = [
            "The cluster is not as the state says. Somebody changed or deleted by hand:",
            "",
            *(f"- `{each}`" for each in drift.changes),
            "",
            f"`mcenv drift {drift.stack}` and `mcenv up {drift.stack}` put it right; what should stay goes into code.",
        ]
    return "\n".join([*told, "", "This issue is kept up to date every night, and closed when there is no drift."])
