"""The processes of a local cluster, recognised by the path that they were started with.

Process ids in files are not trusted: after a restart of the computer they belong to somebody else.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .failures import LocalClusterError
from .waiting import wait_until

PROC = Path("/proc")


def running(programs: Path) -> dict[str, int]:
    """The process id of every running program that was started from the folder `programs`, by its name."""
    prefix = f"{programs}/"
    started = ((pid, command.removeprefix(prefix)) for pid, command in _commands() if command.startswith(prefix))
    return {command.split(" ", maxsplit=1)[0]: pid for pid, command in started}


def started_with(file: Path) -> list[int]:
    """The process ids of all that have this file among their arguments."""
    return [pid for pid, command in _commands() if str(file) in command.split(" ")]


def kill(programs: Path) -> None:
    """End every process that was started from the folder `programs`, and return when none is left."""

    def none_left() -> bool:
        processes = running(programs)
        for pid in processes.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # etcd's log makes this safe; nothing else keeps anything
        return not processes

    if not wait_until(none_left, timeout=10):
        left = ", ".join(f"{name} ({pid})" for name, pid in running(programs).items())
        raise LocalClusterError(f"these processes do not end: {left}")


def _commands() -> Iterator[tuple[int, str]]:
    if not PROC.is_dir():  # macOS
        listing = subprocess.run(
            ["/bin/ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True
        )
        for line in listing.stdout.splitlines():
            pid, _, command = line.strip().partition(" ")
            yield int(pid), command.strip()
        return
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it ended meanwhile
                yield int(entry.name), os.fsdecode((entry / "cmdline").read_bytes()).replace("\0", " ")
