"""What can go wrong with a local cluster, said in one line."""

import json
import re
import shutil
from pathlib import Path

from infra.errors import UserError

LAST_BYTES = 20_000
NOT_RUNNING = "local: the local control plane does not run: start it with `make up`"
PORT_TAKEN = re.compile(r":(\d+): bind: address already in use")


class LocalClusterError(UserError):
    """The local cluster cannot be had; `data_is_lost` when what it held cannot be started again."""

    def __init__(self, message: str, *, data_is_lost: bool = False) -> None:
        super().__init__(message)
        self.data_is_lost = data_is_lost


def failure_in_log(component: str, log: Path) -> LocalClusterError:
    """The error that ended a component, from the end of its log."""
    text = _end_of(log)
    if "no space left on device" in text:
        return LocalClusterError(f"{component} stopped: the disk of {log.parent} is full: free some space (log: {log})")
    if port := PORT_TAKEN.search(text):
        return LocalClusterError(
            f"{component} stopped: port {port[1]} is taken by another program: stop that, or give the cluster another"
            f" port with `make down` and `make up` (log: {log})"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = _message(lines[-1]) if lines else "it wrote no log"
    return LocalClusterError(f"{component} stopped: {last} (log: {log})", data_is_lost=True)


def check_space(folder: Path, needed: int) -> None:
    """Raise when the disk of `folder` has fewer bytes free than are needed."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise LocalClusterError(
            f"the disk of {folder} is full: {free // 2**20} MiB are free, {needed // 2**20} MiB are needed"
        )


def _end_of(log: Path) -> str:
    if not log.exists():
        return ""
    return log.read_bytes()[-LAST_BYTES:].decode(errors="replace")


def _message(line: str) -> str:
    """The words of a log line; etcd writes JSON."""
    try:
        entry = json.loads(line)
        return ": ".join(str(entry[field]) for field in ("msg", "error") if field in entry)
    except (ValueError, TypeError):
        return line
