"""`mcenv ci`: what the hosted workflows run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.environments.progress import Progress

app = typer.Typer(help="What the hosted workflows run; all of it runs here as well.", no_args_is_help=True)


@app.command("preview")
def preview_command(
    against: Annotated[str, typer.Option(help="The git revision to compare with.")],
    stacks: Annotated[
        list[str] | None, typer.Argument(help="All stacks of the checkout unless some are named.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the comment here instead of printing it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write what a change does to every stack, as a comment of its pull request: no engine, cluster or credentials."""
    from infra.environments.ci import comment
    from infra.environments.workspace import ROOT

    found = comment.reports(stacks or [], ROOT, against)
    if out is not None:
        out.write_text(comment.markdown(found), encoding="utf-8")
    if as_json or out is None:
        print(comment.plain(found) if as_json else comment.markdown(found))
    raise typer.Exit(0 if all(each.preview.ok for each in found) else 1)


@app.command("comment")
def comment_command(
    file: Annotated[Path, typer.Argument(help="What `mcenv ci preview --out` wrote.")],
    head: Annotated[str, typer.Option(help="The branch that is to be merged, as OWNER:BRANCH.")],
    commit: Annotated[str, typer.Option(help="Its commit that was previewed.")],
) -> None:
    """Write the comment below its pull request, in place of the one that is there."""
    from infra.environments.ci.comment import MARK
    from infra.environments.ci.github import GitHub
    from infra.errors import UserError

    try:
        body = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{file}: not a comment: write one with `mcenv ci preview --out {file}`") from None
    if not body.startswith(MARK):
        raise UserError(f"{file}: not a comment of `mcenv ci preview`")
    hub = GitHub.of_environment()
    number = hub.pull_request(head, commit)
    if number is None:
        print(f"{head}: no open pull request ends in {commit}: nothing written")
        return
    written = hub.comment(number, body)
    print(f"#{number}: {written.what} {written.url}")


@app.command("drift")
def drift_command(
    stacks: Annotated[list[str], typer.Argument(help="The stacks to look at.")],
    issues: Annotated[bool, typer.Option("--issues", help="Open, update and close an issue for each.")] = False,
) -> None:
    """Compare clusters with their states, changing neither."""
    from infra.environments.ci import drift
    from infra.environments.ci.github import GitHub

    hub = GitHub.of_environment() if issues else None
    found = drift.look(stacks, Progress())
    for each in found:
        said = f"{len(each.changes)} objects differ" if each.changes else each.failure or "as the state says"
        print(f"{each.stack}: {said}")
        if hub:
            written = drift.report(each, hub)
            print(f"{each.stack}: issue: {written.what} {written.url}".rstrip())
    raise typer.Exit(1 if any(each.found for each in found) else 0)
