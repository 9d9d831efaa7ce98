"""The files of several processes: no line is lost, torn or doubled, whatever happens to the disk."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from modelcard_generator.logging import config
from modelcard_generator.logging.files import SharedFile
from tests.app.servers import eventually
from tests.app.test_logging import parsed, quiet_logging  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("quiet_logging")
SOURCE = Path(config.__file__).parents[2]
WRITERS, RECORDS, MAX_BYTES = 4, 5000, 64 * 1024

WRITE_MANY = """
import logging, sys, time
from pathlib import Path
from modelcard_generator.logging.config import audit_event, setup_logging

folder, writer, records, max_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
setup_logging(folder, max_bytes=max_bytes, backups=500)
(folder / f"ready{writer}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
for number in range(records):
    audit_event("test", "x" * (number % 150), writer=writer, number=number)
"""

FILL_UP = """
import resource, sys
from pathlib import Path
from modelcard_generator.logging.config import audit_event, setup_logging

setup_logging(Path(sys.argv[1]))
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
limit(2000)
for number in range(20):
    audit_event("test", "before", number=number)
limit(resource.RLIM_INFINITY)
for number in range(20, 25):
    audit_event("test", "after", number=number)
from prometheus_client import REGISTRY
print(int(REGISTRY.get_sample_value("modelcard_log_records_lost_total", {"log": "audit"})))
"""


def python(code: str, *args: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out, err


def written_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if re.fullmatch(r"audit\.log(\.\d+)?", path.name)]


def lost(log: str = "audit") -> float:
    return REGISTRY.get_sample_value("modelcard_log_records_lost_total", {"log": log}) or 0


def event(number: int) -> None:
    config.audit_event("test", "event", number=number)


def numbers(lines: str | bytes) -> list[int]:
    return [line["number"] for line in parsed(lines)]


@pytest.fixture
def folder(tmp_path) -> Path:
    config.setup_logging(tmp_path)
    return tmp_path


def test_several_processes_lose_tear_and_double_no_line(tmp_path):
    writers = [python(WRITE_MANY, tmp_path, writer, RECORDS, MAX_BYTES) for writer in range(WRITERS)]
    eventually(lambda: len(list(tmp_path.glob("ready*"))) == WRITERS)
    (tmp_path / "go").touch()
    printed = [finished(writer) for writer in writers]
    assert [(numbers(out), err) for out, err in printed] == [(list(range(RECORDS)), "")] * WRITERS
    files = written_files(tmp_path)
    # An empty line is none: Filebeat ignores it. `parsed` fails at a torn one.
    lines = [line for path in files for line in parsed(re.sub(rb"(?m)^\n", b"", path.read_bytes()))]
    seen = Counter((line["writer"], line["number"]) for line in lines)
    assert seen == {(writer, number): 1 for writer in range(WRITERS) for number in range(RECORDS)}
    # One process renames each file, once.
    sizes = [path.stat().st_size for path in files if path.name != "audit.log"]
    assert len(sizes) > 20
    assert min(sizes) > MAX_BYTES - 500


def test_threads_of_one_process_share_a_file(tmp_path):
    config.setup_logging(tmp_path, max_bytes=10_000, backups=500)
    threads = [threading.Thread(target=lambda: [event(number) for number in range(300)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = Counter(number for path in written_files(tmp_path) for number in numbers(path.read_bytes()))
    assert seen == dict.fromkeys(range(300), 4)


def test_no_more_than_the_backups_are_kept(tmp_path):
    file = SharedFile(tmp_path / "audit.log", max_bytes=100, backups=3)
    for number in range(20):
        file.append(f"{number:059}\n".encode())
    assert {path.name: int(path.read_text()) for path in written_files(tmp_path)} == {
        "audit.log": 19, "audit.log.1": 18, "audit.log.2": 17, "audit.log.3": 16,
    }  # fmt: skip


def test_a_process_killed_between_two_renames_costs_no_file(tmp_path):
    file = SharedFile(tmp_path / "audit.log", max_bytes=100, backups=3)
    for number in range(4):
        file.append(f"{number:059}\n".encode())
    (tmp_path / "audit.log.2").rename(tmp_path / "kept")
    file.append(b"4\n" * 30)
    assert (tmp_path / "audit.log.3").exists()
    assert int((tmp_path / "audit.log.2").read_text()) == 2


def test_a_line_longer_than_a_file_is_written(tmp_path):
    file = SharedFile(tmp_path / "audit.log", max_bytes=10, backups=3)
    for _ in range(2):
        file.append(b"x" * 99 + b"\n")
    assert (tmp_path / "audit.log").stat().st_size == (tmp_path / "audit.log.1").stat().st_size == 100


def test_a_rotation_by_another_process_is_followed(tmp_path):
    one, two = (SharedFile(tmp_path / "audit.log") for _ in range(2))
    one.append(b"1\n")
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    one.append(b"2\n")
    two.append(b"3\n")
    assert (tmp_path / "audit.log").read_bytes() == b"2\n3\n"


def test_who_cannot_have_the_lock_writes_on(tmp_path):
    code = (
        "import fcntl, sys; fcntl.lockf(f := open(sys.argv[1], 'w'), fcntl.LOCK_EX); print('held', flush=True); input()"
    )
    hold = [sys.executable, "-c", code, tmp_path / ".audit.log.lock"]
    with subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        file = SharedFile(tmp_path / "audit.log", max_bytes=10)
        for _ in range(3):
            file.append(b"12345678\n")
        assert (tmp_path / "audit.log").read_bytes() == b"12345678\n" * 3
        holder.communicate(b"\n")
    file.append(b"12345678\n")
    assert (tmp_path / "audit.log").read_bytes() == b"12345678\n"


def test_the_group_may_read_whatever_the_umask_is(tmp_path):
    before = os.umask(0o077)
    try:
        SharedFile(tmp_path / "audit.log").append(b"x\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "audit.log").stat().st_mode) == 0o640


def test_a_line_is_not_continued_by_the_next(tmp_path):
    (tmp_path / "audit.log").write_bytes(b'{"torn":')
    file = SharedFile(tmp_path / "audit.log")
    file.append(b"1\n")
    file.append(b"2\n")
    assert (tmp_path / "audit.log").read_bytes() == b'{"torn":\n1\n2\n'


def test_a_line_without_its_newline_is_not_written_twice(tmp_path, monkeypatch):
    file = SharedFile(tmp_path / "audit.log")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:-1]))
    file.append(b"1\n")
    monkeypatch.undo()
    file.append(b"2\n")
    assert (tmp_path / "audit.log").read_bytes() == b"1\n2\n"


def test_a_disk_that_fills_up_within_a_line_loses_no_record(tmp_path):
    out, err = finished(python(FILL_UP, tmp_path))
    *shipped, counted = out.splitlines()
    in_file, torn = [], 0
    for line in (tmp_path / "audit.log").read_bytes().splitlines():
        try:
            in_file.append(json.loads(line)["number"])
        except ValueError:
            torn += 1
    on_stdout = [json.loads(line) for line in shipped]
    assert {line["log"] for line in on_stdout} == {"audit"}
    assert [line["number"] for line in on_stdout] == list(range(25))
    assert max(Counter(in_file).values()) == 1
    assert torn <= 1
    assert in_file[-5:] == list(range(20, 25))
    assert int(counted) == 25 - len(in_file) > 5
    assert [line.rpartition("audit.log: ")[2] for line in err.splitlines()] == [
        'File too large; its records are on standard output alone, with "log": "audit"',
        "works again",
    ]


def test_a_full_disk_leaves_records_on_standard_output(tmp_path, capfd):
    (tmp_path / "audit.log").symlink_to("/dev/full")
    config.setup_logging(tmp_path)
    before = lost()
    for number in range(3):
        event(number)
    out, err = capfd.readouterr()
    assert [(line["number"], line["log"]) for line in parsed(out)] == [(0, "audit"), (1, "audit"), (2, "audit")]
    assert err.count("\n") == 1
    assert "No space left on device" in err
    assert lost() == before + 3
    (tmp_path / "audit.log").unlink()
    event(3)
    event(4)
    assert numbers((tmp_path / "audit.log").read_bytes()) == [3, 4]
    out, err = capfd.readouterr()
    assert (numbers(out), err) == ([3, 4], f"{tmp_path}/audit.log: works again\n")


def test_a_folder_that_is_missing_is_tried_again(tmp_path, capfd):
    config.setup_logging(tmp_path / "logs")
    event(0)
    config.failed_login("no token", None)
    out, err = capfd.readouterr()
    assert [line["log"] for line in parsed(out)] == ["audit", "security"]
    assert err.count("No such file or directory") == err.count("\n") == 2
    (tmp_path / "logs").mkdir()
    event(1)
    assert numbers((tmp_path / "logs" / "audit.log").read_bytes()) == [1]


def test_a_folder_in_the_files_place_is_said(folder, capfd):
    event(0)
    (folder / "audit.log").unlink()
    (folder / "audit.log").mkdir()
    event(1)
    out, err = capfd.readouterr()
    assert numbers(out) == [0, 1]
    assert "Is a directory" in err
    (folder / "audit.log").rmdir()
    event(2)
    assert numbers((folder / "audit.log").read_bytes()) == [2]


def test_a_file_that_somebody_removed_is_made_anew(folder):
    event(0)
    (folder / "audit.log").unlink()
    event(1)
    assert numbers((folder / "audit.log").read_bytes()) == [1]


def test_a_rotation_that_fails_is_said_and_loses_no_record(tmp_path, capfd):
    config.setup_logging(tmp_path, max_bytes=500, backups=1)
    (tmp_path / "audit.log.1").mkdir()
    for number in range(10):
        event(number)
    assert numbers((tmp_path / "audit.log").read_bytes()) == list(range(10))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"{tmp_path}/audit.log (rotation): Is a directory")
    (tmp_path / "audit.log.1").rmdir()
    event(10)
    assert numbers((tmp_path / "audit.log").read_bytes()) == [10]
    assert "works again" in capfd.readouterr().err


def test_a_log_that_moves_leaves_its_old_place_alone(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        config.setup_logging(tmp_path / name)
        event(0)
    assert numbers((tmp_path / "a" / "audit.log").read_bytes()) == numbers((tmp_path / "b" / "audit.log").read_bytes())
    opened = {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
    assert str(tmp_path / "b" / "audit.log") in opened
    assert str(tmp_path / "a" / "audit.log") not in opened


def test_a_rotation_leaves_no_descriptor_open(tmp_path):
    file = SharedFile(tmp_path / "audit.log", max_bytes=10, backups=2)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        file.append(b"12345678\n")
    assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208


def test_a_child_that_was_forked_writes_to_the_same_file(folder):
    event(0)
    child = os.fork()
    if child == 0:
        event(1)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    event(2)
    assert numbers((folder / "audit.log").read_bytes()) == [0, 1, 2]


def test_standard_output_that_is_gone_is_said_once(tmp_path):
    code = """
import logging, os, sys
from pathlib import Path
from modelcard_generator.logging.config import setup_logging
setup_logging(Path(sys.argv[1]))
os.close(1)
for _ in range(3):
    logging.getLogger("x").info("lost")
"""
    _, err = finished(python(code, tmp_path))
    assert err == "standard output: Bad file descriptor; records are lost until it works again\n"


def test_standard_output_that_takes_little_at_a_time_gets_the_whole_line(tmp_path):
    code = """
import logging, os, sys
from pathlib import Path
from modelcard_generator.logging.config import setup_logging
setup_logging(Path(sys.argv[1]))
os.set_blocking(1, False)
for number in range(5):
    logging.getLogger("x").info("y" * 200_000)
"""
    out, _ = finished(python(code, tmp_path))
    assert [len(line["message"]) for line in parsed(out)] == [200_000] * 5


def test_a_record_that_can_go_nowhere_is_said_and_counted(tmp_path):
    code = """
import os, sys
from pathlib import Path
from modelcard_generator.logging.config import audit_event, setup_logging
from prometheus_client import REGISTRY
setup_logging(Path(sys.argv[1]) / "missing")
os.close(1)
for _ in range(3):
    audit_event("test", "lost")
print(REGISTRY.get_sample_value("modelcard_log_records_lost_total", {"log": "audit"}), file=sys.stderr)
"""
    _, err = finished(python(code, tmp_path))
    first, second, counted = err.splitlines()
    assert "standard output" in first
    assert "No such file or directory" in second
    assert counted == "3.0"
