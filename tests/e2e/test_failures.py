"""Something dies: people are told, and it comes back by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.components import incidents
from tests.app.servers import eventually
from tests.app.service import description
from tests.e2e.stack import Stack

Asked = Callable[[], list[dict[str, Any]]]
MCOPS = Path(sys.executable).with_name("mcops")


@pytest.fixture(scope="module")
def listed(stack: Stack) -> Iterator[Asked]:
    """Asks for all incidents, as whoever is on call does."""
    space = stack.namespaces["observability"]
    token, authority = stack.folder / "token", stack.folder / "responder.crt"
    token.write_text(stack.secret(space, "incidents-secrets")["mcops_responder_token"])
    authority.write_text(stack.secret(space, "incidents-tls")["ca.crt"])
    with stack.forwarded(space, f"service/{incidents.WORKLOAD.name}", incidents.PORT) as port:
        variables = {
            **os.environ,
            "MCOPS_RESPONDER_URL": f"https://localhost:{port}",
            "MCOPS_TOKEN_FILE": str(token),
            "MCOPS_AUTHORITY_FILE": str(authority),
        }

        def ask() -> list[dict[str, Any]]:
            command = [str(MCOPS), "incident", "list", "--all", "--json"]
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            found: list[dict[str, Any]] = json.loads(done.stdout)
            return found

        yield ask


def of_the_database(listed: Asked) -> list[Mapping[str, Any]]:
    return [each for each in listed() if each["title"] == "DatabaseConnectionIssues: The database is down"]


def test_the_database_is_killed_again_and_again(stack: Stack, user: httpx.Client, listed: Asked) -> None:
    """Until somebody is told; then it comes back, and nobody has to do anything."""
    created = user.post("/cards", json=description()).json()
    before = user.get(f"/cards/{created['id']}").text
    space = stack.namespaces["application"]

    def told() -> bool:
        stack.kubectl(
            "-n", space, "delete", "pod", "database-postgres-0", "--grace-period=0", "--force", "--ignore-not-found"
        )
        return bool(of_the_database(listed))

    eventually(told, within=600)
    (incident,) = of_the_database(listed)
    assert incident["severity"] == "P0"
    eventually(lambda: user.post("/cards", json=description()).status_code == 201, within=180)
    assert user.get(f"/cards/{created['id']}").text == before
    # Nothing fires any more; ten minutes later it is over.
    eventually(lambda: of_the_database(listed)[0]["state"] in ("monitoring", "resolved"), within=600)
