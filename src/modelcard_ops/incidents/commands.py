"""`mcops incident …`, `mcops assess` and `mcops responder`."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from modelcard_ops.errors import UserError
from modelcard_ops.incidents.severity import Severity, State

incident = typer.Typer(help="Opens, follows and ends incidents.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="INC-0001", metavar="INCIDENT")]
AsJson = Annotated[bool, typer.Option("--json", help="For a program.")]
By = Annotated[str, typer.Option("--by", help="Who says so; otherwise whoever is logged in.")]
Private = Annotated[bool, typer.Option("--private", help="Nothing of it on the status page.")]
EXIT_CODES = {"healthy": 0, "unhealthy": 3, "unknown": 4}


@incident.command("list")
def list_(
    *, every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False, as_json: AsJson = False
) -> None:
    """Shows open incidents and what is left of the time to respond."""
    found = _client().get("/api/incidents", every=str(every).lower()).json()
    if as_json:
        _print_json(found)
    elif not found:
        typer.echo("no incident is open")
    else:
        rows = [("INCIDENT", "SEVERITY", "STATE", "AGE", "ACKNOWLEDGED", "LEFT", "TITLE")]
        rows += [
            (
                each["incident"],
                each["severity"],
                each["state"],
                each["age"],
                each["acknowledged_by"] or "-",
                each["left"] or "-",
                each["title"],
            )
            for each in found
        ]
        typer.echo(_table(rows))


@incident.command()
def declare(  # noqa: PLR0913 - typer makes options of them
    title: Annotated[str, typer.Argument(help="What is wrong, in a line.")],
    *,
    severity: Annotated[
        list[Severity] | None, typer.Option(help="Several if you are unsure: the worst counts. Without it, P1.")
    ] = None,
    summary: Annotated[str, typer.Option(help="What is known.")] = "",
    impact: Annotated[str, typer.Option(help="What users notice.")] = "",
    alert: Annotated[list[str] | None, typer.Option(help="An alert that belongs to it; several times.")] = None,
    ack: Annotated[bool, typer.Option("--ack", help="You work on it already.")] = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Opens an incident and tells people; only a person will resolve it."""
    body = {
        "title": title,
        "severities": severity or [],
        "summary": summary,
        "impact": impact,
        "alerts": alert or [],
        "acknowledge": ack,
        "by": _who(by),
    }
    _shown(_client().post("/api/incidents", body), as_json=as_json)


@incident.command()
def ack(name: Name, *, by: By = "", as_json: AsJson = False) -> None:
    """Says that you have come: escalation ends."""
    _shown(_client().post(f"/api/incidents/{name}/ack", {"by": _who(by)}), as_json=as_json)


