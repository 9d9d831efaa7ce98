"""One bit anywhere is noticed, and what can be mended is by the next run."""

from __future__ import annotations

import re
import zlib

import orjson
import pyrage
import pytest

from modelcard_ops.backup import files
from modelcard_ops.backup import run as runs
from modelcard_ops.backup import verify as verifications
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.files import File
from tests.ops.backup.world import World


@pytest.fixture
def undisturbed(quick: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Where a test is not about the database, it is not read back each time either."""
    monkeypatch.setattr(verifications, "_database", lambda *_: [])
    return quick


@pytest.mark.parametrize("kind", ["blobs/", "sets/.*uploads.age"])
def test_a_flipped_bit_makes_the_set_bad(undisturbed: World, kind: str) -> None:
    world = undisturbed
    world.flip(next(key for key in sorted(world.stored()) if re.match(kind, key)))
    found = verifications.verify(world.settings(), world.told.append)
    assert len(found.problems) == 1
    assert world.tools().catalog.sets()[-1].state == "bad"


def test_a_flipped_bit_in_the_manifest_makes_the_set_damaged(undisturbed: World) -> None:
    world = undisturbed
    set_id = world.manifests()[-1]
    world.flip(f"sets/{set_id}/manifest.json")
    assert world.tools().catalog.sets()[-1].state == "damaged"
    with pytest.raises(BackupError, match="is damaged"):
        world.tools().catalog.one(set_id)


def test_a_damaged_content_is_written_again_by_the_next_run(undisturbed: World) -> None:
    world = undisturbed
    world.flip(next(key for key in world.stored("blobs/")))
    first = verifications.verify(world.settings(), world.told.append)
    made = runs.run(world.settings(), world.told.append)
    again = verifications.verify(world.settings(), world.told.append, first.id)
    assert len(first.damaged) == 1
    assert made.uploads.uploaded > 0
    assert again.problems == []


def test_a_content_under_another_name_is_noticed(undisturbed: World) -> None:
    """Whole and encrypted for us, but not what its name says."""
    world = undisturbed
    one, other = world.stored("blobs/")[:2]
    world.s3.client.put_object(Bucket=world.s3_bucket, Key=f"{world.prefix}/{one}", Body=world.read(other))
    found = verifications.verify(world.settings(), world.told.append)
    assert [problem for problem in found.problems if "holds something else than its name says" in problem]


def test_a_sample_does_not_make_a_set_count(undisturbed: World) -> None:
    world = undisturbed
    runs.run(world.settings(), world.told.append)
    found = verifications.verify(world.settings(), world.told.append, sample=30)
    assert found.problems == []
    assert found.blobs < len(world.stored("blobs/"))
    assert not world.tools().catalog.sets()[-1].counts


def test_a_bucket_that_is_away_does_not_make_a_set_bad(undisturbed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = undisturbed
    monkeypatch.setattr("modelcard_ops.backup.bucket.ATTEMPTS", 1)
    settings = world.settings()
    with (
        world.s3.failing({"match": "GET .*/blobs/", "action": "drop"}),
        pytest.raises(BackupError, match="no answer"),
    ):
        verifications.verify(settings, world.told.append)
    assert world.tools().catalog.sets()[-1].state == "verified", "what was found earlier still holds"


@pytest.mark.parametrize(
    "path", ["../outside", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a\\..\\b", "nul\0byte", "a/./b"]
)
def test_a_malicious_list_of_files_is_refused_whole(undisturbed: World, path: str) -> None:
    world = undisturbed
    use = world.tools()
    part = files.write_index(use.bucket, use.data, "sets/evil/uploads.age", [File(path, 1, "0" * 64, 0, 0)], 0)
    with pytest.raises(BackupError, match="not a path below its folder: nothing of it is used"):
        files.read_index(use.bucket, use.data, part)


def test_a_link_in_the_target_leads_nowhere_else(undisturbed: World) -> None:
    world = undisturbed
    outside = world.folder / "outside"
    outside.mkdir()
    target = world.folder / "target"
    target.mkdir()
    (target / "ab").symlink_to(outside)
    with pytest.raises(BackupError, match="leads out of"):
        files.place(target, "ab/file", "a list")
    assert not list(outside.iterdir())


@pytest.mark.parametrize("body", [b"", b"no compression", zlib.compress(b"{"), zlib.compress(orjson.dumps([["a"]]))])
def test_a_list_that_is_no_list_is_damaged(undisturbed: World, body: bytes) -> None:
    use = undisturbed.tools()
    part = files.write_index(use.bucket, use.data, "sets/evil/uploads.age", [], 0)
    sealed = files.put_object(use.bucket, part.index.key, use.data.seal(body))
    with pytest.raises(BackupError, match="is damaged"):
        files.read_index(use.bucket, use.data, part.model_copy(update={"index": sealed}))


def test_what_is_for_somebody_else_cannot_be_read(undisturbed: World) -> None:
    world = undisturbed
    stranger = str(pyrage.x25519.Identity.generate())
    use = world.tools(identity=stranger)
    sha256 = world.stored("blobs/")[0].rpartition("/")[2]
    with pytest.raises(BackupError, match="cannot be decrypted"):
        use.blobs.check(sha256)
