"""`mcops logs`: what Elasticsearch and Kibana need to know of our logs."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Annotated

import httpx
import typer

from modelcard_ops.errors import UserError

app = typer.Typer(help=__doc__, no_args_is_help=True)
Url = Annotated[str, typer.Option(help="https://host:port.")]
Days = Annotated[int, typer.Option(min=1, help="Days after which a line is deleted.")]


@app.callback()
def commands() -> None:
    """What Elasticsearch and Kibana need to know of our logs."""


@app.command("apply")
def apply_command(  # noqa: PLR0913 - what the Job is told
    *,
    elasticsearch: Url,
    kibana: Url,
    authority: Annotated[Path, typer.Option(help="The certificate that vouches for both, PEM.")],
    passwords: Annotated[Path, typer.Option(help="A folder with a file for each user's password.")],
    login: Annotated[str, typer.Option(help="The user, among them, by whom this is done.")],
    stack: Annotated[str, typer.Option(help="The last part of the streams' names.")],
    retention_app: Days,
    retention_audit: Days,
    retention_security: Days,
    snapshots: Annotated[str | None, typer.Option(help="The bucket for snapshots of the audit trail.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Set up templates, policies, roles, users, streams and saved objects; again and again, if need be."""
    from modelcard_ops.logs.apply import REQUEST, Clients, Target, apply
    from modelcard_ops.logs.streams import BUILT_IN, USERS, Retention

    needed = (login, *USERS, *BUILT_IN)
    secrets = {name: _password(passwords / name) for name in needed}
    context = _trusting(authority)

    def client(url: str, user: str) -> httpx.Client:
        return httpx.Client(base_url=url, auth=(user, secrets[user]), verify=context, timeout=REQUEST)

    target = Target(
        stack=stack,
        retention=Retention(app=retention_app, audit=retention_audit, security=retention_security),
        passwords=secrets,
        bucket=snapshots,
    )
    told: list[str] = []
    with (
        client(elasticsearch, login) as search,
        client(kibana, login) as dashboards,
        client(elasticsearch, "log_snapshot") as snapshot,
    ):
        clients = Clients(elasticsearch=search, kibana=dashboards, snapshots=snapshot)
        apply(target, clients, told.append if as_json else print)
    if as_json:
        print(json.dumps({"done": told}, indent=2))


def _password(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: it must hold the password of the user {path.name}") from error


def _trusting(authority: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=authority)
    except (OSError, ssl.SSLError) as error:
        raise UserError(f"{authority}: {error}: it must hold the authority's certificate, PEM") from error