@incident.command()
def update(  # noqa: PLR0913 - typer makes options of them
    name: Name,
    summary: Annotated[str, typer.Argument(help="How it stands. The status page shows it, for P0 and P1.")],
    *,
    status: Annotated[State | None, typer.Option(help="investigating, identified or monitoring.")] = None,
    impact: Annotated[str | None, typer.Option(help="What users notice.")] = None,
    severity: Annotated[Severity | None, typer.Option(help="If it is another now.")] = None,
    next_update: Annotated[str, typer.Option("--next", help="In how many minutes you will say more.")] = "",
    eta: Annotated[str, typer.Option(help="In how many minutes it should be over.")] = "",
    private: Private = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Tells people how it stands."""
    body = {
        "by": _who(by),
        "summary": summary,
        "impact": impact,
        "state": status,
        "severity": severity,
        "next_update": _in_minutes("--next", next_update),
        "resolution_eta": _in_minutes("--eta", eta),
        "public": not private,
    }
    _shown(_client().post(f"/api/incidents/{name}/update", body), as_json=as_json)


@incident.command()
def resolve(  # noqa: PLR0913 - typer makes options of them
    name: Name,
    summary: Annotated[str, typer.Argument(help="How it was solved.")],
    *,
    anyway: Annotated[bool, typer.Option("--anyway", help="Although alerts still fire.")] = False,
    private: Private = False,
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Says that it is over."""
    body = {"by": _who(by), "summary": summary, "anyway": anyway, "public": not private}
    _shown(_client().post(f"/api/incidents/{name}/resolve", body), as_json=as_json)


@incident.command()
def timeline(name: Name, *, as_json: AsJson = False) -> None:
    """Shows what happened, and who was told."""
    from modelcard_ops.incidents.views import timeline_text

    found = _client().get(f"/api/incidents/{name}").json()
    if as_json:
        _print_json(found)
        return
    typer.echo(timeline_text(found))
    waiting = [each for each in found["messages"] if each["state"] != "sent"]
    for each in waiting:
        typer.echo(f"not told yet: {each['sink']} {each['target']} ({each['kind']}): {each['error'] or each['state']}")


@incident.command()
def postmortem(
    name: Name,
    *,
    out: Annotated[Path | None, typer.Option(help="A file to write; it must not exist.")] = None,
    as_json: AsJson = False,
) -> None:
    """Writes the postmortem as far as the record goes; the rest is for people."""
    text = _client().get(f"/api/incidents/{name}/postmortem").text
    if out is not None:
        try:
            with out.open("x") as file:
                file.write(text)
        except FileExistsError:
            raise UserError(f"{out}: exists, and somebody may have worked on it: choose another name") from None
        except OSError as error:
            raise UserError(f"{out}: {error.strerror}") from None
        text = f"{out}\n"
    if as_json:
        _print_json({"incident": name, "file": str(out) if out else None, "text": None if out else text})
    else:
        typer.echo(text, nl=False)


def assess(
    *,
    by_responder: Annotated[
        bool, typer.Option("--by-responder", help="From inside the cluster, rather than from here.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Looks at health, metrics, database, deployments, pods, error logs and resources, all at once.

    Exit status: 0 healthy, 3 unhealthy, 4 if something could not be looked at. From here it asks what KUBECONFIG and
    the variables MCOPS_ASSESS_… name.
    """
    from modelcard_ops.incidents.assessment import text

    report = _client().post("/api/assessment") if by_responder else _assessed_here()
    if as_json:
        _print_json(report)
    else:
        typer.echo(text(report))
    raise typer.Exit(EXIT_CODES[report["status"]])


def responder() -> None:
    """Serves Alertmanager's webhook and the clocks of incidents; its settings are in MCOPS_RESPONDER_… variables."""
    from modelcard_ops.incidents.server import serve
    from modelcard_ops.incidents.settings import from_environment

    serve(from_environment())


def register(app: typer.Typer) -> None:
    """Adds these commands to `mcops`."""
    app.add_typer(incident, name="incident")
    app.command()(assess)
    app.command()(responder)


def _assessed_here() -> dict[str, Any]:
    from modelcard_ops.incidents.assessment import Assessor
    from modelcard_ops.incidents.looks import looks
    from modelcard_ops.incidents.settings import assessed_from_here

    return Assessor(looks(assessed_from_here())).assess()


def _client() -> Any:
    from modelcard_ops.incidents.client import ResponderClient

    return ResponderClient()


def _who(by: str) -> str:
    try:
        return by or getpass.getuser()
    except (OSError, KeyError):
        raise UserError("nobody is logged in here: say who you are with --by") from None


def _in_minutes(option: str, minutes: str) -> str | None:
    if not minutes:
        return None
    number = minutes.removesuffix("m").removesuffix(" min").strip()
    if not number.isdecimal() or not 0 < int(number) <= 7 * 24 * 60:
        raise UserError(f"{option} is {minutes!r}: give minutes, such as 30")
    return (datetime.now(UTC) + timedelta(minutes=int(number))).isoformat()


def _shown(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print_json(found)
        return
    acknowledged = found["acknowledged_by"] or f"nobody, {found['left'] or 'no time'} left"
    typer.echo(f"{found['incident']} {found['severity']} {found['state']}: {found['title']}")
    typer.echo(f"open for {found['age']}; acknowledged by {acknowledged}")


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    cells = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in cells)


def _print_json(found: object) -> None:
    typer.echo(json.dumps(found, indent=2))
