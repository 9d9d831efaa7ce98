"""The namespace is gone with its volumes; one command brings back what was in it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from infra.components import app, backup, database
from infra.environments.engine import DeploymentError
from infra.environments.recovery import recover
from infra.environments.workspace import RECOVERY
from infra.quantities import Moment
from tests.app.servers import eventually
from tests.app.service import description
from tests.e2e.absent import finishing
from tests.e2e.entrance import find_edge
from tests.e2e.stack import Stack
from tests.e2e.test_backup import run_now

WRITING = 20  # seconds in which somebody goes on after the last backup
FILE = b"a,b\n1,2\n"


def volumes(stack: Stack) -> dict[str, str]:
    """What is behind the claims of the application."""
    claims = stack.get("pvc", stack.namespaces["application"])
    return {each["metadata"]["name"]: each["spec"]["volumeName"] for each in claims}


def written(user: httpx.Client) -> list[tuple[float, str]]:
    """Cards, with the time at which the service had acknowledged each."""
    cards, end = [], time.time() + WRITING
    while time.time() < end:
        created = user.post("/cards", json=description())
        created.raise_for_status()
        cards.append((time.time(), created.json()["id"]))
    return cards


@pytest.mark.timeout(2400)
def test_what_is_lost_with_its_namespace_comes_back_by_one_command(stack: Stack, user: httpx.Client) -> None:
    space = stack.namespaces["application"]
    card = user.post("/cards", json=description()).json()
    file = user.post(f"/cards/{card['id']}/files", params={"name": "data.csv"}, content=FILE).json()
    before = user.get(f"/cards/{card['id']}").text
    run_now(stack, backup.RUN.name)
    cards, lost = written(user), volumes(stack)

    # In this order no controller has time to make new pods, which would end gracefully.
    stack.kubectl("delete", "namespace", space, "--wait=false")
    stack.kubectl("-n", space, "delete", "pod", "--all", "--grace-period=0", "--force")
    destroyed = time.time()
    stack.kubectl("wait", f"namespace/{space}", "--for=delete", "--timeout=300s", within=310)
    stack.kubectl("delete", "pv", *lost.values(), "--ignore-not-found", "--timeout=60s")

    with finishing(stack):
        too_early = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        with pytest.raises(DeploymentError, match=r"recovery: .*the earliest point that can be restored is"):
            recover(stack.space, Moment(too_early), stack.say)
        done = recover(stack.space, Moment("newest"), stack.say)
    assert [line for line in done.said if line.startswith("restored in ")]

    find_edge(stack, user)
    eventually(lambda: user.get("/cards", params={"limit": 1}).status_code == 200, within=60)
    assert user.get(f"/cards/{card['id']}").text == before
    assert user.get(f"/files/{file['id']}").content == FILE
    missing = [at for at, each in cards if user.get(f"/cards/{each}").status_code != 200]
    loss = destroyed - min(missing) if missing else 0
    stack.say(
        f"RTO {done.seconds:.0f} s; of {len(cards)} cards since the backup {len(missing)} are lost, RPO {loss:.0f} s"
    )
    assert loss < stack.settings.backup.objectives.rpo
    assert set(volumes(stack)) == {database.CLAIM, app.CLAIM}
    assert not set(volumes(stack).values()) & set(lost.values())

    assert RECOVERY not in stack.space.config()
    stack.up()
    assert not [each for each in stack.get("jobs", space) if each["metadata"]["name"] == "recovery"]
    # The new timeline is archived: the next set is made of it, and can be restored.
    assert "set " in run_now(stack, backup.RUN.name)
    assert "RPO" in run_now(stack, backup.DRILL.name)
