"""A database pod and a job, as rendered, with an S3 of their own: pgBackRest and PostgreSQL are Debian's."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import psycopg
import pytest

from infra.components import database as database_component
from infra.environments import secrets
from infra.environments.recording import Recording, record_platform
from infra.settings import Settings
from infra.settings_reading import parse
from tests import unpacked
from tests.app.servers import eventually, free_port
from tests.archive.pods import Pod, Volumes
from tests.conftest import pod_of, settings_of

BUCKET = "modelcard-backups"
KEYS = {"access_key": "testing-access", "secret_key": "testing-secret"}


@pytest.fixture(scope="session", autouse=True)
def programs():
    """PostgreSQL and pgBackRest."""
    with unpacked.programs():
        yield


class Storage:
    """An S3 by TLS, which can be made to say nothing and to speak again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.authority = secrets._authority("storage")
        pair = secrets._issue(self.authority, ["localhost"], secrets.ExtendedKeyUsageOID.SERVER_AUTH)
        files = {"ca.crt": self.authority["certificate"], "tls.crt": pair["certificate"], "tls.key": pair["key"]}
        for name, text in files.items():
            (folder / name).write_text(text)
        self.url = f"https://localhost:{self.port}"
        program = [sys.executable, "-m", "infra.environments.local.moto_server"]
        with (folder / "log").open("wb") as log:
            command = [*program, "127.0.0.1", str(self.port), str(folder / "tls.crt"), str(folder / "tls.key")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            eventually(lambda: self.client().create_bucket(Bucket=BUCKET), within=240)
        except TimeoutError:
            self.stop()
            raise

    def silence(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def speak(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def client(self):
        return boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", verify=str(self.folder / "ca.crt"),
            aws_access_key_id=KEYS["access_key"], aws_secret_access_key=KEYS["secret_key"],
        )  # fmt: skip

    def objects(self) -> dict[str, bytes]:
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return {key: self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


class DatabasePod(Pod):
    """The database's pod, with a process for each of its containers."""

    def __init__(self, volumes: Volumes, name: str, platform: Recording, port: int) -> None:
        super().__init__(volumes, name, pod_of(platform.one("v1:StatefulSet", "database-postgres")))
        self.port, self.platform = port, platform
        self.processes: list[subprocess.Popen[bytes]] = []

    def bootstrap(self) -> str:
        process = self.start("bootstrap")
        assert process.wait() == 0, self.log("bootstrap")
        return self.log("bootstrap")

    def up(self) -> None:
        """Returns when it answers."""
        self.bootstrap()
        self.processes = [self.start("postgres"), self.start("pgbackrest")]
        eventually(lambda: self.connect().close() or True, within=120)

    def connect(self) -> psycopg.Connection:
        user, _, password = self.volumes.content("Secret", "database-auth")["modelcard"].partition(" ")
        return psycopg.connect(
            host="localhost", port=self.port, dbname="modelcard", user=user, password=password,
            sslmode="verify-full", sslrootcert=self.at("/run/secrets/tls/ca.crt"), autocommit=True,
        )  # fmt: skip

    def admin(self) -> psycopg.Connection:
        socket = self.at("/var/run/postgresql")
        return psycopg.connect(host=str(socket), port=self.port, dbname="postgres", user="postgres", autocommit=True)

    def down(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """PostgreSQL by that signal; the server beside it, which keeps nothing, at once."""
        for process, sign in zip(self.processes, (how, signal.SIGTERM), strict=False):
            process.send_signal(sign)
            process.wait()
        self.processes = []


@pytest.fixture(scope="session")
def storage(tmp_path_factory) -> Iterator[Storage]:
    storage = Storage(tmp_path_factory.mktemp("storage"))
    yield storage
    storage.stop()


@pytest.fixture(scope="session")
def archived_settings(storage) -> Settings:
    backup = {
        "storage": "s3-compatible", "endpoint": storage.url, "identity_provider": None, "region": "us-east-1",
        "endpoint_authority": storage.authority["certificate"], "bucket": BUCKET, **KEYS,
    }  # fmt: skip
    generated = secrets.generate(settings_of("local"), authority=None)
    values = {"environment": "local", "backup": backup, "secrets": generated}
    return parse(values, file="Pulumi.local.yaml")


@pytest.fixture(scope="session")
def recording(archived_settings) -> Recording:
    return record_platform(archived_settings, stack="local")


@pytest.fixture(scope="session")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="session")
def volumes(recording, ports) -> Iterator[Volumes]:
    port, server = ports
    addresses = {
        "5432": str(port), "8432": str(server), "listen_addresses = '*'": "listen_addresses = 'localhost'",
        "tls-server-address=*": "tls-server-address=localhost", "pg1-host=database-postgres": "pg1-host=localhost",
    }  # fmt: skip
    volumes = Volumes(recording, addresses)
    # A job's pgBackRest names these places of the database's pod.
    for option, path in (("pg1-path", database_component.DATA), ("pg1-socket-path", database_component.SOCKET)):
        volumes.addresses[f"{option}={path}"] = f"{option}={volumes.folder}/database{path}"
    yield volumes
    volumes.close()


@pytest.fixture(scope="session")
def database(volumes, recording, ports) -> Iterator[DatabasePod]:
    pod = DatabasePod(volumes, "database", recording, ports[0])
    try:
        pod.up()
        yield pod
    finally:
        pod.down()


@pytest.fixture(scope="session")
def job(volumes, recording, database) -> Pod:
    spec = recording.one("v1:CronJob", "backup-run")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return Pod(volumes, "job", spec)
