"""The database's log and files reach the bucket as declared, encrypted, and come back as of any second."""

from __future__ import annotations

import json
import signal
import socket
import ssl

import pytest

from infra.environments import secrets
from tests.app.servers import eventually

PATIENCE = 120  # seconds, on a computer that has much else to do
CONFIG = "/run/secrets/pgbackrest/pgbackrest.conf"
CANARY = "canary-in-a-row"
TLS_PLEASE = bytes.fromhex("0000000804d2162f")  # SSLRequest: PostgreSQL documentation, chapter 55.7


def archived(database):
    """How many segments are in the archive."""
    with database.admin() as connection:
        return connection.execute("SELECT archived_count FROM pg_stat_archiver").fetchone()[0]


def now(database):
    with database.admin() as connection:
        return connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()[0]


def switch(database):
    """Ends a segment of the log, and waits until it is in the archive."""
    before = archived(database)
    with database.admin() as connection:
        connection.execute("SELECT pg_logical_emit_message(true, 'test', '')")  # an empty segment has no end
        connection.execute("SELECT pg_switch_wal()")
    eventually(lambda: archived(database) > before, within=PATIENCE)


def pgbackrest(job, command, *options):
    return job.run("mcops", "pgbackrest", f"--config={job.at(CONFIG)}", "--stanza=modelcard", *options, command)


def certificate(port: int, *, asked: bytes = b"") -> str:
    """The one that a server shows; PostgreSQL wants to be asked for TLS first."""
    with socket.create_connection(("localhost", port), 5) as connection:
        if asked:
            connection.sendall(asked)
            assert connection.recv(1) == b"S"
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(connection) as wrapped:
            shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    return ssl.DER_cert_to_PEM_cert(shown)


@pytest.fixture(scope="module")
def saved(database, job):
    """A table, and a backup that a job has made."""
    with database.connect() as connection:
        connection.execute("CREATE TABLE notes (text text)")
        connection.execute("INSERT INTO notes VALUES (%s)", (CANARY,))
    switch(database)
    done = pgbackrest(job, "backup", "--type=full")
    assert done.returncode == 0, done.stdout + done.stderr + database.log("pgbackrest")
    (stanza,) = json.loads(pgbackrest(job, "info", "--output=json").stdout)
    stop = stanza["backup"][-1]["timestamp"]["stop"]
    # To pgBackRest a moment is a whole second, and only what comes after the backup's can be restored.
    eventually(lambda: now(database) > stop + 1, within=PATIENCE)
    return done


def test_the_archive_is_there_from_the_first_start(database):
    assert "stanza-create command end: completed successfully" in database.log("bootstrap")
    switch(database)
    with database.admin() as connection:
        assert connection.execute("SELECT failed_count FROM pg_stat_archiver").fetchone() == (0,)


@pytest.mark.usefixtures("saved")
def test_nothing_in_the_bucket_can_be_read_without_the_passphrase(storage):
    objects = storage.objects()
    assert {key.split("/")[2] for key in objects} == {"archive", "backup"}
    assert [key for key, body in objects.items() if not body.startswith(b"Salted__")] == []


def test_who_has_another_certificate_of_the_same_authority_reads_nothing(job, saved):
    certificate, key = job.at("/run/secrets/tls/tls.crt"), job.at("/run/secrets/tls/tls.key")
    kept = certificate.read_text(), key.read_text()
    other = job.volumes.content("Secret", "cache-tls")
    certificate.chmod(0o600)
    key.chmod(0o600)
    try:
        certificate.write_text(other["tls.crt"])
        key.write_text(other["tls.key"])
        refused = pgbackrest(job, "check")
    finally:
        certificate.write_text(kept[0])
        key.write_text(kept[1])
    assert refused.returncode != 0
    assert pgbackrest(job, "check").returncode == 0


def test_both_servers_show_a_rotated_certificate_without_a_restart(database, ports, archived_settings):
    authority = archived_settings.secrets.authority
    pair = {"certificate": authority.certificate.get_secret_value(), "key": authority.key.get_secret_value()}
    issued = secrets._issue(pair, ["database-postgres", "localhost"])
    for name, text in (("tls.crt", issued["certificate"]), ("tls.key", issued["key"])):
        new = database.at(f"/run/secrets/tls/{name}.new")
        new.write_text(text)
        new.chmod(0o400)
        database.volumes.own(new)
        new.rename(new.with_name(name))
    before = [process.pid for process in database.processes]
    teller = database.start("rotation")
    try:
        eventually(lambda: certificate(ports[0], asked=TLS_PLEASE) == issued["certificate"], within=PATIENCE)
        eventually(lambda: certificate(ports[1]) == issued["certificate"], within=PATIENCE)
    finally:
        teller.kill()
        teller.wait()
    assert [process.pid for process in database.processes if process.poll() is None] == before
    database.connect().close()


@pytest.mark.usefixtures("saved")
def test_while_the_bucket_is_silent_the_database_serves_and_later_nothing_is_missing(database, storage):
    switch(database)  # and nothing is left to archive
    before = archived(database)
    storage.silence()
    try:
        with database.connect() as connection:
            connection.execute("INSERT INTO notes SELECT 'meanwhile' FROM generate_series(1, 100)")
        with database.admin() as connection:
            connection.execute("SELECT pg_switch_wal()")
        with database.connect() as connection:
            assert connection.execute("SELECT count(*) FROM notes").fetchone()[0] >= 101
        assert archived(database) == before
    finally:
        storage.speak()
    eventually(lambda: archived(database) > before, within=PATIENCE)


@pytest.mark.usefixtures("saved")
def test_the_database_starts_from_what_was_restored_as_of_a_moment(database, storage):
    with database.connect() as connection:
        kept = connection.execute("SELECT count(*) FROM notes").fetchone()[0]
        moment = connection.execute("SELECT clock_timestamp()::text").fetchone()[0]
        connection.execute("INSERT INTO notes VALUES ('too late')")
    switch(database)
    database.down(signal.SIGINT)
    data = database.at("/var/lib/postgresql/data/pgdata")
    data.rename(data.with_name("lost"))
    options = ("--stanza=modelcard", "--type=time", f"--target={moment}", "--target-action=promote")
    done = database.run("postgres", "pgbackrest", *options, "restore")
    assert done.returncode == 0, done.stdout + done.stderr
    database.up()
    with database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM notes").fetchone()[0] == kept
    # The history of the new timeline was written before anything could be archived.
    switch(database)
    assert [key for key in storage.objects() if "00000002.history" in key] != []
