"""A plan: what an `up` would do, with a fingerprint of all that it follows from, so that nothing else is done later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from infra.environments.engine import Change
from infra.environments.preview.against import commit_of
from infra.environments.preview.manifests import Manifests
from infra.environments.workspace import Workspace
from infra.errors import UserError

# What the program consists of, below the checkout.
CODE = ("infra", "policy", "rules", "dashboards", "requirements/runtime.txt", "Pulumi.yaml")
MOVED = {
    "code": "the code or the stack file is not what the plan was made of",
    "state": "the stack was changed after the plan was made",
    "steps": "the engine would do something else than planned",
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be done to a stack. It holds names and digests, no values and no secrets."""

    stack: str
    made: str
    revision: str | None
    parts: Mapping[str, str]
    steps: tuple[Mapping[str, Any], ...]

    @property
    def fingerprint(self) -> str:
        """What people compare and approve."""
        return _digest([self.stack, dict(self.parts)])[:16]

    def write(self, file: Path) -> None:
        """For a later `up`."""
        file.write_text(json.dumps(asdict(self) | {"fingerprint": self.fingerprint}, indent=2) + "\n")

    @classmethod
    def read(cls, file: Path) -> Self:
        """A plan that was written. Raises `UserError`, also for one that was tampered with."""
        try:
            document = json.loads(file.read_text())
            fingerprint = document.pop("fingerprint")
            plan = cls(**{**document, "steps": tuple(document["steps"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{file}: not a plan: make one with `mcenv plan STACK --out {file}`") from None
        if plan.fingerprint != fingerprint:
            raise UserError(f"{file}: changed after it was made: make a new one with `mcenv plan {plan.stack}`")
        return plan

    def check_foundations(self, space: Workspace) -> None:
        """Raises `UserError` when the code or the state are not those that the plan was made of."""
        if self.stack != space.stack:
            raise UserError(f"the plan is of stack {self.stack}, not of {space.stack}: {self._again(space.stack)}")
        self._check({"code": code(space), "state": state(space)})

    def check(self, now: Plan) -> None:
        """Raises `UserError` when the plan that would be made now is another one."""
        self._check(now.parts)

    def _check(self, parts: Mapping[str, str]) -> None:
        moved = [MOVED[part] for part, digest in parts.items() if self.parts.get(part) != digest]
        if moved:
            again = self._again(self.stack)
            raise UserError("\n".join(f"{self.stack}: {why} ({self.fingerprint}): {again}" for why in moved))

    @staticmethod
    def _again(stack: str) -> str:
        return f"look at a new one: `mcenv plan {stack}`"


def plan_of(space: Workspace, changes: Iterable[Change], manifests: Manifests) -> Plan:
    """The plan that consists of these steps. `manifests`, secrets masked, are what they lead to."""
    steps = sorted((asdict(change) for change in changes), key=lambda step: (step["type"], step["name"]))
    parts = {"code": code(space), "state": state(space), "steps": _digest([steps, manifests])}
    return Plan(
        stack=space.stack,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        revision=commit_of("HEAD", space.root),
        parts=parts,
        steps=tuple(steps),
    )


def code(space: Workspace) -> str:
    """A digest of the program and of the stack file."""
    digest = hashlib.sha256()
    for name, file in [*_files(space.root), ("stack file", space.stack_file)]:
        digest.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def state(space: Workspace) -> str:
    """A digest of what the engine knows to be there. An `up` that changes nothing does not change it."""
    exported = space.exported() or {}
    return _digest({key: value for key, value in exported.items() if key in {"resources", "pending_operations"}})


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    for name in CODE:
        path = root / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (
            (each.relative_to(root).as_posix(), each) for each in found if each.is_file() and each.suffix != ".pyc"
        )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
