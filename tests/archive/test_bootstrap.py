"""The database's starts, and rotations in between, by a real PostgreSQL: who is let in, and what monitoring may see."""

import getpass
import os
import pwd
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from infra.components.database import DATABASE, MONITOR, PG_IDENT, login, postgresql_conf, script
from infra.kube import pgbackrest
from infra.quantities import Memory
from modelcard_ops.backup import restore
from tests.app.servers import PostgresServer, eventually, free_port

# As in the pod, but without TLS.
HBA = f"""\
local all all peer map=pod
host {DATABASE} +{DATABASE} 127.0.0.1/32 scram-sha-256
host {DATABASE} +{MONITOR} 127.0.0.1/32 scram-sha-256
"""
CONNECTIONS = 70  # neither PostgreSQL's own number nor the lending server's
# As it was before there was a role for monitoring, and before logins took turns.
OLDER = f"""\
DROP OWNED BY {MONITOR}; DROP ROLE {MONITOR}_a; DROP ROLE {MONITOR}_b; DROP ROLE {MONITOR};
REASSIGN OWNED BY {DATABASE}_a, {DATABASE}_b TO {DATABASE};
DROP ROLE {DATABASE}_a; DROP ROLE {DATABASE}_b; ALTER ROLE {DATABASE} LOGIN PASSWORD 'older';
"""
Connection = psycopg.Connection[tuple[object, ...]]


class Bootstrapped:
    """A data directory below the folder of another server, whose programs it borrows."""

    def __init__(self, server: PostgresServer) -> None:
        self.binaries, self.user = server.binaries, server.user
        self.folder = Path(server.folder) / "bootstrapped"
        self.secrets, self.tls = self.folder / "secrets", self.folder / "tls"
        for folder in (self.folder, self.secrets, self.tls):
            folder.mkdir()
            if self.user is not None:
                os.chown(folder, self.user, -1)
        # Whoever PostgreSQL runs as may not be able to enter the checkout.
        for name in ("bootstrap", "roles", "rotation"):
            (self.folder / f"{name}.sh").write_text(script(name))
        (self.tls / "tls.crt").write_text("certificate")
        conf = postgresql_conf(Memory("256Mi"), CONNECTIONS, 60)
        # The wheel's PostgreSQL knows no TLS, and to the test every statement is a slow one.
        for own, here in {"ssl = on": "ssl = off", "statement = 1s": "statement = 0"}.items():
            assert own in conf
            conf = conf.replace(own, here)
        (self.folder / "postgresql.conf").write_text(conf)
        (self.folder / "hba").write_text(HBA)
        owner = pwd.getpwuid(self.user).pw_name if self.user is not None else getpass.getuser()
        users = PG_IDENT.replace("pod postgres ", f"pod {owner} ")
        (self.folder / "ident").write_text(f"{users}pod {getpass.getuser()} postgres\n")
        path = f"{self.binaries}:{os.environ['PATH']}"
        self.variables = {
            "PATH": path, "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "PGDATA": str(self.folder / "data"),
            "SECRETS": str(self.secrets), "SCRIPTS": str(self.folder), "TLS": str(self.tls), "PAUSE": "0.2",
            "SOCKET": str(self.folder), "ALIVE": str(self.folder / "alive"),
            "DATABASE": DATABASE, "MONITOR": MONITOR, "BACKUP": pgbackrest.ROLE,
        }  # fmt: skip
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = free_port()
        self.variables["PGPORT"] = str(self.port)
        self.rotate(0)

    def rotate(self, rotation: int) -> None:
        """What the kubelet puts into the pod."""
        self.rotation = rotation
        self.passwords = {DATABASE: f"app{rotation}", MONITOR: f"monitor{rotation}"}
        for role, password in self.passwords.items():
            new = self.folder / "new"
            new.write_text(f"{login(role, rotation)} {password}")
            new.rename(self.secrets / role)

    def bootstrap(self) -> None:
        done = self.bootstrapped()
        assert done.returncode == 0, done.stderr
        assert "ERROR" not in done.stderr
        assert not [value for value in self.passwords.values() if value in done.stdout + done.stderr]

    def bootstrapped(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.folder / "bootstrap.sh")], env=self.variables, user=self.user, cwd=self.folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def popen(self, *command: object) -> None:
        with (self.folder / "log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(list(map(str, command)), env=self.variables, user=self.user, stderr=log, stdout=log)
            )

    def start(self) -> None:
        places = {"config_file": "postgresql.conf", "hba_file": "hba", "ident_file": "ident"}
        settings = {
            **{setting: self.folder / name for setting, name in places.items()},
            "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder, "port": self.port,
            "archive_mode": "off", "fsync": "off",
        }  # fmt: skip
        options = [f"-c{name}={value}" for name, value in settings.items()]
        self.popen(self.binaries / "postgres", "-D", self.folder / "data", *options)
        eventually(lambda: self.admin().close() or True)

    def control(self) -> str:
        """What its data directory says of itself."""
        command = (self.binaries / "pg_controldata", self.folder / "data")
        return subprocess.run(
            command, env=self.variables, user=self.user, check=True, capture_output=True, text=True
        ).stdout

    def admin(self, database: str = DATABASE) -> Connection:
        return psycopg.connect(host=str(self.folder), port=self.port, user="postgres", dbname=database, autocommit=True)

    def connect(self, user: str, password: str) -> Connection:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, dbname=DATABASE, autocommit=True
        )

    def as_role(self, role: str) -> Connection:
        return self.connect(login(role, self.rotation), self.passwords[role])

    @contextmanager
    def told(self) -> Iterator[None]:
        """With what tells the server, as long as the block lasts."""
        # Where this is started in the background the signal is ignored, and bash could not be told by it.
        self.popen("env", "--default-signal=INT", "bash", self.folder / "rotation.sh")
        try:
            yield
        finally:
            teller = self.processes.pop()
            teller.send_signal(signal.SIGINT)  # the image's STOPSIGNAL
            teller.wait(3)

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGINT)  # does not wait for clients, nor does the container
            process.wait()
        self.processes = []


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


