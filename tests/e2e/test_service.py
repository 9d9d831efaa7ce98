"""What a user does, through the edge."""

from __future__ import annotations

import httpx

from tests.app.service import description


def test_a_card_and_a_file_are_created_and_read(user: httpx.Client) -> None:
    created = user.post("/cards", json=description())
    assert created.status_code == 201, created.text
    card = created.json()
    read = user.get(f"/cards/{card['id']}")
    assert (read.status_code, read.text.splitlines()[0]) == (200, "# Model Card for Leaf Disease Detector")
    assert card["id"] in [each["id"] for each in user.get("/cards").json()["cards"]]
    sent = user.post(f"/cards/{card['id']}/files", params={"name": "data.csv"}, content=b"a,b\n1,2\n")
    assert sent.status_code == 201, sent.text
    assert user.get(sent.headers["Location"]).content == b"a,b\n1,2\n"
