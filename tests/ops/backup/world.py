"""Everything that a backup is made of, on loopback: a database with its log archived, uploads, and a bucket."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pyrage

from modelcard_ops.backup.programs import EXTRA
from modelcard_ops.backup.run import Tools, tools
from modelcard_ops.backup.settings import Settings
from tests.ops.backup.s3 import BUCKET, S3
from tests.ops.backup.server import Server

USER = uuid.UUID(int=1)


@dataclass
class World:
    """One stack's folder in the bucket, with the shared database behind it."""

    s3: S3
    server: Server
    folder: Path
    uploads: Path
    database: str
    identity: str
    recipient_key: str
    prefix: str = field(default_factory=lambda: f"stack-{uuid.uuid4().hex[:12]}")
    told: list[str] = field(default_factory=list)

    @property
    def s3_bucket(self) -> str:
        return BUCKET

    def values(self, **changed: Any) -> dict[str, Any]:
        recipient = pyrage.x25519.Identity.from_str(self.recipient_key).to_public()
        return {
            "bucket": BUCKET,
            "endpoint": self.s3.endpoint,
            "endpoint_authority_file": str(self.s3.authority),
            "prefix": self.prefix,
            "access_key": "test",
            "secret_key": "test",
            "identity": self.identity,
            "recipient": str(recipient),
            "pgbackrest_config": str(self.server.job_config),
            "database_url": self.server.url(self.database, self.database),
            "uploads_dir": str(self.uploads),
            "scratch_dir": str(self.folder),
            "lease": 60,
            **changed,
        }

    def settings(self, **changed: Any) -> Settings:
        return Settings(**self.values(**changed))

    def tools(self, **changed: Any) -> Tools:
        return tools(self.settings(**changed), self.told.append)

    def environment(self, **changed: Any) -> dict[str, str]:
        """As a job is told: secrets in files."""
        secrets = self.folder / f"secrets-{uuid.uuid4().hex}"
        secrets.mkdir(mode=0o700)
        values = self.values(**changed)
        for name in ("access_key", "secret_key", "identity", "database_url", "prometheus_password", "cache_url"):
            if values.get(name):
                (secrets / f"mcops_backup_{name}").write_text(str(values.pop(name)))
        ours = ("MCOPS_", "AWS_")
        kept = {name: value for name, value in os.environ.items() if name == EXTRA or not name.startswith(ours)}
        plain = {f"MCOPS_BACKUP_{name.upper()}": str(value) for name, value in values.items() if value is not None}
        return kept | plain | {"MCOPS_SECRETS_DIR": str(secrets)}

    def start(self, *args: str, room: int | None = None, **changed: Any) -> subprocess.Popen[str]:
        """`mcops backup …` in a process group of its own; no file that it writes may have more than `room` bytes."""
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room})); " if room else ""
        return subprocess.Popen(
            [sys.executable, "-c", f"{limit}from modelcard_ops.cli import main; main()", "backup", *args],
            env=self.environment(**changed), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def mcops(self, *args: str, **changed: Any) -> subprocess.CompletedProcess[str]:
        process = self.start(*args, **changed)
        out, err = process.communicate(timeout=280)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def json(self, *args: str, **changed: Any) -> Any:
        done = self.mcops(*args, "--json", **changed)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.server.url(self.database), autocommit=True)

    def upload(self, content: bytes) -> uuid.UUID:
        """A file and its row, in the order of the service: first the file."""
        upload = uuid.uuid4()
        path = self.uploads / upload.hex[:2] / upload.hex
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".partial").write_bytes(content)
        path.with_suffix(".partial").rename(path)
        with self.connect() as connection:
            connection.execute(
                "INSERT INTO uploads (id, user_id, file_name, media_type, size, sha256) "
                "VALUES (%s, %s, 'weights.bin', 'application/octet-stream', %s, %s)",
                (upload, USER, len(content), hashlib.sha256(content).digest()),
            )
        return upload

    def stored(self, folder: str = "") -> list[str]:
        """Of this stack, without its prefix."""
        return [key.removeprefix(f"{self.prefix}/") for key in self.s3.keys(prefix=f"{self.prefix}/{folder}")]

    def read(self, key: str) -> bytes:
        return self.s3.read(f"{self.prefix}/{key}")

    def flip(self, key: str) -> None:
        self.s3.flip(f"{self.prefix}/{key}")

    def manifests(self) -> list[str]:
        """The sets that exist."""
        return [each.id for each in self.tools().catalog.sets()]

    def copy(self) -> World:
        """The same sets under another prefix, to be damaged."""
        other = World(self.s3, self.server, self.folder, self.uploads, self.database, self.identity, self.recipient_key)
        for key in self.s3.keys(prefix=f"{self.prefix}/"):
            target = other.prefix + key.removeprefix(self.prefix)
            self.s3.client.copy_object(Bucket=BUCKET, Key=target, CopySource={"Bucket": BUCKET, "Key": key})
        return other
