"""`mcops backup`: one point in time of everything, kept where this cluster cannot lose it, and restored every day.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partial (committed, but a part is missing), 4 locked by another run,
5 a drill missed its objective, 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from modelcard_ops.backup.errors import BackupError, ObjectiveMissed, Partial
from modelcard_ops.backup.settings import Settings, from_environment

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
Json = Annotated[bool, typer.Option("--json", help="For a program: one JSON document on standard output.")]
SetId = Annotated[str | None, typer.Argument(metavar="[SET]", help="Default: the newest.")]


@app.command()
def run(*, as_json: Json = False) -> None:
    """Makes a set: database, uploads, cluster objects, Prometheus' data. It exists once its manifest is written."""
    from modelcard_ops.backup import run as runs

    settings = _settings()
    made = runs.run(settings, _told)
    database, uploads = made.database, made.uploads
    _say(
        as_json,
        made,
        f"set {made.id} in {made.duration:.1f} s: database {_bytes(database.size)} ({database.type}, "
        f"{_bytes(database.stored)} stored), {uploads.files} uploads {_bytes(uploads.size)} "
        f"({_bytes(uploads.uploaded)} new)",
    )
    if made.missing:
        raise Partial("\n".join(f"{part} is missing from set {made.id}: {why}" for part, why in made.missing.items()))


@app.command()
def uploads(*, every: Annotated[float, typer.Option(help="Seconds between two passes; 0: one.")] = 0) -> None:
    """Copies uploads that no set has yet, so that every point between two sets has its files."""
    from modelcard_ops.backup import run as runs

    settings = _settings()
    seen = runs.copy_uploads(settings, _told)
    while every > 0:
        time.sleep(every)
        try:
            seen = runs.copy_uploads(settings, _told, seen)
        except BackupError as error:
            print(f"mcops: {error}; trying again in {every:g} s", file=sys.stderr, flush=True)


@app.command("list")
def list_sets(*, as_json: Json = False) -> None:
    """Shows the sets, oldest first."""
    from modelcard_ops.backup.bucket import Bucket
    from modelcard_ops.backup.catalog import Catalog

    sets = Catalog(Bucket(_settings())).sets()
    if as_json:
        print(json.dumps([{"id": each.id, "state": each.state, **_plain(each)} for each in sets]))
        return
    for each in sets:
        part = each.manifest
        what = f"{_bytes(part.database.size + part.uploads.size):>10}  {part.database.type:4}" if part else each.problem
        print(f"{each.id}  {each.state:12}  {what}")
    if not sets:
        print("no set yet: `mcops backup run` makes one")


@app.command()
def verify(
    set_id: SetId = None,
    *,
    sample: Annotated[int, typer.Option(min=1, max=100, help="Percent of the contents; retention wants 100.")] = 100,
    as_json: Json = False,
) -> None:
    """Reads a set back and compares every byte with what it should be."""
    from modelcard_ops.backup.verify import verify as check

    found = check(_settings(), _told, set_id, sample)
    _say(as_json, found, f"set {found.id}: {found.blobs} contents, {_bytes(found.size)} read in {found.duration:.1f} s")
    if found.problems:
        raise BackupError(
            "\n".join([*found.problems, f"set {found.id} is bad; `mcops backup run` writes again what is damaged"])
        )


