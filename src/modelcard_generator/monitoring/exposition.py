"""What a scrape gets: the metrics of this process, or of all workers of this pod added up.

With several workers, each writes to files named by its pid in the folder `PROMETHEUS_MULTIPROC_DIR`, which the process
that starts them makes. prometheus_client looks at the variable when it is imported, so a worker has to be born with it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from modelcard_generator.monitoring.metrics import MULTIPROCESS_DIR

BEGINNING = 10.0  # seconds that a worker may take from making a file to mapping it; it takes microseconds


def prepare_directory() -> Path:
    """Makes the folder that workers share, exported to those started from now on, and removed when this process exits.

    Raises `OSError` if there is nowhere to make it.
    """
    directory = Path(tempfile.mkdtemp(prefix="modelcard-metrics-"))
    os.environ[MULTIPROCESS_DIR] = str(directory)
    atexit.register(_remove, directory, of=os.getpid())
    return directory


def _remove(directory: Path, *, of: int) -> None:
    if os.getpid() == of:  # a fork inherits what its parent does at exit
        shutil.rmtree(directory, ignore_errors=True)


def expose(accept: str = "") -> tuple[bytes, str]:
    """The body and its content type: text format 0.0.4, or a newer one or OpenMetrics if the header `Accept` says so.

    Of a worker that died, its counters and histograms stay and its live gauges go. Reads files: not for the event loop.
    """
    encode, content_type = choose_encoder(accept)
    directory = os.environ.get(MULTIPROCESS_DIR)
    if directory is None:
        return encode(REGISTRY), content_type
    forget_dead_workers(Path(directory))
    registry = CollectorRegistry()
    registry.register(_Workers(Path(directory)))
    return encode(registry), content_type


class _Workers(Collector):
    """Adds up the files of all workers, but for those that are empty: somebody is making them just now."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        files = []
        for file in self._directory.glob("*.db"):
            with contextlib.suppress(FileNotFoundError):  # another worker forgot a dead one's gauges meanwhile
                if file.stat().st_size:
                    files.append(str(file))
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)
        return merged


def forget_dead_workers(directory: Path) -> None:
    """Removes the live gauges of workers that are no more, however they ended.

    A worker is alive as long as the process of its pid has its file mapped, so that a stranger who was given the pid of
    a dead worker does not pass for it. (A worker that was given one begins afresh: `monitoring/metrics.py`.)
    """
    for file in directory.glob("gauge_live*_*.db"):
        if not _belongs_to(int(file.stem.rpartition("_")[2]), file):
            file.unlink(missing_ok=True)  # as mark_process_dead does, but another worker may be quicker


def _belongs_to(pid: int, file: Path) -> bool:
    if not psutil.pid_exists(pid):
        return False
    try:
        mapped = Path(f"/proc/{pid}/maps").read_bytes()
        if not mapped:  # a zombie
            return False
        # A worker that begins makes the file a moment before it maps it.
        return os.fsencode(file.resolve()) in mapped or time.time() - file.stat().st_mtime < BEGINNING
    except FileNotFoundError:  # the file or the process went meanwhile, or this system has no /proc, as macOS
        return psutil.pid_exists(pid)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
