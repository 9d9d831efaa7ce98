"""`mcenv`: preview, deploy and remove a stack."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from infra.environments.ci.cli import app as workflow_commands
from infra.environments.ephemeral.cli import app as environment_commands
from infra.environments.progress import Progress
from infra.environments.workspace import LOCAL, ROOT, exclusive, workspace
from infra.errors import UserError
from infra.quantities import Moment
from infra.settings import NEWEST

if TYPE_CHECKING:
    from infra.environments.deployment import Status
    from infra.environments.engine import Change

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
state_commands = typer.Typer(help="Copies of a stack's state, and the way back to one.", no_args_is_help=True)
secret_commands = typer.Typer(help="A stack's passwords and certificates.", no_args_is_help=True)
app.add_typer(secret_commands, name="secrets")
app.add_typer(environment_commands, name="env")
app.add_typer(state_commands, name="state")
app.add_typer(workflow_commands, name="ci")
sizing_commands = typer.Typer(help="How large something must be.", no_args_is_help=True)
app.add_typer(sizing_commands, name="sizing")

Stack = Annotated[str, typer.Argument(help="A stack of this checkout: the middle of Pulumi.STACK.yaml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("preview")
def preview_command(
    stack: Stack,
    against: Annotated[
        str | None, typer.Option(help="Another stack, a git revision, or `state`: what is applied.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write one YAML file per manifest into this folder.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a stack declares and what is wrong with it: no engine, cluster or credentials."""
    from infra.environments.preview import preview, render_json, render_markdown, render_text, write_to

    folder, state = ROOT, None
    if against == "state":
        space = workspace(stack)
        folder, state = space.project, space.state_file
    result = preview(stack, folder, against=against, state_file=state)
    if out is not None:
        write_to(result.manifests, out)
    render = render_json if as_json else render_markdown if markdown else render_text
    print(render(result))
    raise typer.Exit(0 if result.ok else 1)


@app.command("up")
def up_command(
    stack: Stack = LOCAL,
    plan: Annotated[Path | None, typer.Option(help="Do what `mcenv plan` wrote here, or nothing.")] = None,
    as_json: Json = False,
) -> None:
    """Deploy a stack with the Pulumi engine; `local` on an embedded control plane, others on KUBECONFIG's cluster."""
    from infra.environments import deployment
    from infra.environments.plan import Plan

    space = workspace(stack)
    approved = Plan.read(plan) if plan else None
    with exclusive(space):
        outcome = deployment.up(space, Progress(quiet=as_json), approved)
        status = deployment.status(space)
    if as_json:
        changes = [asdict(change) for change in outcome.changes]
        _print_json(
            {"seconds": round(outcome.seconds, 1), "changes": changes, "outputs": outcome.outputs, **asdict(status)}
        )
    else:
        _print_status(status)
        what = _summary(outcome.changes) if outcome.changed else "nothing changed"
        print(f"{stack}: {what} in {outcome.seconds:.1f} s. {outcome.outputs.get('url', '')}".rstrip())


@app.command("plan")
def plan_command(
    stack: Stack,
    out: Annotated[Path | None, typer.Option(help="Write it here, for `mcenv up STACK --plan`.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for those who approve it.")] = False,
) -> None:
    """Ask the engine what `up` would do, and give it a fingerprint: code, state and steps."""
    from infra.environments import deployment
    from infra.environments.ci import planned

    space = workspace(stack)
    with exclusive(space):
        plan = deployment.plan(space, Progress())
    if out is not None:
        plan.write(out)
    print(planned.markdown(plan) if markdown else planned.text(plan))


@app.command("down")
def down_command(
    stack: Stack = LOCAL,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before a stack other than `local` is destroyed.")
    ] = False,
) -> None:
    """Remove a stack; `local` with its control plane, so that no process, port or file is left."""
    from infra.environments import deployment

    space = workspace(stack)
    if stack != LOCAL and not yes:
        typer.confirm(f"Destroy everything that stack {stack} has deployed?", abort=True)
    with exclusive(space):
        deployment.down(space, Progress())
    print(f"{stack}: removed")


