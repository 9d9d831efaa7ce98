"""Copies of a stack's state from before and after each `up`, and the way back to one. Secrets in them are encrypted."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.environments.engine import Engine, Operation, Outcome, Progress
from infra.environments.workspace import LOCAL, Workspace, write_whole
from infra.errors import UserError

KEPT = 50  # copies of a stack; one is as large as its state, a megabyte


def folder(space: Workspace) -> Path:
    """Where they are: in `MCENV_STATE_BACKUPS`, or in the checkout and out of git."""
    if space.stack == LOCAL:
        return space.project.parent / "state-backups"
    return Path(os.environ.get("MCENV_STATE_BACKUPS") or space.root / ".local" / "state-backups") / space.stack


def back_up(space: Workspace) -> Path | None:
    """Copies the state, unless the newest copy is the same, and says which has it; None when there is no state yet."""
    deployment = space.exported()
    if deployment is None:
        return None
    copy = json.dumps({"version": 3, "deployment": deployment})
    if (copies := present(space)) and copies[-1].read_text() == copy:
        return copies[-1]
    place = folder(space)
    place.mkdir(parents=True, exist_ok=True)
    file = place / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%fZ}.json"
    write_whole(file, copy)
    for old in present(space)[:-KEPT]:
        old.unlink()
    return file


def present(space: Workspace) -> list[Path]:
    """The copies that there are, the oldest first."""
    return sorted(folder(space).glob("*.json"))


def restore(space: Workspace, name: str, progress: Progress) -> Outcome:
    """Goes back to a copy, and lets it learn what the cluster has now; the next `up` does what is left to do.

    Returns what the cluster has that the copy had otherwise. The state that is left is copied first, if it is whole.
    """
    file = _chosen(space, name)
    _check(space, file)
    try:
        back_up(space)
    except UserError:
        _put_aside(space, progress)
    progress(f"going back to {file.name}")
    engine = Engine(space)
    engine.select()
    space.pulumi("stack", "import", "--file", str(file))
    return engine.run(Operation.REFRESH, progress)


def _chosen(space: Workspace, name: str) -> Path:
    file = next(
        (each for each in (folder(space) / name, folder(space) / f"{name}.json", Path(name)) if each.is_file()), None
    )
    if file is None:
        raise UserError(
            f"{name}: no such copy of {space.stack}'s state: choose one of `mcenv state list {space.stack}`"
        )
    return file


def _check(space: Workspace, file: Path) -> None:
    try:
        resources: list[dict[str, Any]] = json.loads(file.read_text())["deployment"]["resources"]
        stacks = {each["urn"].split("::")[0].rpartition(":")[2] for each in resources}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{file}: not a copy of a state: choose another") from None
    if stacks != {space.stack}:
        raise UserError(f"{file}: the state of {', '.join(sorted(stacks)) or 'nothing'}, not of {space.stack}")


def _put_aside(space: Workspace, progress: Progress) -> None:
    """A damaged state would keep the engine from taking another; only a file can be damaged."""
    for left in (space.state_file, space.state_file and space.state_file.with_name(f"{space.state_file.name}.bak")):
        if left and left.exists():
            progress(f"{left.name} cannot be read: kept as {left.name}.damaged")
            left.rename(left.with_name(f"{left.name}.damaged"))
