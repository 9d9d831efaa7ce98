"""The database's first and later starts, by a real PostgreSQL: roles, passwords, and what monitoring may see."""

import os
import signal
import subprocess
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

from infra.components.database import DATABASE, MONITOR
from infra.kube import pgbackrest
from tests.app.servers import PostgresServer, eventually, free_port

SCRIPT = files("infra.components").joinpath("database-bootstrap.sh")
# As it was before there was a role for monitoring.
WITHOUT_MONITOR = f"DROP OWNED BY {MONITOR}; DROP ROLE {MONITOR};"


class Bootstrapped:
    """A data directory below the folder of another server, whose programs it borrows."""

    def __init__(self, server: PostgresServer) -> None:
        self.binaries, self.user = server.binaries, server.user
        self.folder = Path(server.folder) / "bootstrapped"
        self.folder.mkdir()
        # Whoever PostgreSQL runs as may not be able to enter the checkout.
        self.script = self.folder / "bootstrap.sh"
        self.script.write_text(SCRIPT.read_text())
        self.secrets = {"admin-password": "admin1", "password": "app1", "monitor-password": "monitor1"}
        if self.user is not None:
            os.chown(self.folder, self.user, -1)
        path = f"{self.binaries}:{os.environ['PATH']}"
        self.variables = {"PATH": path, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        self.process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def bootstrap(self) -> None:
        for name, value in self.secrets.items():
            (self.folder / name).write_text(value)
        own = {"PGDATA": str(self.folder / "data"), "SECRETS": str(self.folder)}
        own |= {"DATABASE": DATABASE, "MONITOR": MONITOR, "BACKUP": pgbackrest.ROLE}
        done = subprocess.run(
            ["bash", str(self.script)], env=self.variables | own, user=self.user, cwd=self.folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "ERROR" not in done.stderr
        assert not [value for value in self.secrets.values() if value in done.stdout + done.stderr]

    def start(self) -> None:
        options = ("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder), "-c", "fsync=off")
        self.process = subprocess.Popen(
            [self.binaries / "postgres", "-D", self.folder / "data", *options],
            env=self.variables, user=self.user, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        eventually(lambda: admin(self).close() or True)

    def connect(self, user: str, password: str, database: str = DATABASE) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, dbname=database, autocommit=True
        )

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # does not wait for clients, nor does the container
            self.process.wait()


@pytest.fixture(scope="module")
def server():
    lender = PostgresServer()
    server = Bootstrapped(lender)
    try:
        yield server
    finally:
        server.stop()
        lender.close()


@pytest.fixture(scope="module")
def running(server):
    server.bootstrap()
    server.start()
    return server


def admin(server, database: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
    return server.connect("postgres", server.secrets["admin-password"], database)


def application(server) -> "psycopg.Connection[tuple[object, ...]]":
    return server.connect(DATABASE, server.secrets["password"])


def monitor(server) -> "psycopg.Connection[tuple[object, ...]]":
    return server.connect(MONITOR, server.secrets["monitor-password"])


def test_the_role_for_monitoring_sees_the_whole_server(running):
    with application(running) as other, monitor(running) as connection:
        other.execute("SELECT 'what others do'")
        seen = connection.execute("SELECT query FROM pg_stat_activity WHERE usename = %s", (DATABASE,)).fetchall()
        settings = connection.execute("SELECT count(*) FROM pg_settings WHERE name = 'hba_file'").fetchone()
    assert (seen, settings) == ([("SELECT 'what others do'",)], (1,))


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM cards", "CREATE TABLE other (id int)", "CREATE TEMP TABLE other (id int)",
     f"ALTER ROLE {DATABASE} PASSWORD 'mine'", "CREATE DATABASE other", "SELECT pg_reload_conf()"],
)  # fmt: skip
def test_the_role_for_monitoring_sees_nothing_in_it_and_changes_nothing(running, statement):
    with application(running) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS cards (id int)")
    with monitor(running) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_the_role_for_monitoring_leaves_connections_for_others(running):
    connections = []
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            connections.extend(monitor(running) for _ in range(6))
    finally:
        for connection in connections:
            connection.close()


def test_a_restart_sets_new_passwords_and_makes_what_an_older_database_lacks(running):
    with admin(running, DATABASE) as connection:
        connection.execute(WITHOUT_MONITOR)
    running.stop()
    old, running.secrets = running.secrets, {name: f"{value}2" for name, value in running.secrets.items()}
    running.bootstrap()
    running.start()
    for user, password in ((DATABASE, "password"), (MONITOR, "monitor-password")):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            running.connect(user, old[password])
    for connect in (admin, application, monitor):
        connect(running).close()
