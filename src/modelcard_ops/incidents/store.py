"""Where incidents, their clocks and their messages are kept: one SQLite database, written before anything is done.

What is committed survives a `kill -9` and a power cut: a write-ahead log, synchronised with each commit. `hook` is
called by name at each point between two writes, and between a write and a send; tests end the process there.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = sqlite3.Row
Hook = Callable[[str], None]
VERSION = 1

SCHEMA = """
CREATE TABLE incidents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    severity TEXT NOT NULL,
    state TEXT NOT NULL,
    source TEXT NOT NULL,             -- alert or person: what a person opened, only a person closes
    opened_by TEXT NOT NULL,
    opened_at REAL NOT NULL,          -- seconds since the epoch, as all times here
    due_at REAL NOT NULL,             -- when somebody must have acknowledged
    acknowledged_at REAL,
    acknowledged_by TEXT,
    breached_at REAL,
    escalations INTEGER NOT NULL DEFAULT 0,
    resolved_at REAL,
    summary TEXT NOT NULL,
    impact TEXT NOT NULL,
    status_page_id TEXT
);
CREATE INDEX open_incidents ON incidents(state) WHERE state != 'resolved';
CREATE TABLE groups (
    incident INTEGER NOT NULL REFERENCES incidents(number),
    key TEXT NOT NULL,
    alert TEXT NOT NULL,
    firing INTEGER NOT NULL,          -- alerts of the group, as its last message had them
    more INTEGER NOT NULL DEFAULT 0,  -- of which so many are not kept one by one
    open INTEGER NOT NULL,
    PRIMARY KEY (incident, key)
);
CREATE UNIQUE INDEX one_incident_for_each_group ON groups(key) WHERE open;
CREATE TABLE expected (               -- alerts that a person said belong to the incident, before they came
    incident INTEGER NOT NULL REFERENCES incidents(number),
    alert TEXT NOT NULL,
    PRIMARY KEY (incident, alert)
);
CREATE TABLE alerts (
    incident INTEGER NOT NULL REFERENCES incidents(number),
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    firing INTEGER NOT NULL,
    starts_at REAL NOT NULL,
    ended_at REAL,                    -- the latest end that was told, also while it fires again
    labels TEXT NOT NULL,
    annotations TEXT NOT NULL,
    url TEXT NOT NULL,
    PRIMARY KEY (incident, key, fingerprint)
);
CREATE INDEX alerts_of_group ON alerts(key, fingerprint);
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident INTEGER NOT NULL REFERENCES incidents(number),
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    state TEXT NOT NULL,
    severity TEXT NOT NULL,
    summary TEXT NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX events_of_incident ON events(incident, id);
CREATE TABLE timers (
    incident INTEGER NOT NULL REFERENCES incidents(number),
    kind TEXT NOT NULL,
    due_at REAL NOT NULL,
    PRIMARY KEY (incident, kind)
);
CREATE INDEX timers_by_time ON timers(due_at);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident INTEGER NOT NULL REFERENCES incidents(number),
    sink TEXT NOT NULL,
    target TEXT NOT NULL,
    message TEXT NOT NULL,
    created_at REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending',  -- pending, sending, sent, given up
    attempts INTEGER NOT NULL DEFAULT 0,
    maybe_sent INTEGER NOT NULL DEFAULT 0,  -- an attempt ended without anybody knowing how
    not_before REAL NOT NULL,
    done_at REAL,
    error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX outbox_open ON outbox(sink, id) WHERE state IN ('pending', 'sending');
CREATE TABLE totals (                 -- what only ever grows, for the metrics
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name, label)
);
"""


class StoreError(Exception):
    """The database cannot be used."""


def no_fault(point: str, /) -> None:
    """What happens at a fault point, but in tests."""


class Store:
    """The database. One connection for all threads: a transaction takes milliseconds."""

    def __init__(self, file: Path, *, hook: Hook = no_fault) -> None:
        self.hook = hook
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=10)
            self._connection.row_factory = sqlite3.Row
            self._prepare(file)
        except sqlite3.Error as error:
            raise StoreError(
                f"{file}: cannot be opened ({error}): look at its volume and who may write to it"
            ) from None

    def _prepare(self, file: Path) -> None:
        execute = self._connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA foreign_keys = ON")
        execute("PRAGMA cache_size = -4096")  # KiB
        (version,) = execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StoreError(
                f"{file}: was written by a newer version ({version}, this is {VERSION}): deploy that again"
            )
        if version < VERSION:
            self._connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")

    @contextmanager
    def transaction(self, name: str) -> Iterator[None]:
        """All or nothing of what is written within."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.hook(f"{name}: before the commit")
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self.hook(f"{name}: after the commit")

    def all(self, query: str, *values: Any) -> list[Row]:
        """The rows of a query."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def first(self, query: str, *values: Any) -> Row | None:
        """The first row of a query."""
        with self._lock:
            found: Row | None = self._connection.execute(query, values).fetchone()
        return found

    def write(self, statement: str, *values: Any) -> int:
        """Executes a statement within a transaction; the id of a row that it inserts."""
        return self._connection.execute(statement, values).lastrowid or 0

    def count(self, name: str, label: str = "") -> None:
        """Adds one to a total."""
        self.write(
            "INSERT INTO totals VALUES (?, ?, 1) ON CONFLICT (name, label) DO UPDATE SET value = value + 1", name, label
        )

    def close(self) -> None:
        """Closes the database."""
        with self._lock:
            self._connection.close()
