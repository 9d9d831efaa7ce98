"""pgBackRest: the repository of the database, which is encrypted by its own key and knows its own checksums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import orjson

from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.programs import run
from modelcard_ops.backup.settings import Settings

ANNOTATION = "set"
OUT_OF_ORDER = "is not later than latest backup label"  # pgBackRest, error 106


@dataclass(frozen=True, kw_only=True)
class DatabaseBackup:
    """A backup in the repository. `parents` are the labels that it needs; `set_id` is the set that it was made for."""

    label: str
    type: str
    parents: tuple[str, ...]
    set_id: str | None
    start_lsn: str
    stop_lsn: str
    stopped: datetime
    size: int
    stored: int
    damaged: bool
    system_id: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """Up to where the log is replayed. `exact`: to a point at which the number of rows is known."""

    kind: Literal["lsn", "time", "default"]
    value: str
    label: str
    exact: bool = False
    pause: bool = False

    def __str__(self) -> str:
        return self.label

    def pausing(self) -> Target:
        """The same, where the server stands still."""
        return replace(self, pause=True)

    def options(self) -> list[str]:
        """Of `restore`. A point of the log is where the next record begins, which is not wanted."""
        if self.kind == "default":
            return ["--type=default"]
        exclusive = ["--target-exclusive"] if self.kind == "lsn" else []
        action = "pause" if self.pause else "promote"
        return [f"--type={self.kind}", f"--target={self.value}", f"--target-action={action}", *exclusive]


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What there is: backups, oldest first. `prepared`: the database has a place in it."""

    prepared: bool
    backups: Sequence[DatabaseBackup]

    def of_set(self, set_id: str) -> DatabaseBackup | None:
        """The backup that was made for a set."""
        return next((each for each in reversed(self.backups) if each.set_id == set_id), None)


class PgBackRest:
    """Its commands, by the deployment's configuration file. Raises `BackupError` with pgBackRest's own message."""

    def __init__(self, settings: Settings) -> None:
        self.config, self.stanza = settings.pgbackrest_config, settings.stanza
        self._full_every = settings.full_every

    def backup(self, set_id: str, now: datetime) -> DatabaseBackup:
        """A full backup when the last one is old, else what has changed since that one. Removes nothing."""
        repository = self.repository()
        if not repository.prepared:
            self.create_stanza()
        fulls = [each for each in repository.backups if each.type == "full"]
        young = bool(fulls) and (now - fulls[-1].stopped).total_seconds() < self._full_every
        try:
            self._back_up("diff" if young else "full", set_id)
        except BackupError as error:
            # A newer full backup was deleted; its label is remembered, and a differential one's would come before it.
            if not young or OUT_OF_ORDER not in str(error):
                raise
            self._back_up("full", set_id)
        made = self.repository().of_set(set_id)
        if made is None:
            raise BackupError(f"pgBackRest has no backup for set {set_id}, although it said that it made one")
        if made.damaged:
            raise BackupError(f"backup {made.label}: pages of the database have wrong checksums: its disk is damaged")
        return made

    def _back_up(self, kind: str, set_id: str) -> None:
        self._run("backup", f"--type={kind}", "--no-expire-auto", "--start-fast", f"--annotation={ANNOTATION}={set_id}")

    def create_stanza(self) -> None:
        """Prepares the repository; does nothing if it is."""
        self._run("stanza-create")

    def check(self) -> None:
        """Has the server archive its log up to now, and waits for it."""
        self._run("check")

    def verify(self, label: str) -> list[str]:
        """Reads a backup and its log back; what is wrong with them."""
        output = self._run("verify", f"--set={label}", "--output=text")
        return _problems(output)

    def expire(self, labels: Sequence[str]) -> None:
        """Deletes backups and what depends on them."""
        for label in labels:
            self._run("expire", f"--set={label}")

    def expire_log(self, fulls: int) -> None:
        """Deletes the log from before the oldest of the full backups that are left."""
        self._run("expire", f"--repo1-retention-full={fulls}", f"--repo1-retention-archive={fulls}")

    def restore(self, label: str, data: Path, target: Target) -> None:
        """Lays out the files of a data directory that recovers up to `target` when it is started."""
        self._run(
            "restore", "--reset-pg1-host", f"--pg1-path={data}", f"--set={label}", *target.options(),
        )  # fmt: skip

    def repository(self) -> Repository:
        """What there is now."""
        stanzas = orjson.loads(self._run("info", "--output=json"))
        stanza: dict[str, Any] = stanzas[0] if stanzas else {}
        systems = {each["id"]: each for each in stanza.get("db", ())}
        return Repository(
            prepared=bool(systems),
            backups=[_backup(each, systems) for each in stanza.get("backup", ())],
        )

    def _run(self, command: str, *options: str) -> str:
        return run("pgbackrest", f"--config={self.config}", f"--stanza={self.stanza}", *_quiet(options), command)


def _quiet(options: tuple[str, ...]) -> list[str]:
    """Errors on standard output would be mixed with what is read from there."""
    console = "off" if any(each.startswith("--output") for each in options) else "warn"
    return [f"--log-level-console={console}", "--log-level-stderr=error", "--log-level-file=off", *options]


def _backup(entry: dict[str, Any], systems: dict[int, dict[str, Any]]) -> DatabaseBackup:
    system = systems[entry["database"]["id"]]
    return DatabaseBackup(
        label=entry["label"],
        type=entry["type"],
        parents=tuple(entry.get("reference") or ()),
        set_id=(entry.get("annotation") or {}).get(ANNOTATION),
        start_lsn=entry["lsn"]["start"],
        stop_lsn=entry["lsn"]["stop"],
        stopped=datetime.fromtimestamp(entry["timestamp"]["stop"], UTC),
        size=entry["info"]["size"],
        stored=entry["info"]["repository"]["delta"],
        damaged=bool(entry.get("error")),
        system_id=system["system-id"],
        version=system["version"],
    )


def _problems(output: str) -> list[str]:
    """From the text of `verify`: counts of what is wrong, by backup and archive."""
    found = []
    where = ""
    for line in (each.strip() for each in output.splitlines()):
        if line.startswith(("backup:", "archiveId:")):
            where = line.split(",")[0]
        wrong = [
            part
            for part in line.split(", ")
            if part.startswith(("missing:", "checksum invalid:", "size invalid:", "other:"))
        ]
        bad = [part for part in wrong if not part.endswith(": 0")]
        if bad:
            found.append(f"database: {where}: {', '.join(bad)}")
        elif line.startswith("status: error") or "ERROR" in line:
            found.append(f"database: {line}")
    return found
