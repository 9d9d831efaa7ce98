"""Which sets stay, and that nothing else goes with those that do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcard_ops.backup import prune as prunes
from modelcard_ops.backup import run as runs
from modelcard_ops.backup.blobs import digest_of
from modelcard_ops.backup.catalog import BackupSet
from modelcard_ops.backup.errors import BackupError, Locked
from modelcard_ops.backup.lease import name_of
from modelcard_ops.backup.pgbackrest import PgBackRest
from modelcard_ops.backup.retention import Policy, decide
from tests.ops.backup.sets import made
from tests.ops.backup.world import World

START = datetime(2026, 1, 1, 2, tzinfo=UTC)


def backup_set(day: int, **kind: bool) -> BackupSet:
    return made(START + timedelta(days=day), day + 1, **kind)


def test_days_weeks_and_months_are_kept() -> None:
    sets = [backup_set(day) for day in range(120)]
    decision = decide(sets, Policy(daily=7, weekly=5, monthly=12), START + timedelta(days=120))
    kept = [each.id[:8] for each in sets if each.id in decision.keep]
    assert kept == [
        "20260131", "20260228", "20260331", "20260405", "20260412", "20260419", "20260424", "20260425", "20260426",
        "20260427", "20260428", "20260429", "20260430",
    ]  # fmt: skip


def test_bad_runs_never_evict_good_ones() -> None:
    good = [backup_set(day) for day in range(3)]
    bad = [backup_set(day, good=day % 2 == 0, verified=day % 2 == 1, complete=False) for day in range(3, 40)]
    decision = decide([*good, *bad], Policy(daily=3, weekly=0, monthly=0), START + timedelta(days=40))
    assert {each.id for each in good} <= decision.keep.keys()


def test_an_empty_policy_is_refused() -> None:
    with pytest.raises(BackupError, match="the retention keeps nothing"):
        decide([backup_set(0)], Policy(daily=0, weekly=0, monthly=0), START)


def test_without_a_verified_set_nothing_goes() -> None:
    sets = [backup_set(day, verified=False) for day in range(50)]
    assert not decide(sets, Policy(daily=1, weekly=0, monthly=0), START + timedelta(days=400)).delete


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)).filter(any),
)
def test_the_last_good_set_always_stays(kinds: list[tuple[bool, bool, bool]], counts: tuple[int, int, int]) -> None:
    sets = [
        backup_set(day, good=good, verified=verified, complete=complete)
        for day, (good, verified, complete) in enumerate(kinds)
    ]
    policy = Policy(daily=counts[0], weekly=counts[1], monthly=counts[2])
    decision = decide(sets, policy, START + timedelta(days=len(sets) + 30))
    counting = [each.id for each in sets if each.counts]
    if counting:
        assert counting[-1] in decision.keep
        assert len([each for each in counting if each in decision.keep]) >= min(len(counting), counts[0])
    else:
        assert not decision.delete


def test_pruning_deletes_what_no_kept_set_names_however_many_objects_there_are(quick: World) -> None:
    """2,500 contents of a set that goes, on more than two pages; those of the one that stays are still there."""
    use = quick.tools()
    first = use.catalog.one(quick.manifests()[0])
    filled = [f"blobs/{number % 256:02x}/{number:064x}" for number in range(2500)]
    quick.s3.fill([f"{quick.prefix}/{key}" for key in filled])
    old = first.model_copy(update={"id": name_of(START, 0), "token": 0})
    use.catalog.commit(old)
    kept = set(quick.stored("blobs/")) - set(filled)

    planned = prunes.prune(quick.settings(), quick.told.append, dry_run=True)
    assert len(quick.stored("blobs/")) == 2500 + len(kept)
    done = prunes.prune(quick.settings(), quick.told.append)

    assert planned.contents == done.contents == 2500
    assert list(done.decision.delete) == [old.id]
    assert set(quick.stored("blobs/")) == kept
    assert quick.manifests() == [first.id]
    assert first.database.label in {each.label for each in PgBackRest(quick.settings()).repository().backups}


def test_a_set_that_is_locked_keeps_what_it_names(quick: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Object Lock refuses to delete its manifest, while a content of it may be older than the lock."""
    use = quick.tools()
    first = use.catalog.one(quick.manifests()[0])
    content = b"of the old set only"
    part = runs.files.write_index(use.bucket, use.data, "sets/x/uploads.age", [_file(quick, content)], 0)
    old = first.model_copy(update={"id": name_of(START, 0), "token": 0, "uploads": part})
    use.catalog.commit(old)
    monkeypatch.setattr("modelcard_ops.backup.bucket.Bucket.delete", lambda _, entries: [each.key for each in entries])
    done = prunes.prune(quick.settings(), quick.told.append)
    assert done.refused == [f"sets/{old.id}/manifest.json"]
    assert done.contents == 0
    assert old.id in quick.manifests()


