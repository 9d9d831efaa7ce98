"""One run at a time. The lease is an object; whoever takes it over from a dead run closes that run's door first.

Each holder has a number of its own that only grows, its fencing token, which is part of the name of its set. S3 cannot
compare a token with each write, so the one write that matters is guarded instead: the successor creates the manifest of
the set that its predecessor was making, as a tombstone. A predecessor that was only slow finds its commit refused.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from modelcard_ops.backup.bucket import Bucket, Refused
from modelcard_ops.backup.errors import BackupError, Locked

KEY = "lease.json"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """What the object says. Times are the bucket's, in ISO form; `set_id` is the set that the holder is making."""

    token: int
    purpose: str
    owner: str
    set_id: str | None
    since: str
    until: str
    released: bool = False

    def body(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self)).encode()


class Lease:
    """Held by this process until `release`; renewed by a thread."""

    def __init__(self, bucket: Bucket, holder: Holder, etag: str, seconds: int) -> None:
        self._bucket, self._holder, self._etag, self._seconds = bucket, holder, etag, seconds
        self._lost = threading.Event()
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    @property
    def token(self) -> int:
        """Larger than that of every holder before."""
        return self._holder.token

    @property
    def set_id(self) -> str:
        """The name of the set that this holder may commit."""
        return self._holder.set_id or ""

    def check(self) -> None:
        """Renews it now. Raises `Locked` if somebody has taken it over."""
        if not self._lost.is_set():
            self._renew()
        if self._lost.is_set():
            raise Locked(
                "another run has taken over the lease, since this one was silent for too long: nothing was done"
            )

    def _keep(self) -> None:
        while not self._done.wait(self._seconds / 3) and not self._lost.is_set():
            try:
                self._renew()
            except BackupError:
                continue  # the next attempt or `check` will tell

    def _renew(self, *, released: bool = False) -> None:
        with self._lock:
            until = self._bucket.now() + timedelta(seconds=self._seconds)
            holder = replace(self._holder, until=until.isoformat(), released=released)
            try:
                self._etag = self._bucket.put(KEY, holder.body(), replaces=self._etag)
            except Refused:
                stored = self._bucket.get(KEY)  # a renewal that timed out may have been carried out
                if stored is None or stored.body != holder.body():
                    self._lost.set()
                    return
                self._etag = stored.etag
            self._holder = holder

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        if not self._lost.is_set():
            self._renew(released=True)


def name_of(at: datetime, token: int) -> str:
    """`20260131T020000Z-000042`: for people the time, for order the token."""
    return f"{at:%Y%m%dT%H%M%SZ}-{token:06d}"


@contextmanager
def hold(
    bucket: Bucket, purpose: str, seconds: int, close: Callable[[str, int], None], *, makes_set: bool = False
) -> Iterator[Lease]:
    """The lease, for as long as the block runs. `close(set_id, token)` sees to it that a dead run's set never appears.

    Raises `Locked` while another run holds it.
    """
    now = bucket.now()
    stored = bucket.get(KEY)
    before = Holder(**json.loads(stored.body)) if stored else None
    if before is not None and not before.released and datetime.fromisoformat(before.until) > now:
        raise Locked(
            f"{before.purpose} by {before.owner} is at work since {before.since}, with a lease until {before.until}:"
            " wait for it; if it is dead, the next run takes over then"
        )
    token = before.token + 1 if before else 1
    holder = Holder(
        token=token,
        purpose=purpose,
        owner=f"{socket.gethostname()}/{os.getpid()}",
        set_id=name_of(now, token) if makes_set else None,
        since=now.isoformat(),
        until=(now + timedelta(seconds=seconds)).isoformat(),
    )
    try:
        etag = bucket.put(KEY, holder.body(), replaces=stored.etag) if stored else bucket.create(KEY, holder.body())
    except Refused:
        raise Locked("another run was quicker to take the lease: wait for it") from None
    with Lease(bucket, holder, etag, seconds) as lease:
        if before is not None and not before.released and before.set_id is not None:
            close(before.set_id, token)
        yield lease