@app.command("recover")
def recover_command(
    stack: Stack,
    *,
    at: Annotated[
        str, typer.Option(help="A time (2026-01-31T02:00:00Z), a day (its last set), or `newest`: all there is.")
    ] = NEWEST,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Deploy a stack whose database is lost, with database and uploads as they were; fills new volumes only."""
    from infra.environments.recovery import recover

    space = workspace(stack)
    try:
        moment = Moment.parse(at)
    except ValueError as error:
        raise UserError(f"--at: {error}") from None
    if not yes:
        typer.confirm(f"Bring the data of {stack} back into new volumes, as of {moment}?", abort=True, err=True)
    with exclusive(space):
        recovered = recover(space, moment, Progress(quiet=as_json))
    seconds = round(recovered.seconds, 1)
    if as_json:
        _print_json({"moment": moment, "seconds": seconds, "said": recovered.said})
        return
    print(f"{stack}: back in {seconds} s; the next `mcenv up {stack}` takes the recovery's job away")


@app.command("status")
def status_command(stack: Stack = LOCAL, as_json: Json = False) -> None:
    """Show which workloads of a stack are ready."""
    from infra.environments import deployment

    space = workspace(stack)
    status = deployment.status(space)
    if as_json:
        _print_json(asdict(status))
    else:
        _print_status(status)
    raise typer.Exit(0 if status.ready else 1)


@app.command("drift")
def drift_command(stack: Stack, as_json: Json = False) -> None:
    """Compare the cluster with the state, and take what it has into the state; `up` then puts it right."""
    from infra.environments import deployment
    from infra.environments.engine import Engine, Operation

    space = workspace(stack)
    with exclusive(space):
        deployment.reachable(space)
        outcome = Engine(space).run(Operation.REFRESH, Progress(quiet=as_json))
    if as_json:
        _print_json([asdict(change) for change in outcome.changes])
    elif not outcome.changed:
        print(f"{stack}: the cluster is as the state says")
    raise typer.Exit(1 if outcome.changed else 0)


@secret_commands.command("init")
def secrets_init_command(stack: Stack) -> None:
    """Generate a stack's passwords, certificate authority and certificates into its stack file, encrypted."""
    from infra.environments import secrets
    from infra.environments.deployment import settings_of
    from infra.environments.engine import Engine

    space = workspace(stack)
    with exclusive(space):
        Engine(space).select()
        settings = settings_of(space)
        secrets.initialise(space, settings)
    print(f"{space.stack_file.name}: secrets written, encrypted")
    if not settings.backup.recipient:
        print(
            f"{secrets.recovery_file(space)}: opens all of its backups: keep it in a safe place, outside of the cluster"
        )


@secret_commands.command("rotate")
def secrets_rotate_command(
    stack: Stack,
    authority: Annotated[bool, typer.Option("--authority", help="Replace the certificate authority as well.")] = False,
) -> None:
    """Replace a stack's passwords and certificates; the next `up` rolls the pods that use them."""
    from infra.environments import secrets
    from infra.environments.deployment import settings_of

    space = workspace(stack)
    with exclusive(space):
        rotation = secrets.rotate(space, settings_of(space), authority=authority)
    print(f"{space.stack_file.name}: rotation {rotation} written, encrypted: run `mcenv up {stack}`")


@state_commands.command("list")
def state_list_command(stack: Stack) -> None:
    """Show the copies of a stack's state from before and after each `up`, the newest last."""
    from infra.environments import state_backups

    for file in state_backups.present(workspace(stack)):
        print(file)


@state_commands.command("restore")
def state_restore_command(
    stack: Stack, copy: Annotated[str, typer.Argument(help="One of those that `mcenv state list` shows.")]
) -> None:
    """Go back to a copy of the state, and let it learn what the cluster has now; `up` then puts that right."""
    from infra.environments import state_backups

    space = workspace(stack)
    with exclusive(space):
        outcome = state_backups.restore(space, copy, Progress())
    print(f"{stack}: gone back to {copy}; {len(outcome.changes)} objects are otherwise: run `mcenv up {stack}`")


@sizing_commands.callback()
def sizing_group() -> None:
    """How large something must be."""


@sizing_commands.command("logs")
def sizing_logs_command(  # noqa: PLR0913 - what the formula needs
    *,
    rate: Annotated[float, typer.Option(min=0.001, help="Lines a second, at the peak.")],
    retention: Annotated[int, typer.Option(min=1, help="Days.")],
    size: Annotated[int, typer.Option(min=1, help="Bytes of a line, on average.")] = 400,
    outage: Annotated[float, typer.Option(min=0.1, help="Hours without Elasticsearch that lose nothing.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Of Elasticsearch.")] = 3,
    logstashes: Annotated[int, typer.Option(min=1, help="Replicas of Logstash.")] = 2,
    pods: Annotated[int, typer.Option(min=1, help="Pods that write these lines.")] = 3,
    as_json: Json = False,
) -> None:
    """Compute volumes and memory of the log stack from the lines that it is to keep."""
    from infra.environments.sizing import Load, sizing

    load = Load(
        rate=rate, line=size, retention=retention, outage=outage, nodes=nodes, shippers=pods, replicas=logstashes
    )
    needed = sizing(load)
    if as_json:
        _print_json({**asdict(needed), "settings": needed.settings})
        return
    print(f"{rate:g} lines a second of {size} bytes are {needed.daily} a day; kept {retention} days:")
    for setting, value in needed.settings.items():
        print(f"  {setting}: {value}")
    minutes = needed.kept_by_node / 60
    print(f"Without Logstash, a node keeps {minutes:.0f} min of each pod (its kubelet's 50 MiB a container).")


def _summary(changes: list[Change]) -> str:
    counts = Counter(change.operation for change in changes)
    return ", ".join(f"{count} {operation}d" for operation, count in counts.items())


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, default=str))


def _print_status(status: Status) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=", ".join(status.namespaces), title_justify="left")
    for heading in ("kind", "name", "ready"):
        table.add_column(heading)
    for each in status.objects:
        table.add_row(each.kind, each.name, f"{int(each.ready)}/{each.wanted}")
    Console().print(table)
    if status.simulated_pods:
        which = "" if status.simulated_pods == status.pods else f"{status.simulated_pods} of {status.pods} "
        print(f"{which}pods are simulated: no process stands behind them")


def main() -> NoReturn:
    """Runs a command; a mistake that a person can mend is told without a traceback."""
    try:
        app()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"mcenv: {line}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("mcenv: interrupted; run the same command to go on", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