def _file(world: World, content: bytes) -> runs.File:
    path = world.folder / "content"
    path.write_bytes(content)
    blob = digest_of(path)
    world.tools().blobs.put(path, blob)
    return runs.File("a", blob.size, blob.sha256, 0, 0)


def test_a_backup_of_no_set_goes_and_one_that_others_need_stays(world: World) -> None:
    made = runs.run(world.settings(), world.told.append)
    orphan = PgBackRest(world.settings()).backup("20260101T000000Z-000000", START)
    done = prunes.prune(world.settings(), world.told.append)
    labels = {each.label for each in PgBackRest(world.settings()).repository().backups}
    assert orphan.label in done.backups
    assert orphan.label not in labels
    assert made.database.label in labels
    first = world.tools().catalog.one(world.manifests()[0])
    assert first.database.label in labels, "the differential backup of the second set needs it"


def test_after_the_newest_full_backup_was_deleted_the_next_one_is_full(world: World) -> None:
    runs.run(world.settings(), world.told.append)
    tool = PgBackRest(world.settings())
    newest = tool.backup("20260101T000000Z-000001", datetime.now(UTC) + timedelta(days=30))
    assert newest.type == "full"
    tool.expire([newest.label])
    made = runs.run(world.settings(), world.told.append)
    assert made.database.label.endswith("F")


def test_nothing_is_deleted_while_a_kept_set_cannot_be_read(quick: World) -> None:
    newest = quick.manifests()[-1]
    runs.run(quick.settings(), quick.told.append)
    quick.flip(f"sets/{quick.manifests()[-1]}/manifest.json")
    quick.s3.client.put_object(Bucket=quick.s3_bucket, Key=f"{quick.prefix}/blobs/00/{0:064x}", Body=b"x")
    done = prunes.prune(quick.settings(), quick.told.append)
    assert done.contents == 0
    assert f"blobs/00/{0:064x}" in quick.stored("blobs/")
    assert newest in quick.manifests()


def test_a_pruning_run_that_lost_its_lease_stops(quick: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = quick.stored("blobs/")

    def lost(_: object) -> None:
        raise Locked("another run has taken over the lease")

    quick.s3.client.put_object(Bucket=quick.s3_bucket, Key=f"{quick.prefix}/blobs/00/{0:064x}", Body=b"x")
    monkeypatch.setattr("modelcard_ops.backup.lease.Lease.check", lost)
    with pytest.raises(Locked):
        prunes.prune(quick.settings(), quick.told.append)
    assert set(before) < set(quick.stored("blobs/"))


def test_what_a_dead_pruning_run_meant_to_delete_is_written_again(quick: World) -> None:
    content = b"deleted tomorrow, needed today"
    quick.upload(content)
    made = runs.run(quick.settings(), quick.told.append)
    use = quick.tools()
    listed = runs.Earlier(use).of("uploads").files
    use.bucket.put(runs.CONDEMNED, b'["%s"]' % listed[0].sha256.encode())
    again = runs.run(quick.settings(), quick.told.append)
    assert made.uploads.uploaded == len(content)
    assert again.uploads.uploaded == listed[0].size
