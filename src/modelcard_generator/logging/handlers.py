"""Where records go: standard output, and files of which no record is lost silently."""

from __future__ import annotations

import logging
import os
import select
from contextlib import suppress
from typing import Protocol

from modelcard_generator.logging.files import SharedFile
from modelcard_generator.monitoring import metrics

STDOUT, STDERR = 1, 2
LOST = "records are lost until it works again"


class LineFormatter(Protocol):
    """Makes one line of a record, with its newline. Never raises."""

    def line(self, record: logging.LogRecord, *, log: str | None = None) -> bytes:
        """`log` says which log the record belongs to."""


class StdoutHandler(logging.Handler):
    """One write for each record, so that the lines of worker processes do not mix."""

    def __init__(self, formatter: LineFormatter) -> None:
        super().__init__()
        self._line = formatter.line
        self._trouble = Trouble("standard output")

    def emit(self, record: logging.LogRecord) -> None:
        """Standard output that is gone is said once, on standard error."""
        try:
            write_stdout(self._line(record))
        except OSError as error:
            self._trouble.begins(error, LOST)
        else:
            if self._trouble.lasts:
                self._trouble.ends()


class FileHandler(logging.Handler):
    """Into a file, and to standard output with `"log": NAME`, whence it is shipped (docs/decisions/0014).

    If one of the two fails, that is said once on standard error; what the file has not, is counted.
    """

    def __init__(self, name: str, file: SharedFile, formatter: LineFormatter) -> None:
        super().__init__()
        self.file = file
        self._log = name
        self._line = formatter.line
        self._lost = metrics.log_records_lost_total.labels(log=name)
        self._writing = Trouble(str(file.path))
        self._rotating = Trouble(f"{file.path} (rotation)")
        self._shipping = Trouble(f"standard output, for {file.path}")

    def emit(self, record: logging.LogRecord) -> None:
        """Tries the file anew each time, so that it is written as soon as it can be."""
        line = self._line(record, log=self._log)
        self._ship(line)
        try:
            self.file.append(line)
        except OSError as error:
            self._lost.inc()
            self._writing.begins(error, f'its records are on standard output alone, with "log": "{self._log}"')
            return
        if self._writing.lasts:
            self._writing.ends()
        if self.file.not_rotated is not None:
            self._rotating.begins(self.file.not_rotated, "it grows until it can be renamed")
        elif self._rotating.lasts:
            self._rotating.ends()

    def _ship(self, line: bytes) -> None:
        try:
            write_stdout(line)
        except OSError as error:
            self._shipping.begins(error, "its records are in the file alone")
        else:
            if self._shipping.lasts:
                self._shipping.ends()

    def close(self) -> None:
        """Of the file as well."""
        self.file.close()
        super().close()


class Trouble:
    """Says on standard error when something stops working and when it works again; not what happens in between."""

    def __init__(self, subject: str) -> None:
        self._subject = subject
        self.lasts = False

    def begins(self, error: OSError, consequence: str) -> None:
        """Says so, once."""
        if not self.lasts:
            self.lasts = True
            _say(f"{self._subject}: {error.strerror or error}; {consequence}")

    def ends(self) -> None:
        """Says so."""
        self.lasts = False
        _say(f"{self._subject}: works again")


def _say(text: str) -> None:
    with suppress(OSError):  # nobody is left to be told
        os.write(STDERR, f"{text}\n".encode(errors="backslashreplace"))


def write_stdout(line: bytes) -> None:
    """One write, unless standard output takes less at a time."""
    rest: bytes | memoryview = line
    while True:
        try:
            written = os.write(STDOUT, rest)
        except BlockingIOError:
            select.select([], [STDOUT], [])
            continue
        if written == len(rest):
            return
        rest = memoryview(rest)[written:]
