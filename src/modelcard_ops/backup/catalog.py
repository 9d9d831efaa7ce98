"""Which sets there are: what has no manifest does not exist. Their order is that of the fencing tokens, no clock's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from modelcard_ops.backup.bucket import Bucket, Refused
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.manifest import Drill, Manifest, Tombstone, Verification, dump, parse

FOLDER = "sets/"
MANIFEST, VERIFICATION = "manifest.json", "verification.json"
DRILLS = "drills/"
MANIFEST_KEY = re.compile(rf"{FOLDER}(\d{{8}}T\d{{6}}Z-\d{{6,}})/{re.escape(MANIFEST)}")


def key_of(set_id: str, name: str) -> str:
    """Where an object of a set is."""
    return f"{FOLDER}{set_id}/{name}"


def token_of(set_id: str) -> int:
    """The order of sets."""
    return int(set_id.rpartition("-")[2])


@dataclass(frozen=True, kw_only=True)
class BackupSet:
    """A committed set and what is known of it. `manifest` is None if it is damaged; `problem` then says how."""

    id: str
    manifest: Manifest | None
    verification: Verification | None
    problem: str | None = None

    @property
    def counts(self) -> bool:
        """Retention relies only on what is complete and was read back."""
        return (
            self.manifest is not None
            and self.manifest.complete
            and self.verification is not None
            and self.verification.good
        )

    @property
    def state(self) -> str:
        """For people."""
        if self.manifest is None:
            return "damaged"
        if self.verification is not None and self.verification.problems:
            return "bad"
        if not self.manifest.complete:
            return "partial"
        return "verified" if self.counts else "not verified"


class Catalog:
    """The sets of a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def ids(self) -> Sequence[str]:
        """Of all manifests and tombstones, oldest first."""
        found = (MANIFEST_KEY.fullmatch(entry.key) for entry in self.bucket.list(FOLDER))
        return sorted((match[1] for match in found if match), key=token_of)

    def sets(self) -> Sequence[BackupSet]:
        """Oldest first."""
        found = (self._read(set_id) for set_id in self.ids())
        return [each for each in found if each is not None]

    def newest(self) -> BackupSet | None:
        """The newest whose manifest can be read."""
        for set_id in reversed(self.ids()):
            found = self._read(set_id)
            if found is not None and found.manifest is not None:
                return found
        return None

    def one(self, set_id: str) -> Manifest:
        """A set by its name. Raises `BackupError`."""
        found = self._read(set_id) if re.fullmatch(r"[\w-]+", set_id) else None
        if found is None:
            raise BackupError(f"there is no set {set_id}: `mcops backup list` shows those that are")
        if found.manifest is None:
            raise BackupError(found.problem or f"set {set_id} is damaged")
        return found.manifest

    def _read(self, set_id: str) -> BackupSet | None:
        key = key_of(set_id, MANIFEST)
        stored = self.bucket.get(key)
        if stored is None or is_tombstone(stored.body):
            return None
        try:
            manifest = parse(stored.body, Manifest, self.bucket.address(key))
        except BackupError as error:
            return BackupSet(id=set_id, manifest=None, verification=None, problem=str(error))
        return BackupSet(id=set_id, manifest=manifest, verification=self.verification(set_id))

    def verification(self, set_id: str) -> Verification | None:
        """What was found last; one that is damaged counts as none."""
        key = key_of(set_id, VERIFICATION)
        stored = self.bucket.get(key)
        try:
            return parse(stored.body, Verification, self.bucket.address(key)) if stored else None
        except BackupError:
            return None

    def commit(self, manifest: Manifest) -> None:
        """Makes a set exist. Raises `Refused` if it was closed meanwhile."""
        self.bucket.create(key_of(manifest.id, MANIFEST), dump(manifest))

    def close(self, set_id: str, token: int) -> None:
        """Sees to it that a set that is not there never will be."""
        try:
            self.bucket.create(key_of(set_id, MANIFEST), dump(Tombstone(by=token)))
        except Refused:
            return  # it was committed in time

    def record(self, found: Verification) -> None:
        """Keeps what a verification found."""
        self.bucket.put(key_of(found.id, VERIFICATION), dump(found))

    def record_drill(self, drill: Drill, at: datetime) -> None:
        """Keeps what a drill found."""
        self.bucket.put(f"{DRILLS}{at:%Y%m%dT%H%M%SZ}.json", dump(drill))

    def drills(self) -> Sequence[Drill]:
        """The last ten, oldest first."""
        keys = sorted(entry.key for entry in self.bucket.list(DRILLS))[-10:]
        return [parse(self.bucket.read(key), Drill, self.bucket.address(key)) for key in keys]


def is_tombstone(body: bytes) -> bool:
    """Whether a manifest's place is taken by a tombstone."""
    try:
        parse(body, Tombstone, "tombstone")
    except BackupError:
        return False
    return True
