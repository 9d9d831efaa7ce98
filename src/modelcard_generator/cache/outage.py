"""Redis that does not answer costs little: after a failure it is left alone for a moment, and the log says so once."""

from __future__ import annotations

import logging
import threading
import time

PAUSE = 1.0  # s; who waits for a timeout waits once a second, not once a request

logger = logging.getLogger("cache")


class Outage:
    """Whether Redis may be asked, and since when it may not. For threads and tasks alike.

    `what` is the log's word for what does not work.
    """

    def __init__(self, what: str, *, pause: float = PAUSE) -> None:
        self.what = what
        self.pause = pause
        self._next_try: float | None = None  # None while all is well
        self._began = 0.0
        self._lock = threading.Lock()

    def may_ask(self) -> bool:
        """False during the pause; after it one caller may try, the others wait for what comes of it."""
        if self._next_try is None:
            return True
        with self._lock:
            now = time.monotonic()
            if self._next_try is None:
                return True
            if now < self._next_try:
                return False
            self._next_try = now + self.pause
            return True

    def failed(self, error: BaseException) -> None:
        """Begins the pause again; logged when it is the first."""
        with self._lock:
            now = time.monotonic()
            if self._next_try is None:
                self._began = now
                logger.warning("%s, the service goes on without: %s", self.what, error)
            self._next_try = now + self.pause

    def answered(self) -> None:
        """Ends the outage, if there is one; logged."""
        if self._next_try is None:
            return
        with self._lock:
            if self._next_try is not None:
                self._next_try = None
                logger.warning("%s: over after %.1f s", self.what, time.monotonic() - self._began)
