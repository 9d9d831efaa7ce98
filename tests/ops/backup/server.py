"""PostgreSQL 15 with pgBackRest as it is deployed: the log goes to the bucket, and the job comes by mutual TLS."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg

from modelcard_ops.backup.programs import environment, find, run, unprivileged
from tests.app.servers import eventually, free_port
from tests.ops.backup.certificates import Certificates

STARTS = 90  # seconds, on a computer that has much else to do
STANZA = "modelcard"
CIPHER = "cipher-of-the-test-repository-0123456789abcdef"


def section(**values: object) -> str:
    return "".join(f"{name.replace('_', '-')}={value}\n" for name, value in values.items())


def on_disk(folder: Path) -> str:
    """A repository that costs no requests, where a test is not about them."""
    return section(repo1_path=folder)


def in_bucket(authority: Path, port: int, bucket: str, prefix: str) -> str:
    """As it is deployed."""
    return section(
        repo1_type="s3", repo1_path=f"/{prefix}/pgbackrest", repo1_s3_bucket=bucket, repo1_s3_region="us-east-1",
        repo1_s3_endpoint="localhost", repo1_storage_port=port, repo1_s3_uri_style="path",
        repo1_storage_ca_file=authority, repo1_s3_key="test", repo1_s3_key_secret="test",
    )  # fmt: skip


class Server:
    """One database host, all of whose processes can be killed. `folder` belongs to whom PostgreSQL runs as."""

    def __init__(self, folder: Path, certificates: Certificates, repository: str) -> None:
        self.folder, self.certificates = folder, certificates
        self.max_connections = 60
        self.data = folder / "data"
        self.port, self.tls_port = free_port(), free_port()
        self.user = unprivileged()
        self.repository = repository + section(
            repo1_cipher_type="aes-256-cbc", repo1_cipher_pass=CIPHER, repo1_bundle="y"
        )
        self.config = folder / "pgbackrest.conf"
        self.job_config = folder / "job.conf"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._write()
        run(
            "initdb",
            "--auth=trust",
            "--encoding=utf8",
            "--username=postgres",
            "--no-sync",
            "--data-checksums",
            "-D",
            str(self.data),
        )
        self.start()

    def _write(self) -> None:
        common = section(
            lock_path=self.folder / "lock", spool_path=self.folder / "spool",
            log_level_console="off", log_level_stderr="error", log_level_file="off",
            compress_type="zst", compress_level=1, process_max=2, io_timeout=20,
        )  # fmt: skip
        of_database = section(pg1_path=self.data, pg1_port=self.port, pg1_socket_path=self.folder, pg1_user="postgres")
        tls = section(
            tls_server_address="localhost", tls_server_port=self.tls_port,
            tls_server_ca_file=self.certificates.authority, tls_server_cert_file=self.certificates.certificate,
            tls_server_key_file=self.certificates.key, tls_server_auth=f"backup-job={STANZA}",
        )  # fmt: skip
        self._file(self.config, f"[global]\n{self.repository}{common}{tls}\n[{STANZA}]\n{of_database}")
        host = section(
            pg1_host="localhost", pg1_host_type="tls", pg1_host_port=self.tls_port, pg1_host_config=self.config,
            pg1_host_ca_file=self.certificates.authority, pg1_host_cert_file=self.certificates.job_certificate,
            pg1_host_key_file=self.certificates.job_key,
        )  # fmt: skip
        job = common.replace(str(self.folder / "lock"), str(self.folder / "job-lock"))
        self._file(self.job_config, f"[global]\n{self.repository}{job}\n[{STANZA}]\n{host}{of_database}")

    def _file(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)
        if self.user is not None:
            os.chown(path, self.user, self.user)

    def spawn(self, name: str, *args: str, extra: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [find(name), *args], user=self.user, group=self.user,
                extra_groups=None if self.user is None else [], env=environment() | dict(extra or {}), cwd="/",
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def start(self) -> None:
        """The database and pgBackRest's server; returns when both answer."""
        archive = f'"{find("pgbackrest")}" --config="{self.config}" --stanza={STANZA} archive-push %p'
        self.postgres = self.spawn(
            "postgres", "-D", str(self.data), "-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.folder),
            "-c", "fsync=off", "-c", "timezone=UTC", "-c", "track_commit_timestamp=on",
            "-c", f"max_connections={self.max_connections}",
            "-c", "archive_mode=on", "-c", f"archive_command={archive}", "-c", "archive_timeout=5",
            "-c", "wal_level=replica", "-c", "max_wal_size=256MB", "-c", "min_wal_size=32MB",
        )  # fmt: skip
        self.pgbackrest = self.spawn("pgbackrest", f"--config={self.config}", "server")
        eventually(lambda: self.connect().close() or True, within=STARTS)
        eventually(self._answers, within=STARTS)

    def _answers(self) -> bool:
        run("pgbackrest", f"--config={self.config}", "server-ping", "--log-level-console=off")
        return True

    def url(self, database: str = "modelcard", user: str = "postgres", password: str | None = None) -> str:
        login = user if password is None else f"{user}:{password}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=2)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Without any of its processes, as after the loss of its host."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def kill(self) -> None:
        """SIGKILL to everything."""
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes.clear()
        subprocess.run(["pkill", "-KILL", "-f", str(self.data)], check=False)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
