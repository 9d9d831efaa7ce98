"""age: for whom something is encrypted, and who can read it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO, Protocol

import pyrage
from pyrage import x25519

from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.settings import PREFIX, Settings


class Readable(Protocol):
    """What is encrypted comes from it."""

    def read(self, size: int = -1, /) -> bytes:
        """As a file does."""
        ...


class Writable(Protocol):
    """What is decrypted goes to it."""

    def write(self, piece: bytes, /) -> int:
        """As a file does."""
        ...

    def flush(self) -> None:
        """As a file does."""
        ...


class Cipher:
    """`seal` and `open` for a fixed set of recipients and at most one identity."""

    def __init__(self, recipients: list[x25519.Recipient], identity: x25519.Identity | None) -> None:
        self._recipients, self._identity = recipients, identity

    def seal(self, plain: bytes) -> bytes:
        """Encrypted, and protected against change."""
        return bytes(pyrage.encrypt(plain, self._recipients))

    def seal_file(self, plain: Readable, sealed: IO[bytes]) -> None:
        """The same, in pieces. Raises `BackupError` if one of the files cannot be read or written."""
        try:
            pyrage.encrypt_io(plain, sealed, self._recipients)
        except (pyrage.EncryptError, OSError) as error:
            raise BackupError(f"encrypting: {error}") from None

    def open(self, sealed: bytes, name: str) -> bytes:
        """Decrypted. Raises `BackupError` if anything of it is changed or missing, or if it is for somebody else."""
        plain = io.BytesIO()
        self.open_file(io.BytesIO(sealed), plain, name)
        return plain.getvalue()

    def open_file(self, sealed: IO[bytes], plain: Writable, name: str) -> None:
        """The same, in pieces: what was written before an error is not to be used."""
        try:
            pyrage.decrypt_io(sealed, plain, [self._identity] if self._identity else [])
        except (pyrage.DecryptError, OSError, ValueError) as error:
            raise BackupError(f"{name}: cannot be decrypted: {error}") from None


def of_data(settings: Settings) -> Cipher:
    """For what a drill must be able to read: the stack's own identity, and the recipient as well where there is one."""
    identity = parse_identity(settings.secret("identity"), f"{PREFIX}IDENTITY")
    recipients = [identity.to_public()]
    if settings.recipient:
        recipients.append(parse_recipient(settings.recipient))
    return Cipher(recipients, identity)


def of_secrets(settings: Settings, identity_file: Path | None = None) -> Cipher:
    """For what nobody in the cluster can read: the recipient's key comes as a file, from where it is kept."""
    recipient = parse_recipient(settings.text("recipient"))
    identity = None
    if identity_file is not None:
        try:
            lines = identity_file.read_text().splitlines()
        except OSError as error:
            raise BackupError(f"{identity_file}: {error.strerror}") from None
        keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        identity = parse_identity(keys[0] if len(keys) == 1 else "", str(identity_file))
    return Cipher([recipient], identity)


def parse_identity(text: str, where: str) -> x25519.Identity:
    """An age identity. The message never has any of it."""
    try:
        return x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError:
        raise BackupError(f"{where}: is not an age identity (AGE-SECRET-KEY-1…), as `age-keygen` writes it") from None


def parse_recipient(text: str) -> x25519.Recipient:
    """An age recipient."""
    try:
        return x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError:
        raise BackupError(f"{PREFIX}RECIPIENT: {text!r} is not an age recipient (age1…)") from None