@app.command()
def prune(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Deletes what retention does not keep: counted over verified sets only, and never the last of them."""
    from modelcard_ops.backup.prune import prune as delete

    found = delete(_settings(), _told, dry_run=dry_run)
    lines = [f"keep    {set_id}  {why}" for set_id, why in found.decision.keep.items()]
    lines += [f"delete  {set_id}" for set_id in found.decision.delete]
    lines += [f"delete  database backup {label}" for label in found.backups]
    verb = "would be deleted" if dry_run else "deleted"
    _say(as_json, found, "\n".join([*lines, f"{found.contents} contents, {_bytes(found.size)} {verb}"]))
    if found.refused:
        raise Partial("\n".join(f"{each}: not deleted, it may still be locked" for each in found.refused[:20]))


@app.command()
def restore(  # noqa: PLR0913 - a restore has that many parts
    *,
    at: Annotated[
        str | None, typer.Option(help="A time (2026-01-31T02:00:00Z) or a date; default: all there is.")
    ] = None,
    set_id: Annotated[str | None, typer.Option("--set", help="Exactly this set.")] = None,
    database: Annotated[
        Path | None, typer.Option(help="Empty folder that becomes PostgreSQL's data directory.")
    ] = None,
    uploads: Annotated[Path | None, typer.Option(help="Folder of the uploads.")] = None,
    prometheus: Annotated[Path | None, typer.Option(help="Empty folder that becomes Prometheus' data.")] = None,
    into: Annotated[
        str | None, typer.Option(help="Namespace in which missing ConfigMaps and Secrets are created.")
    ] = None,
    identity_file: Annotated[Path | None, typer.Option(help="The recipient's private key, for Secrets.")] = None,
    production: Annotated[
        bool, typer.Option("--production", help="This becomes the production database: its archive goes on from here.")
    ] = False,
    accept_missing: Annotated[
        bool, typer.Option("--accept-missing", help="Succeed though an upload is nowhere to be found; it is told.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it, do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Brings a point in time back. Says what it will do first; overwrites and deletes nothing."""
    from modelcard_ops.backup import restore as restores

    settings = _settings()
    request = restores.Request(
        moment=at,
        set_id=set_id,
        database=database.resolve() if database else None,
        uploads=uploads.resolve() if uploads else None,
        prometheus=prometheus.resolve() if prometheus else None,
        namespace=into,
        identity_file=identity_file,
        production=production,
    )
    plan = restores.plan(settings, request, _told)
    _told(f"from set {plan.manifest.id} of {plan.manifest.database.at:%Y-%m-%d %H:%M:%S} UTC:")
    for number, step in enumerate(plan.steps, 1):
        _told(f"  {number}. {step}")
    if not yes and not _agreed():
        raise BackupError("nothing was done: --yes does it")
    done = restores.execute(settings, plan, _told)
    rows = "" if done.rows is None else f", {done.rows} rows"
    text = f"restored in {done.duration:.1f} s{rows}, {done.uploads} uploads, {done.created} cluster objects"
    _say(as_json, done, text)
    if done.problems and accept_missing:
        _told("\n".join(done.problems))
    elif done.problems:
        raise Partial("\n".join(done.problems))


@app.command()
def drill(*, as_json: Json = False) -> None:
    """Restores the newest set into scratch space, compares rows, pages and files, and records RTO and RPO."""
    from modelcard_ops.backup.drill import drill as rehearse

    found = rehearse(_settings(), _told)
    _say(
        as_json,
        found,
        f"set {found.id}: {found.rows} rows, {found.uploads} uploads; RTO {found.rto:.1f} s (objective "
        f"{found.rto_objective:g} s), RPO {found.rpo:.1f} s (objective {found.rpo_objective:g} s)",
    )
    if found.problems:
        raise BackupError("\n".join(found.problems))
    if not found.passed:
        raise ObjectiveMissed(
            f"the drill missed its objective: RTO {found.rto:.1f} of {found.rto_objective:g} s, "
            f"RPO {found.rpo:.1f} of {found.rpo_objective:g} s"
        )


@app.command("stanza")
def stanza() -> None:
    """Prepares pgBackRest's repository, once per database; does nothing if it is."""
    from modelcard_ops.backup.pgbackrest import PgBackRest

    PgBackRest(_settings()).create_stanza()


@app.command()
def exporter() -> None:
    """Serves metrics about the sets, by TLS."""
    from modelcard_ops.backup import exporter as exporters

    settings = _settings()
    exporters.serve(exporters.app(settings), settings)


@app.command()
def snapshots() -> None:
    """Beside Prometheus: hands out the files of its snapshots, by TLS, and removes them."""
    from modelcard_ops.backup import exporter as exporters
    from modelcard_ops.backup import snapshots as sidecar

    settings = _settings()
    exporters.serve(sidecar.app(settings), settings)


def _settings() -> Settings:
    return from_environment()


def _told(text: str) -> None:
    """Progress, for whoever watches; standard output is for the outcome."""
    print(text, file=sys.stderr, flush=True)


def _agreed() -> bool:
    return sys.stdin.isatty() and typer.confirm("Do it?", err=True)


def _say(as_json: bool, outcome: Any, text: str) -> None:  # noqa: FBT001 - the one thing it chooses by
    print(json.dumps(_plain(outcome)) if as_json else text, flush=True)


def _plain(outcome: Any) -> Any:
    if isinstance(outcome, BaseModel):
        return outcome.model_dump(mode="json")
    if dataclasses.is_dataclass(outcome) and not isinstance(outcome, type):
        return {each.name: _plain(getattr(outcome, each.name)) for each in dataclasses.fields(outcome)}
    if isinstance(outcome, dict):
        return {str(key): _plain(value) for key, value in outcome.items()}
    if isinstance(outcome, (list, tuple)):
        return [_plain(each) for each in outcome]
    return outcome.isoformat() if isinstance(outcome, datetime) else outcome


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
