"""One S3 server, one database host and one set for all tests; a test that damages something works on a copy."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyrage
import pytest

from modelcard_generator.database.migrations import read_migrations
from modelcard_ops.backup import run as runs
from modelcard_ops.backup import verify as verifications
from modelcard_ops.backup.pgbackrest import PgBackRest
from modelcard_ops.backup.programs import own
from tests import unpacked
from tests.ops.backup.certificates import Certificates
from tests.ops.backup.s3 import S3
from tests.ops.backup.server import Server, on_disk
from tests.ops.backup.world import USER, World


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """Pytest's own folders cannot be entered by whom PostgreSQL runs as, and sockets want short paths."""
    folder = Path(tempfile.mkdtemp(prefix="mcops-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def programs() -> Iterator[None]:
    """PostgreSQL and pgBackRest."""
    with unpacked.programs():
        yield


@pytest.fixture(scope="session")
def certificates(place: Path) -> Certificates:
    folder = place / "tls"
    folder.mkdir()
    own(folder)
    return Certificates(folder)


@pytest.fixture(scope="session")
def s3(certificates: Certificates) -> Iterator[S3]:
    server = S3(certificates.authority, certificates.certificate, certificates.key)
    server.create_bucket()
    yield server
    server.close()


@pytest.fixture(scope="session")
def server(place: Path, certificates: Certificates) -> Iterator[Server]:
    folder = place / "host"
    folder.mkdir()
    own(folder)
    host = Server(folder, certificates, on_disk(folder / "repository"))
    yield host
    host.close()


def database_of(server: Server) -> str:
    """A database with the service's own tables and one user, owned by a role that may nothing else."""
    name = f"modelcard-{uuid.uuid4().hex[:8]}"
    with server.connect() as connection:
        connection.execute(f'CREATE ROLE "{name}" LOGIN')
        connection.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
    with psycopg.connect(server.url(name, name), autocommit=True) as connection:
        for migration in read_migrations():
            for statement in migration.sql.split(";\n"):
                connection.execute(statement)
        connection.execute("INSERT INTO users (id, username) VALUES (%s, 'alice')", (USER,))
    return name


@pytest.fixture(scope="session")
def shared(place: Path, s3: S3, server: Server) -> World:
    """A world with one verified set. Nobody changes it."""
    uploads = place / "uploads"
    uploads.mkdir()
    identity, recipient = (str(pyrage.x25519.Identity.generate()) for _ in range(2))
    scratch = place / "scratch"
    scratch.mkdir(mode=0o755)
    world = World(s3, server, scratch, uploads, database_of(server), identity, recipient)
    PgBackRest(world.settings()).create_stanza()
    for number in range(12):
        world.upload(f"file {number}".encode() * 100)
    runs.run(world.settings(), world.told.append)
    found = verifications.verify(world.settings(), world.told.append)
    assert found.good, found.problems
    return world


@pytest.fixture
def world(shared: World, tmp_path: Path) -> Iterator[World]:
    """A copy of the shared set, with uploads of its own that may be changed."""
    copy = shared.copy()
    copy.uploads = tmp_path / "uploads"
    shutil.copytree(shared.uploads, copy.uploads)
    copy.folder = Path(tempfile.mkdtemp(dir=shared.folder))
    copy.folder.chmod(0o755)
    with shared.connect() as connection:
        before = [row[0] for row in connection.execute("SELECT id FROM uploads")]
    yield copy
    # Rows of a test whose files nobody else has.
    with shared.connect() as connection:
        connection.execute("DELETE FROM uploads WHERE NOT id = ANY(%s)", (before,))
    shared.s3.set_faults()
    shutil.rmtree(copy.folder, ignore_errors=True)


@pytest.fixture
def quick(shared: World, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Where a test is not about the database: its backup is that of the shared set, already made."""
    made = shared.tools().catalog.newest()
    assert made is not None
    assert made.manifest is not None
    part = made.manifest.database
    monkeypatch.setattr(runs, "_database", lambda *_: part)
    monkeypatch.setattr(PgBackRest, "check", lambda _: None)
    return world
