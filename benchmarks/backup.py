"""Our sets against the operations guide's script, on the same data in the same run; and against pgBackRest alone.

`python -m benchmarks.backup [GIB]` (default 2): a database of three quarters of that and uploads of the rest,
PostgreSQL 15, S3 by moto over TLS on loopback. The guide's script is run as it is written: `pg_dump | gzip`,
`tar -czf`, then an upload; its restore is a download, `gunzip | psql`, `tar -x`. `aws s3 sync` is boto3's own transfer
here. The cluster's objects and Prometheus, small on both sides, are left out on both.

Bars: a restore is at least 3 times as fast as the script's; the database's part of a set takes at most 1.1 times what
`pgbackrest backup` alone takes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pyrage
from boto3.s3.transfer import TransferConfig

from modelcard_ops.backup import restore as restores
from modelcard_ops.backup import run as runs
from modelcard_ops.backup.pgbackrest import PgBackRest
from modelcard_ops.backup.programs import environment, find, own, unprivileged
from tests import unpacked
from tests.ops.backup.certificates import Certificates
from tests.ops.backup.conftest import database_of
from tests.ops.backup.s3 import BUCKET, S3
from tests.ops.backup.server import Server, in_bucket
from tests.ops.backup.world import USER, World

FASTER, OVERHEAD = 3.0, 1.1
FILE = 4 * 1024 * 1024  # bytes of an upload
ROW = 3_200  # bytes of a card's row and its share of the indices, as generated below


def main() -> int:
    """Measures, prints a table, and says by its exit status whether the bars hold."""
    size = int(float(sys.argv[1] if len(sys.argv) > 1 else "2") * 2**30)
    folder = Path(tempfile.mkdtemp(prefix="mcops-benchmark-"))
    folder.chmod(0o755)
    try:
        with unpacked.programs():
            return _measure(folder, size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(folder: Path, size: int) -> int:
    tls, host = _owned(folder / "tls"), _owned(folder / "host")
    certificates = Certificates(tls)
    s3 = S3(certificates.authority, certificates.certificate, certificates.key)
    s3.create_bucket()
    server = Server(host, certificates, in_bucket(certificates.authority, s3.port, BUCKET, "ours"))
    try:
        identity, key = (str(pyrage.x25519.Identity.generate()) for _ in range(2))
        uploads = folder / "uploads"
        uploads.mkdir()
        world = World(
            s3, server, _owned(folder / "scratch"), uploads, database_of(server), identity, key, prefix="ours"
        )
        PgBackRest(world.settings()).create_stanza()
        _fill(world, size)
        ours, alone, overhead = _ours(world, folder)
        script = _script(world, folder)
    finally:
        server.close()
        s3.close()
    print(f"\n{'':22}{'ours':>10}{'script':>10}{'ratio':>8}")
    for name in ("back up, s", "restore, s", "stored, MiB"):
        print(f"{name:22}{ours[name]:>10.1f}{script[name]:>10.1f}{script[name] / ours[name]:>8.2f}")
    faster = script["restore, s"] / ours["restore, s"]
    print(f"restore is {faster:.1f} times as fast as the script's (bar: {FASTER:g})")
    print(f"the database's part takes {overhead:.2f} times pgBackRest alone, {alone:.1f} s (bar: {OVERHEAD:g})")
    return 0 if faster >= FASTER and overhead <= OVERHEAD else 1


def _owned(path: Path) -> Path:
    path.mkdir(mode=0o755)
    own(path)
    return path


def _fill(world: World, size: int) -> None:
    """Cards whose text compresses like text, in the service's own tables; uploads that do not compress."""
    rows = size * 3 // 4 // ROW
    print(f"generating {rows} cards and {size // 4 // FILE} uploads", flush=True)
    with world.connect() as connection:
        connection.execute(
            "INSERT INTO model_cards (id, user_id, name, format, template, description, content) "
            "SELECT gen_random_uuid(), %s, 'card ' || n, 'google', 'standard', jsonb_build_object('n', n), "
            "(SELECT string_agg(md5((n * 64 + i)::text) || ' accuracy of the model ', '') "
            "FROM generate_series(1, 52) i) "
            "FROM generate_series(1, %s) n",
            (USER, rows),
        )
    with world.server.connect() as connection:
        connection.execute("CHECKPOINT")
    for _ in range(size // 4 // FILE):
        world.upload(os.urandom(FILE))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ours(world: World, folder: Path) -> tuple[dict[str, float], float, float]:
    """A first set, which is a full one; pgBackRest alone and our database part, one after the other, three times."""
    settings = world.settings(full_every=1)
    quiet: Callable[[str], None] = lambda _: None  # noqa: E731 - what is told is not measured
    print("ours: set", flush=True)
    back_up = _timed(lambda: runs.run(settings, quiet))
    stored = sum(entry.size for entry in world.tools().bucket.list(""))
    target, files = folder / "restored", folder / "restored-uploads"
    print("ours: restore", flush=True)
    request = restores.Request(database=target, uploads=files)
    restore = _timed(lambda: restores.execute(settings, restores.plan(settings, request, quiet), quiet))
    _same(world.uploads, files)
    shutil.rmtree(target)
    shutil.rmtree(files)
    ratios, alone = [], []
    use = world.tools(full_every=1)
    for number in range(3):
        print(f"pgBackRest alone and in a set, {number + 1} of 3", flush=True)
        alone.append(_timed(lambda: _pgbackrest(world)))
        name = f"20260101T00000{number}Z-000000"
        part = _timed(lambda name=name: runs._database(use, name, use.bucket.now()))  # type: ignore[misc]  # noqa: SLF001
        ratios.append(part / alone[-1])
    measured = {"back up, s": back_up, "restore, s": restore, "stored, MiB": stored / 2**20}
    return measured, statistics.median(alone), statistics.median(ratios)


def _pgbackrest(world: World) -> None:
    command = [
        find("pgbackrest"), f"--config={world.server.job_config}", "--stanza=modelcard", "--type=full",
        "--no-expire-auto", "--start-fast", "backup",
    ]  # fmt: skip
    user = unprivileged()
    subprocess.run(command, check=True, user=user, group=user, extra_groups=[] if user else None, env=environment())


def _script(world: World, folder: Path) -> dict[str, float]:
    """The guide's `backup-system.sh` and `disaster-recovery.sh`, line by line."""
    backup, restored = folder / "script", folder / "script-restored"
    backup.mkdir()
    restored.mkdir()
    transfer = TransferConfig()
    names = ("database.sql.gz", "uploads.tar.gz")
    day = "20260131"

    def back_up() -> None:
        dump = f"{find('pg_dump')} {world.server.url(world.database)} | gzip > {backup}/database.sql.gz"
        subprocess.run(["bash", "-ec", dump], check=True)
        subprocess.run(["tar", "-czf", backup / "uploads.tar.gz", "-C", world.uploads, "."], check=True)
        for name in names:
            world.s3.client.upload_file(str(backup / name), BUCKET, f"script/{day}/{name}", Config=transfer)

    def restore() -> None:
        for name in names:
            world.s3.client.download_file(BUCKET, f"script/{day}/{name}", str(restored / name), Config=transfer)
        url = world.server.url(empty)
        load = f"gunzip -c {restored}/database.sql.gz | {find('psql')} --quiet --output=/dev/null {url}"
        subprocess.run(["bash", "-ec", load], check=True)
        subprocess.run(["tar", "-xzf", restored / "uploads.tar.gz", "-C", restored], check=True)

    print("script: back up", flush=True)
    took = _timed(back_up)
    empty = f"restored-{uuid.uuid4().hex[:6]}"
    with world.server.connect() as connection:
        connection.execute(f'CREATE DATABASE "{empty}"')
    print("script: restore", flush=True)
    again = _timed(restore)
    stored = sum((backup / name).stat().st_size for name in names)
    return {"back up, s": took, "restore, s": again, "stored, MiB": stored / 2**20}


def _same(one: Path, other: Path) -> None:
    """A restore that is fast and wrong is not measured."""
    for path in one.rglob("*"):
        if path.is_file():
            found = other / path.relative_to(one)
            if hashlib.sha256(found.read_bytes()).digest() != hashlib.sha256(path.read_bytes()).digest():
                raise SystemExit(f"{found} was not restored")


if __name__ == "__main__":
    sys.exit(main())
