"""`mcops`: what operators and the platform's own jobs run."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from modelcard_ops.backup.cli import app as backup
from modelcard_ops.errors import UserError
from modelcard_ops.incidents import commands as incidents
from modelcard_ops.logs.cli import app as logs

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(backup, name="backup")
app.add_typer(logs, name="logs")


@app.callback()
def commands() -> None:
    """Groups of commands, one for each thing that is operated."""


incidents.register(app)


def main() -> NoReturn:
    """Runs a command; a mistake that a person can mend is told without a traceback."""
    try:
        app()
    except UserError as error:
        for line in str(error).splitlines():
            print(f"mcops: {line}", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        print("mcops: interrupted; run the same command to go on", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
