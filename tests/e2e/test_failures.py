"""Something dies: people are told, and it comes back by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tests.app.servers import eventually
from tests.app.service import description
from tests.e2e.responder import Responder
from tests.e2e.stack import Stack


def of_the_database(responder: Responder) -> list[Mapping[str, Any]]:
    return [
        each for each in responder("list", "--all") if each["title"] == "DatabaseConnectionIssues: The database is down"
    ]


def test_the_database_is_killed_again_and_again(stack: Stack, user: httpx.Client) -> None:
    """Until somebody is told; then it comes back, and nobody has to do anything."""
    created = user.post("/cards", json=description()).json()
    before = user.get(f"/cards/{created['id']}").text
    space, responder = stack.namespaces["application"], Responder(stack)

    def told() -> bool:
        stack.kubectl(
            "-n", space, "delete", "pod", "database-postgres-0", "--grace-period=0", "--force", "--ignore-not-found"
        )
        return bool(of_the_database(responder))

    eventually(told, within=600)
    (incident,) = of_the_database(responder)
    assert incident["severity"] == "P0"
    eventually(lambda: user.post("/cards", json=description()).status_code == 201, within=180)
    assert user.get(f"/cards/{created['id']}").text == before
    # Nothing fires any more; ten minutes later it is over.
    eventually(lambda: of_the_database(responder)[0]["state"] in ("monitoring", "resolved"), within=600)
