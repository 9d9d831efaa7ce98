"""The CronJobs make a set, read it back, restore it and throw away what is too old, as declared."""

from __future__ import annotations

import json

import httpx
import pytest

from infra.components import backup
from tests.app.servers import eventually
from tests.app.service import description
from tests.e2e.stack import Stack

JOBS = (backup.RUN, backup.VERIFY, backup.DRILL, backup.PRUNE)


def run_now(stack: Stack, name: str) -> str:
    """Runs the CronJob's job now; returns what it said when it has done it."""
    space, job = stack.namespaces["application"], f"e2e-{name}"
    stack.kubectl("-n", space, "delete", "job", job, "--ignore-not-found")
    stack.kubectl("-n", space, "create", "job", job, f"--from=cronjob/{name}")

    def ended() -> str:
        status = json.loads(stack.kubectl("-n", space, "get", "job", job, "-o", "json"))["status"]
        return next((each["type"] for each in status.get("conditions", ()) if each["status"] == "True"), "")

    eventually(lambda: ended() in ("Complete", "Failed", "SuccessCriteriaMet"), within=600)
    said = stack.kubectl("-n", space, "logs", f"job/{job}")
    assert ended() != "Failed", said
    return said


@pytest.mark.timeout(2400)
def test_a_set_is_made_read_restored_and_kept(stack: Stack, user: httpx.Client) -> None:
    card = user.post("/cards", json=description()).json()
    user.post(f"/cards/{card['id']}/files", params={"name": "data.csv"}, content=b"a,b\n1,2\n").raise_for_status()
    said = {each.name: run_now(stack, each.name).splitlines()[-1] for each in JOBS}
    stack.say("; ".join(said.values()))
    made = said[backup.RUN.name].split()[1]  # "set 20261126T032148Z-000001 in …"
    assert said[backup.VERIFY.name].startswith(f"set {made}: ")
    assert said[backup.DRILL.name].startswith(f"set {made}: ")
    assert " 0 uploads" not in said[backup.DRILL.name]
    assert said[backup.PRUNE.name].endswith("deleted")
