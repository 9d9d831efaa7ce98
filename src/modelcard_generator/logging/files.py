"""The files of the audit trail that stay in the pod, each written by all worker processes at once.

A line is one write to a file opened with O_APPEND, which Linux does not mix with another. A full file is renamed
(`audit.log` becomes `audit.log.1`) by the one process that holds the lock; the others see by the inode that theirs has
moved. It is never truncated: whoever reads it finds again where he was.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
BACKUPS = 5  # (1 + 5) x 10 MiB x 2 logs = 120 MiB, of a volume of 256 MiB
# Another's write that crosses the end of a page is seen half done (Linux, generic_perform_write), for a microsecond. If
# it still is after this many looks, the worst is an empty line, which Filebeat ignores.
LOOKS = 10
MODE = 0o640  # others in the pod read it by its group


class SharedFile:
    """One log file. `append` raises `OSError` if the line is not in the file, and tries everything anew next time.

    `not_rotated` says why a full file still is written, until it has been rotated.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, backups: int = BACKUPS) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.backups = backups
        self.not_rotated: OSError | None = None
        self._descriptor = -1
        self._identity = (-1, -1)

    def append(self, line: bytes) -> None:
        """Writes one line, which ends with a newline."""
        size = self._current_size()
        if self._is_full(size, line):
            self._rotate(line)
            size = self._current_size()
        else:
            self.not_rotated = None
        if size and self._ends_within_a_line(size):
            line = b"\n" + line
        # Only its newline is missing from a line that is one byte short, and the next line brings that.
        if os.write(self._descriptor, line) < len(line) - 1 and os.write(self._descriptor, b"\n" + line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """The next `append` opens it again."""
        if self._descriptor >= 0:
            descriptor, self._descriptor, self._identity = self._descriptor, -1, (-1, -1)
            os.close(descriptor)

    def _is_full(self, size: int, line: bytes) -> bool:
        return size > 0 and size + len(line) > self.max_bytes

    def _ends_within_a_line(self, size: int) -> bool:
        """Where space ran out within a line, the next must not continue it, whichever process left it there."""
        for _ in range(LOOKS):
            if os.pread(self._descriptor, 1, size - 1) == b"\n":
                return False
            os.sched_yield()
            size = os.fstat(self._descriptor).st_size
        return True

    def _current_size(self) -> int:
        """Of the file of this name, which is then the one that is open. 0 for what is no regular file."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return self._open()
        if (there.st_dev, there.st_ino) != self._identity:
            return self._open()
        return there.st_size

    def _open(self) -> int:
        self.close()
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, MODE)
        opened = os.fstat(self._descriptor)
        self._identity = opened.st_dev, opened.st_ino
        if not stat.S_ISREG(opened.st_mode):
            return 0
        if stat.S_IMODE(opened.st_mode) != MODE:
            with suppress(PermissionError):  # the umask took the group's bit; or it is another's file
                os.fchmod(self._descriptor, MODE)
        return opened.st_size

    def _rotate(self, line: bytes) -> None:
        """Or leaves it to the process that does; if it cannot be done, a file that grows is better than a lost line."""
        try:
            with self._lock() as locked:
                # Another process may have been first.
                if locked and self._is_full(self._current_size(), line):
                    self._shift()
                    self.not_rotated = None
        except OSError as error:
            self.not_rotated = error

    def _shift(self) -> None:
        names = [self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self.backups + 1)]
        # Up to the first gap, so that a process that was killed here does not cost the oldest file.
        free = next((number for number, name in enumerate(names) if not name.exists()), len(names) - 1)
        for number in range(free, 0, -1):
            names[number - 1].rename(names[number])
        self.path.rename(names[0])

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        """Whether this process has it. Never waits: who does not rotate writes on."""
        lock = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, MODE)
        try:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                locked = True
            except BlockingIOError:
                locked = False
            yield locked
        finally:
            os.close(lock)
