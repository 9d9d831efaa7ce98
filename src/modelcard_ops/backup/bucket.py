"""The bucket: few operations, each of which is done, or not done and said so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.settings import Settings

ATTEMPTS = 5  # with exponential delays of up to 1, 2, 4 and 8 s (botocore, "Retries", mode standard)
CONNECT, READ = 5, 60  # seconds
BATCH = 1000  # keys that one request deletes (S3, "DeleteObjects")
ABSENT = {"404", "NoSuchKey", "NotFound"}
REFUSED = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}


class Refused(Exception):
    """The condition of a write did not hold: somebody else was first."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An object and what a later write may make a condition of."""

    body: bytes
    etag: str


@dataclass(frozen=True, kw_only=True, order=True)
class Entry:
    """An object in a listing; `version` is None where the bucket keeps none."""

    key: str
    version: str | None
    size: int


class Bucket:
    """All keys are below the stack's own prefix. Raises `BackupError` once retries are used up."""

    def __init__(self, settings: Settings) -> None:
        self.name, self.prefix = settings.bucket, settings.prefix
        keys: dict[str, Any] = {}
        if settings.access_key and settings.secret_key:
            keys = {
                "aws_access_key_id": settings.access_key.get_secret_value(),
                "aws_secret_access_key": settings.secret_key.get_secret_value(),
            }
        self._encryption: dict[str, str] = {}
        if settings.kms_key:
            self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": settings.kms_key}
        self._client = boto3.client(
            "s3",
            region_name=settings.region,
            endpoint_url=settings.endpoint,
            verify=str(settings.endpoint_authority_file) if settings.endpoint_authority_file else None,
            config=Config(
                connect_timeout=CONNECT,
                read_timeout=READ,
                retries={"mode": "standard", "max_attempts": ATTEMPTS},
                max_pool_connections=settings.workers + 2,
                s3={"addressing_style": "path"} if settings.endpoint else {},
            ),
            **keys,
        )
        self._versioned: bool | None = None

    def now(self) -> datetime:
        """The bucket's time, as every answer has it: this machine's clock may be wrong."""
        with self._told("its time"):
            try:
                answer = self._client.head_object(Bucket=self.name, Key=self._key("lease.json"))
            except ClientError as error:
                if str(error.response.get("Error", {}).get("Code")) not in ABSENT:
                    raise
                answer = error.response
        header = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return parsedate_to_datetime(header).astimezone(UTC) if header else datetime.now(UTC)

    def get(self, key: str) -> Stored | None:
        """An object, or None."""
        try:
            with self._told(key):
                answer = self._client.get_object(Bucket=self.name, Key=self._key(key))
                return Stored(body=answer["Body"].read(), etag=answer["ETag"])
        except _Absent:
            return None

    def size(self, key: str) -> int | None:
        """Of an object in bytes, or None."""
        try:
            with self._told(key):
                return int(self._client.head_object(Bucket=self.name, Key=self._key(key))["ContentLength"])
        except _Absent:
            return None

    def read(self, key: str) -> bytes:
        """An object that must be there."""
        stored = self.get(key)
        if stored is None:
            raise BackupError(f"{self.address(key)}: is not there")
        return stored.body

    def download(self, key: str, target: IO[bytes]) -> None:
        """Writes an object that must be there to a file, in pieces."""
        try:
            with self._told(key):
                body = self._client.get_object(Bucket=self.name, Key=self._key(key))["Body"]
                for piece in body.iter_chunks(1024 * 1024):
                    target.write(piece)
        except _Absent:
            raise BackupError(f"{self.address(key)}: is not there") from None

    def put(self, key: str, body: bytes | IO[bytes], *, replaces: str | None = None) -> str:
        """Writes an object at once, whole or not at all; its ETag. Raises `Refused` if it is not that of `replaces`."""
        condition = {} if replaces is None else {"IfMatch": replaces}
        return self._put(key, body, condition)

    def create(self, key: str, body: bytes) -> str:
        """Writes an object that is not there; its ETag. Raises `Refused` if it is.

        An attempt that timed out may have been carried out: what is there then is what we wrote.
        """
        try:
            return self._put(key, body, {"IfNoneMatch": "*"})
        except Refused:
            stored = self.get(key)
            if stored is not None and stored.body == body:
                return stored.etag
            raise

    def _put(self, key: str, body: bytes | IO[bytes], condition: dict[str, str]) -> str:
        with self._told(key):
            answer = self._client.put_object(
                Bucket=self.name, Key=self._key(key), Body=body, **condition, **self._encryption
            )
            return str(answer["ETag"])

    def list(self, folder: str) -> Iterator[Entry]:
        """All objects whose keys begin so, however many pages they are."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=self._key(folder))
        with self._told(folder):
            for page in pages:
                for each in page.get("Contents", ()):
                    yield Entry(key=self._own(each["Key"]), version=None, size=int(each["Size"]))

    def versions(self, folder: str) -> Iterator[Entry]:
        """All versions of all objects whose keys begin so; the objects themselves where the bucket keeps none."""
        if not self.versioned():
            yield from self.list(folder)
            return
        pages = self._client.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=self._key(folder))
        with self._told(folder):
            for page in pages:
                for each in page.get("Versions", ()):
                    key = self._own(each["Key"])
                    yield Entry(key=key, version=str(each["VersionId"]), size=int(each["Size"]))

    def versioned(self) -> bool:
        """Whether a deletion can name the version that it means."""
        if self._versioned is None:
            with self._told("its versioning"):
                status = self._client.get_bucket_versioning(Bucket=self.name).get("Status")
            self._versioned = status == "Enabled"
        return self._versioned

    def delete(self, entries: Sequence[Entry]) -> Sequence[str]:
        """Deletes exactly these, at most a batch; what was refused (Object Lock), one line each."""
        objects = [
            {"Key": self._key(each.key)} | ({"VersionId": each.version} if each.version else {}) for each in entries
        ]
        with self._told("a deletion"):
            answer = self._client.delete_objects(Bucket=self.name, Delete={"Objects": objects, "Quiet": True})
        return [f"{self.address(self._own(each['Key']))}: {each['Code']}" for each in answer.get("Errors", ())]

    def address(self, key: str) -> str:
        """As people write it."""
        return f"s3://{self.name}/{self._key(key)}"

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def _own(self, key: str) -> str:
        return key.removeprefix(f"{self.prefix}/")

    @contextlib.contextmanager
    def _told(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if code in ABSENT:
                raise _Absent(f"{self.address(key)}: is not there") from None
            if code in REFUSED:
                raise Refused(self.address(key)) from None
            message = error.response.get("Error", {}).get("Message", "")
            raise BackupError(f"{self.address(key)}: {code}: {message}".rstrip(": ")) from None
        except (NoConnection, HTTPClientError) as error:
            raise BackupError(f"{self.address(key)}: no answer after {ATTEMPTS} attempts: {error}") from None
        except BotoCoreError as error:
            raise BackupError(f"{self.address(key)}: {error}") from None
        except OSError as error:
            raise BackupError(f"{error.filename or self.address(key)}: {os.strerror(error.errno or 0)}") from None


class _Absent(BackupError):
    """There is no such object."""
