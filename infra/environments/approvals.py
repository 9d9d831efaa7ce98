"""What an `up` may not take away: data and what holds it, unless somebody has put a name to it in the stack file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from infra.environments.engine import Change
from infra.environments.preview.against import applied
from infra.environments.preview.difference import Effect, difference
from infra.environments.preview.manifests import key
from infra.environments.recording import Registration
from infra.settings import Approval

# What data is in, and what deletes it as it goes.
PROTECTED = frozenset(
    {
        "kubernetes:core/v1:Namespace",
        "kubernetes:core/v1:PersistentVolume",
        "kubernetes:core/v1:PersistentVolumeClaim",
        "kubernetes:apps/v1:StatefulSet",
        "aws:kms/key:Key",
        "aws:s3/bucket:Bucket",
        "aws:s3/bucketV2:BucketV2",
    }
)
LONGEST = timedelta(days=31)  # who needs it later says it later
_REPLACING = frozenset({"replace", "create-replacement", "delete-replaced", "import-replacement"})


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A resource that would be deleted or replaced. `urn` is the engine's name of one that it must first unprotect."""

    resource: str
    operation: Literal["delete", "replace"]
    urn: str | None = None
    why: str = ""

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.resource} would be {self.operation}d{f' ({self.why})' if self.why else ''}"


def foreseen(state: Mapping[str, Any], declared: Iterable[Registration]) -> Iterator[Loss]:
    """What of the state's protected resources the program no longer declares, or declares as another object.

    The engine is not asked: it stops at the first that it protects, and does not say what to do.
    """
    ours = {(each.type, each.name): each for each in declared}
    for each in state["resources"]:
        name = each["urn"].rpartition("::")[2]
        if not _is_protected(each) or each.get("delete"):
            continue
        urn = each["urn"] if each.get("protect") else None
        resource = f"{each['type']}::{name}"
        if (declaration := ours.get((each["type"], name))) is None:
            yield Loss(resource=resource, operation="delete", urn=urn, why="no longer declared; is it renamed?")
        elif why := _replaced(each, declaration):
            yield Loss(resource=resource, operation="replace", urn=urn, why=why)


def planned(changes: Iterable[Change]) -> Iterator[Loss]:
    """What of protected kinds the engine says that it would delete or replace."""
    for each in changes:
        if each.type in PROTECTED and (each.operation == "delete" or each.operation in _REPLACING):
            operation: Literal["delete", "replace"] = "delete" if each.operation == "delete" else "replace"
            yield Loss(resource=f"{each.type}::{each.name}", operation=operation, why=", ".join(each.properties))


def refused(losses: Iterable[Loss], approvals: Iterable[Approval], today: date, file: str) -> list[str]:
    """What of it nobody has approved for today, one line each with what to do."""
    given = list(approvals)
    return [f"{file}: {loss}{_remedy(loss, given, today)}" for loss in losses if not _approved(loss, given, today)]


def _approved(loss: Loss, approvals: Iterable[Approval], today: date) -> bool:
    return any(_about(each, loss) and today <= each.expires <= today + LONGEST for each in approvals)


def _remedy(loss: Loss, approvals: Iterable[Approval], today: date) -> str:
    given = next((each for each in approvals if _about(each, loss)), None)
    if given is None:
        return ": if that is meant, add it to `approvals` with approver, reason and expiry"
    when = f"ended on {given.expires}" if given.expires < today else f"is for more than {LONGEST.days} days"
    return f": the approval by {given.approver} {when}: have it given anew"


def _about(approval: Approval, loss: Loss) -> bool:
    return (approval.resource, approval.operation) == (loss.resource, loss.operation)


def _is_protected(resource: Mapping[str, Any]) -> bool:
    return bool(resource.get("custom", True) and (resource["type"] in PROTECTED or resource.get("protect")))


def _replaced(resource: Mapping[str, Any], declaration: Registration) -> str:
    """Why the provider would make it anew; empty if it would not, as far as can be foreseen."""
    if declaration.manifest is None:
        return ""
    was, old = applied(resource)
    new = key(declaration.manifest)
    if was != new:
        return f"{was} becomes {new}"
    changes = [change for each in difference({new: old}, {new: declaration.manifest}) for change in each.changes]
    return ", ".join(change.path for change in changes if change.effect is Effect.REPLACED)
