"""What a user does, through the edge."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from infra.components import app, edge
from tests.app.service import description
from tests.e2e.stack import Stack


@pytest.fixture(scope="module")
def user(stack: Stack) -> Iterator[httpx.Client]:
    """Somebody with an account, who comes by loopback."""
    space = stack.namespaces["application"]
    operate = (
        "-n",
        space,
        "exec",
        f"deployment/{app.WORKLOAD.name}",
        "--",
        "python",
        "-m",
        "modelcard_generator.database.accounts",
    )
    stack.kubectl(*operate, "create", "alice")
    token = stack.kubectl(*operate, "token", "alice").strip()
    with stack.forwarded(space, f"service/{edge.WORKLOAD.name}", edge.PORT) as port:
        headers = {"Authorization": f"Bearer {token}", "Host": stack.settings.edge.host}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            yield client


def test_a_card_and_a_file_are_created_and_read(user: httpx.Client) -> None:
    created = user.post("/cards", json=description())
    assert created.status_code == 201, created.text
    card = created.json()
    read = user.get(f"/cards/{card['id']}")
    assert (read.status_code, read.json()) == (200, card)
    assert card["id"] in [each["id"] for each in user.get("/cards").json()["items"]]
    sent = user.post(f"/cards/{card['id']}/files", params={"name": "data.csv"}, content=b"a,b\n1,2\n")
    assert sent.status_code == 201, sent.text
    assert user.get(sent.headers["Location"]).content == b"a,b\n1,2\n"
