"""Canaries in the database, the uploads and the cluster objects are found in no stored object, process list or log."""

from __future__ import annotations

import base64
import threading
import uuid
from pathlib import Path

import pytest

from modelcard_ops.backup import cluster, encryption
from modelcard_ops.backup.errors import BackupError
from tests.ops.backup.server import CIPHER
from tests.ops.backup.world import World

CANARY = "canary-" + uuid.uuid4().hex


class Watcher(threading.Thread):
    """Reads every command line and environment of the machine for as long as it may."""

    def __init__(self, words: set[bytes]) -> None:
        super().__init__(daemon=True)
        self.words, self.done, self.found = words, threading.Event(), set[str]()
        self.seen: set[bytes] = set()

    def run(self) -> None:
        while not self.done.wait(0.005):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                self.seen.add(line)
                if any(word in line for word in self.words):
                    self.found.add(line.replace(b"\0", b" ").decode(errors="replace"))


def test_no_canary_leaves_in_plain(world: World) -> None:
    world.upload(f"{CANARY} in an upload".encode())
    with world.connect() as connection:
        connection.execute("UPDATE users SET username = %s", (f"{CANARY} in a row",))
    words = {CANARY.encode(), CIPHER.encode(), world.identity.encode(), world.recipient_key.encode()}
    watcher = Watcher(words)
    watcher.start()
    done = world.mcops("run")
    checked = world.mcops("verify")
    watcher.done.set()
    watcher.join()
    assert done.returncode == checked.returncode == 0, done.stderr + checked.stderr
    assert any(b"pgbackrest" in line for line in watcher.seen), "nothing was watched"
    assert not watcher.found
    said = done.stdout + done.stderr + checked.stdout + checked.stderr
    encodings = [*words, base64.b64encode(CANARY.encode())[:-4], CANARY.encode("utf-16-le")]
    assert not [word for word in words if word.decode() in said]
    for key in world.stored():
        assert not [word for word in encodings if word in world.read(key)], key
    repository = world.server.folder / "repository"
    for path in repository.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert not [word for word in encodings if word in path.read_bytes()], path
    for log in world.server.folder.glob("*.log"):
        assert not [word for word in words if word in log.read_bytes()], log


def test_secrets_are_for_the_recipient_only(quick: World, tmp_path: Path) -> None:
    secret = {
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "login"}, "data": {"password": base64.b64encode(CANARY.encode()).decode()},
    }  # fmt: skip
    saved = cluster.Saved(config_maps=[], secrets=[secret], missing=[])
    sealed = encryption.of_secrets(quick.settings()).seal(saved.body())
    with pytest.raises(BackupError, match="cannot be decrypted"):
        quick.tools().data.open(sealed, "with what the cluster has")
    key = tmp_path / "key"
    key.write_text(f"# created: today\n{quick.recipient_key}\n")
    opened = encryption.of_secrets(quick.settings(), key).open(sealed, "with the recipient's key")
    assert cluster.objects(opened) == [secret]


def test_a_wrong_key_is_said_without_any_of_it(quick: World, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(f"{quick.recipient_key[:-5]}\n")
    with pytest.raises(BackupError, match="is not an age identity") as raised:
        encryption.of_secrets(quick.settings(), key)
    assert quick.recipient_key[16:40] not in str(raised.value)
