"""`mcenv env`: preview environments from the command line."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from infra.environments.progress import Progress

app = typer.Typer(
    help="Preview environments: small stacks beside another one, that end by themselves.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Its name: a branch, a pull request such as pr-12, a person.")]
From = Annotated[str, typer.Option("--from", help="The stack that it derives from, and whose cluster it is on.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("up")
def up_command(
    name: Name,
    source: From = "dev",
    ttl: Annotated[str, typer.Option(help="When it may be removed, counted from now: 90m, 24h, 3d.")] = "24h",
    as_json: Json = False,
) -> None:
    """Deploy a preview environment, or bring it up to date; its time starts anew."""
    from infra.environments import deployment
    from infra.environments.ephemeral import derived, lifecycle, lifetime

    life = lifetime.parse(ttl)
    space, outcome = lifecycle.up(derived.origin(source), name, life, Progress(quiet=as_json))
    settings = deployment.settings_of(space)
    if as_json:
        outputs = {"name": name, "namespace": settings.namespace, "url": outcome.outputs.get("url")}
        print(json.dumps(outputs | {"seconds": round(outcome.seconds, 1), "changes": len(outcome.changes)}, indent=2))
        return
    print(f"{name}: {len(outcome.changes)} changes in {outcome.seconds:.1f} s. {outcome.outputs.get('url', '')}")
    print(
        f"namespace {settings.namespace}, for {ttl}: `mcenv env up {name}` renews it, `mcenv env down {name}` ends it"
    )


@app.command("list")
def list_command(source: From = "dev", as_json: Json = False) -> None:
    """Show the preview environments beside a stack: whose time is over, and what runs."""
    from datetime import UTC, datetime

    from infra.environments.ephemeral import derived, lifecycle, lifetime

    now = datetime.now(UTC)
    environments = lifecycle.listed(derived.origin(source))
    if as_json:
        print(json.dumps([each.plain() for each in environments], indent=2))
        return
    if not environments:
        print(f"there are no preview environments beside {source}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in ("name", "left", "pods ready", "namespace"):
        table.add_column(heading)
    for each in environments:
        rest = "being removed" if each.removing else lifetime.left(each.expires, now) if each.expires else "unknown"
        table.add_row(each.name, rest, f"{each.ready}/{each.pods}", each.namespace)
    Console().print(table)


@app.command("down")
def down_command(name: Name, source: From = "dev") -> None:
    """Remove a preview environment now; it is no mistake when there is none."""
    from infra.environments.ephemeral import derived, lifecycle

    removed = lifecycle.down(derived.origin(source), name, Progress())
    print(f"{name}: removed" if removed else f"{name}: there is no such preview environment beside {source}")


@app.command("reap")
def reap_command(source: From = "dev", as_json: Json = False) -> None:
    """Remove every preview environment whose time is over, also where its branch, state or stack file is gone."""
    from infra.environments.ephemeral import derived, lifecycle
    from infra.errors import UserError

    reaped = lifecycle.reap(derived.origin(source), Progress(quiet=as_json))
    if as_json:
        print(json.dumps({"removed": reaped.removed, "failed": reaped.failed}, indent=2))
    else:
        print(f"removed: {', '.join(reaped.removed) or 'none'}")
    if reaped.failed:
        raise UserError("\n".join(reaped.failed))