def test_the_role_for_monitoring_sees_the_whole_server(running):
    with running.as_role(DATABASE) as other, running.as_role(MONITOR) as connection:
        other.execute("SELECT 'what others do'")
        user = login(DATABASE, running.rotation)
        seen = connection.execute("SELECT query FROM pg_stat_activity WHERE usename = %s", (user,)).fetchall()
        settings = connection.execute("SELECT count(*) FROM pg_settings WHERE name = 'hba_file'").fetchone()
    assert (seen, settings) == ([("SELECT 'what others do'",)], (1,))


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM cards", "CREATE TABLE other (id int)", "CREATE TEMP TABLE other (id int)",
     f"ALTER ROLE {DATABASE} PASSWORD 'mine'", "CREATE DATABASE other", "SELECT pg_reload_conf()"],
)  # fmt: skip
def test_the_role_for_monitoring_sees_nothing_in_it_and_changes_nothing(running, statement):
    with running.as_role(DATABASE) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS cards (id int)")
    with running.as_role(MONITOR) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_the_role_for_monitoring_leaves_connections_for_others(running):
    connections = []
    try:
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            connections.extend(running.as_role(MONITOR) for _ in range(6))
    finally:
        for connection in connections:
            connection.close()


def test_a_restart_sets_new_passwords_and_makes_what_an_older_database_lacks(running):
    with running.admin() as connection:
        connection.execute(OLDER)
    running.stop()
    running.rotate(running.rotation + 1)
    running.bootstrap()
    running.start()
    for role in (DATABASE, MONITOR):
        running.as_role(role).close()
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        running.connect(DATABASE, "older")


def test_the_log_names_no_settings_that_a_recovery_would_need_more_for(running):
    running.stop()
    running.bootstrap()
    assert re.search(rf"max_connections setting: +{CONNECTIONS}\n", running.control())
    running.start()


def test_what_is_half_restored_is_not_started(running):
    mark = restore.mark(Path(running.variables["PGDATA"]))
    mark.touch()
    refused = running.bootstrapped()
    mark.unlink()
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"{running.variables['PGDATA']} is half restored: ")


def test_a_rotation_lets_in_the_pods_of_before_and_after_it(running):
    with running.told(), running.as_role(DATABASE) as before:
        login_before, password_before = login(DATABASE, running.rotation), running.passwords[DATABASE]
        running.rotate(running.rotation + 1)
        eventually(lambda: running.as_role(DATABASE).close() or True)
        running.connect(login_before, password_before).close()
        assert before.execute("SELECT 1").fetchone() == (1,)
        with running.admin() as connection:
            (left,) = connection.execute(
                "SELECT rolvaliduntil - now() FROM pg_roles WHERE rolname = %s", (login_before,)
            ).fetchone()
        assert 23 < left.total_seconds() / 3600 <= 24


def test_the_rotation_after_it_ends_the_password_of_before(running):
    with running.told():
        user, password = login(DATABASE, running.rotation), running.passwords[DATABASE]
        for _ in range(2):
            running.rotate(running.rotation + 1)
            eventually(lambda: running.as_role(DATABASE).close() or True)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        running.connect(user, password)


def test_what_one_login_makes_the_other_may_change(running):
    with running.told(), running.as_role(DATABASE) as before:
        before.execute(f"SET ROLE {DATABASE}")  # as migrations do
        before.execute("CREATE TABLE IF NOT EXISTS made (id int)")
        running.rotate(running.rotation + 1)
        eventually(lambda: running.as_role(DATABASE).close() or True)
        with running.as_role(DATABASE) as after:
            after.execute("ALTER TABLE made ADD other int")
            after.execute("DROP TABLE made")


def test_passwords_are_in_no_log(running):
    with running.told():
        running.rotate(running.rotation + 1)
        eventually(lambda: running.as_role(MONITOR).close() or True)
        with running.as_role(MONITOR) as connection:
            connection.execute("SELECT 1")
    log = (running.folder / "log").read_text()
    assert "SELECT 1" in log  # statements are logged, but the others are not
    assert not [value for value in running.passwords.values() if value in log]
