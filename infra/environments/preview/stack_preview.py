"""Puts a preview together."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.environments.preview import against as others
from infra.environments.preview import explained as explanations
from infra.environments.preview import manifests as declarations
from infra.environments.preview import policies, schemas, stackfile
from infra.environments.preview.crosscheck import crosscheck
from infra.environments.preview.difference import Difference, difference
from infra.environments.preview.manifests import Manifests
from infra.environments.preview.tree import tree
from infra.environments.recording import Recording, Registration, collector_paused, record_platform
from infra.errors import UserError
from infra.settings import Settings
from policy.runner import Report

STATE = "state"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What the program declares for some settings."""

    stack: str
    settings: Settings
    registrations: tuple[Registration, ...]
    manifests: Manifests
    duplicates: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How a stack differs from another (`stacks`), which takes reasons, or from what it was, which has effects."""

    with_what: str
    stacks: bool
    differences: tuple[Difference, ...]
    explained: tuple[explanations.Explained, ...] = ()
    unexplained: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What a stack declares, what is wrong with it, and how it differs from something else."""

    stack: str
    tree: str
    manifests: Manifests
    problems: tuple[str, ...]
    policies: Report
    comparison: Comparison | None = None

    @property
    def complaints(self) -> tuple[str, ...]:
        """Everything that must be mended before the stack may be deployed."""
        findings = tuple(f"{finding} [{finding.rule}]" for finding in self.policies.findings)
        return self.problems + findings + (self.comparison.unexplained if self.comparison else ())

    @property
    def ok(self) -> bool:
        """Whether there is nothing to mend."""
        return not self.complaints


def preview(stack: str, root: Path, *, against: str | None = None, state_file: Path | None = None) -> Preview:
    """The preview of the stack whose file is in `root`.

    `against` is another stack, a git revision, or `state`, which is then read from `state_file`. Raises `UserError` if
    a stack file or what to compare with is not in order.
    """
    with nothing_collected():
        ours = rendered(stack, root)
        return checked(ours, _compared(ours, root, against, state_file) if against else None)


def rendered(stack: str, root: Path) -> Rendered:
    """What the program declares for a stack of this folder."""
    return render(stack, stackfile.read(root, stack))


def render(stack: str, settings: Settings) -> Rendered:
    """What the program declares for these settings."""
    return rendered_from(record_platform(settings, stack=stack), stack, settings)


def rendered_from(recording: Recording, stack: str, settings: Settings) -> Rendered:
    """What the program declared for these settings as it was recorded."""
    registrations = tuple(recording.registrations)
    pairs = declarations.declared(registrations)
    return Rendered(
        stack=stack,
        settings=settings,
        registrations=registrations,
        manifests=dict(pairs),
        duplicates=tuple(declarations.duplicates(pairs)),
    )


def checked(ours: Rendered, comparison: Comparison | None = None) -> Preview:
    """The preview of what has been rendered."""
    tls_secret = ours.settings.edge.tls_secret
    # What is not even of the right shape cannot be read further.
    problems = schemas.problems(ours.manifests) or crosscheck(
        ours.manifests, external_secrets=frozenset({tls_secret} if tls_secret else ())
    )
    return Preview(
        stack=ours.stack,
        tree=tree(ours.registrations),
        manifests=ours.manifests,
        problems=(*ours.duplicates, *problems),
        policies=policies.check(ours.registrations, environment=ours.settings.environment),
        comparison=comparison,
    )


def compare_stacks(theirs: Rendered, ours: Rendered) -> Comparison:
    """How a stack differs from another one, and whether each difference has a reason."""
    names = theirs.stack, ours.stack
    unexplained = explanations.unexplained(names, theirs.settings, ours.settings)
    unexplained += explanations.left_over(
        names,
        theirs.settings,
        ours.settings,
        theirs.manifests,
        lambda settings: render(ours.stack, settings).manifests,
    )
    return Comparison(
        with_what=theirs.stack,
        stacks=True,
        differences=difference(theirs.manifests, ours.manifests),
        explained=explanations.explained(theirs.settings, ours.settings),
        unexplained=tuple(unexplained),
    )


def _compared(ours: Rendered, root: Path, against: str, state_file: Path | None) -> Comparison:
    if against == STATE:
        before = others.of_state(ours.stack, state_file)
    elif _is_stack(root, against):
        return compare_stacks(rendered(against, root), ours)
    else:
        before = others.of_revision(ours.stack, against, root)
    return Comparison(with_what=against, stacks=False, differences=difference(before, ours.manifests))


def _is_stack(root: Path, name: str) -> bool:
    try:
        stackfile.find(root, name)
    except UserError:
        return False
    return True


@contextmanager
def nothing_collected() -> Generator[None]:
    """What previews make stays until the process ends: looking for garbage in it, at exit too, is a third."""
    with collector_paused():
        try:
            yield
        finally:
            gc.freeze()
