"""A server that recovers a restored data directory: reachable by a socket in a private folder, archiving nothing."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import psycopg

from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.programs import complaint, environment, find, own, run, unprivileged

# A standby refuses to start with less than the primary had (PostgreSQL documentation, "Hot Standby").
INHERITED = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}
STOP = 300  # seconds that a fast shutdown may take, with its checkpoint
POLL = 0.05


class Recovery:
    """PostgreSQL on `data`; `folder` is private to it and holds its configuration, socket and log."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.data, self.folder = data, folder
        self.control = _control(data)
        self._inherited = _inherited(self.control)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "log"
        (folder / "hba.conf").write_text("local all all trust\n")
        (folder / "ident.conf").write_text("")
        own(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Returns once it accepts connections, in recovery or after it."""
        process = self._launch()
        while True:
            if process.poll() is not None:
                process = self._with_more() or self._give_up("does not start")
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError:
                time.sleep(POLL)  # there is no event to wait for: the server says it by accepting
            else:
                return

    def _launch(self) -> subprocess.Popen[bytes]:
        inherited = [f"-c{name}={value}" for name, value in self._inherited.items()]
        user = unprivileged()
        # An empty file: whatever the data directory brings along is for another place.
        config = self.folder / "postgresql.conf"
        config.write_text("")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    find("postgres"), "-D", str(self.data), f"-cconfig_file={config}",
                    f"-chba_file={self.folder / 'hba.conf'}", f"-cident_file={self.folder / 'ident.conf'}",
                    "-clisten_addresses=", f"-cunix_socket_directories={self.folder}", "-carchive_mode=off",
                    "-carchive_command=", "-cssl=off", "-cfsync=on", "-clogging_collector=off", "-ctimezone=UTC",
                    "-cshared_buffers=128MB", "-cwal_level=replica", "-cexternal_pid_file=", *inherited,
                ],
                user=user, group=user, extra_groups=None if user is None else [], cwd="/", env=environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        return self._process

    def _with_more(self) -> subprocess.Popen[bytes] | None:
        """Starts it again where its log has come to a primary that was given more; None if it has as much as that.

        It has ended there or, once consistent, stands still (PostgreSQL documentation, "Administrator's Overview").
        """
        wanted = _inherited(_control(self.data))
        more = {name: max(value, wanted[name]) for name, value in self._inherited.items()}
        if more == self._inherited:
            return None
        self.stop()
        self._inherited = more
        return self._launch()

    def _give_up(self, what: str) -> NoReturn:
        raise BackupError(f"the restored database {what}: {self._complaint()}")

    def connect(self, database: str) -> psycopg.Connection:
        """As its superuser."""
        return psycopg.connect(host=str(self.folder), dbname=database, user="postgres", autocommit=True)

    def databases(self) -> list[str]:
        """Those that hold somebody's data."""
        with self.connect("postgres") as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
            )
            return [row[0] for row in rows]

    def reach(self, *, paused: bool) -> None:
        """Waits for the end of recovery, or with `paused` until it stands at its target."""
        while True:
            stands = over = False
            try:
                with self.connect("postgres") as connection:
                    over = _true(connection, "SELECT NOT pg_is_in_recovery()")
                    stands = not over and _true(connection, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
            except psycopg.OperationalError:
                pass  # it is told by the process
            ended = self._process is None or self._process.poll() is not None
            if (stands or ended) and self._with_more():
                continue
            if over or (stands and paused):
                return
            if ended:
                self._give_up("does not reach its target")
            time.sleep(POLL)

    def forget_target(self) -> None:
        """From its next start on it recovers to the end of the log."""
        auto = self.data / "postgresql.auto.conf"
        lines = [line for line in auto.read_text().splitlines() if not line.startswith("recovery_target")]
        auto.write_text("\n".join([*lines, ""]))

    def forget_recovery(self) -> None:
        """Once it has recovered: nothing in it leads back to where it came from."""
        auto = self.data / "postgresql.auto.conf"
        ours = ("recovery_target", "restore_command")
        lines = [line for line in auto.read_text().splitlines() if not line.startswith(ours)]
        auto.write_text("\n".join([*lines, ""]))

    def stop(self) -> None:
        """A fast shutdown; one that hangs is killed."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()

    def check_pages(self) -> list[str]:
        """Of the stopped server: every page of every file against its checksum."""
        if self.control.get("Data page checksum version") == "0":
            return ["the database has no page checksums: initdb --data-checksums"]
        try:
            run("pg_checksums", "--check", "-D", str(self.data))
        except BackupError as error:
            return [str(error)]
        return []

    def _complaint(self) -> str:
        text = re.sub(r"^\S+ \S+ \S+ \[\d+\] ", "", self._log.read_text(errors="replace"), flags=re.MULTILINE)
        return complaint(text, 1)


def data_directory(path: Path) -> None:
    """An empty folder that PostgreSQL may use. Raises `BackupError` if something is in it: nothing is overwritten."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise BackupError(f"{path}: is not empty: name an empty folder, nothing here is overwritten")
        path.chmod(0o700)
        own(path)
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}") from None


def check_version(wanted: str) -> None:
    """Raises `BackupError` if the server's programs here are of another version than the database."""
    text = run("postgres", "--version")
    found = re.search(r"\) (\d+)", text)
    if found is None or found[1] != wanted:
        raise BackupError(
            f"the database is of PostgreSQL {wanted}, the programs here are {text.strip()}: install {wanted}"
        )


def remove(folder: Path) -> None:
    """What we made ourselves, even half of it."""
    shutil.rmtree(folder, ignore_errors=True)


def _true(connection: psycopg.Connection, question: str) -> bool:
    row = connection.execute(question).fetchone()
    return bool(row and row[0])


def _inherited(control: dict[str, str]) -> dict[str, int]:
    """The settings of a server that must not be smaller than its primary's."""
    return {name: int(control[label]) for label, name in INHERITED.items()}


def _control(data: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in run("pg_controldata", "-D", str(data)).splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
