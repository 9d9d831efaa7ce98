"""What is written about a set: its manifest, which is the commit, and later what a verification or a drill found."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modelcard_ops.backup.errors import BackupError

Count = Annotated[int, Field(ge=0)]
Kind = TypeVar("Kind", bound="Document")
Part = Literal["database", "uploads", "cluster", "prometheus"]


class Document(BaseModel):
    """Frozen, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Object(Document):
    """An object of the set: its key, its bytes as stored and their SHA-256."""

    key: str
    size: Count
    sha256: str


class DatabasePart(Document):
    """pgBackRest's backup, and a later point at which the number of rows of every table is known.

    `rows` are exact at `lsn`; where writers could not be held off for a moment they are None.
    """

    label: str
    type: str
    system_id: int
    version: str
    start_lsn: str
    stop_lsn: str
    stopped: datetime
    size: Count
    stored: Count
    lsn: str
    at: datetime  # by the database's clock
    timeline: int
    rows: dict[str, int] | None


class FilesPart(Document):
    """Files by content; the list itself is an object."""

    index: Object
    files: Count
    size: Count
    uploaded: Count  # bytes that no earlier set had


class ClusterPart(Document):
    """Cluster objects, for the recipient only."""

    objects: Object
    config_maps: Count
    secrets: Count


class Manifest(Document):
    """A set. `missing` says which optional parts could not be saved, and why: then it is partial."""

    format: Literal[1] = 1
    id: str
    token: Count
    tool: str
    started: datetime  # by the bucket's clock, like `finished`
    finished: datetime
    duration: float
    database: DatabasePart
    uploads: FilesPart
    cluster: ClusterPart | None
    prometheus: FilesPart | None
    missing: dict[Part, str]

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return not self.missing


class Tombstone(Document):
    """In place of a manifest: this set will never be."""

    abandoned: Literal[True] = True
    by: Count


class Copied(Document):
    """When uploads were last copied, and how many files there were."""

    at: datetime
    files: Count


class Verification(Document):
    """What reading a set back has found. Only `problems == []` with `sample == 100` counts for retention."""

    id: str
    at: datetime
    duration: float
    sample: Annotated[int, Field(ge=1, le=100)]
    blobs: Count
    size: Count
    problems: list[str]
    damaged: list[str]  # SHA-256 of blobs that the next run writes again

    @property
    def good(self) -> bool:
        """The whole set can be relied upon."""
        return not self.problems and self.sample == 100


class Drill(Document):
    """What a restore took, and what it found."""

    id: str
    at: datetime
    rto: float
    rpo: float
    rto_objective: float
    rpo_objective: float
    rows: Count
    uploads: Count
    problems: list[str]

    @property
    def passed(self) -> bool:
        """Everything was there, in time."""
        return not self.problems and self.rto <= self.rto_objective and self.rpo <= self.rpo_objective


def dump(document: Document) -> bytes:
    """With its own digest, so that a change of one bit is noticed."""
    body = orjson.dumps(document.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    return orjson.dumps({"sha256": hashlib.sha256(body).hexdigest(), "content": orjson.Fragment(body)})


def parse(body: bytes, kind: type[Kind], name: str) -> Kind:
    """Raises `BackupError` if it is not what was written."""
    try:
        outer = orjson.loads(body)
        content = orjson.dumps(outer["content"], option=orjson.OPT_SORT_KEYS)
        if hashlib.sha256(content).hexdigest() != outer["sha256"]:
            raise BackupError(f"{name}: is damaged: its digest is another")
        return kind.model_validate(outer["content"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
        raise BackupError(f"{name}: is damaged: {str(error).splitlines()[0]}") from None
