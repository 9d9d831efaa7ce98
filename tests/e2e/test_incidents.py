"""The responder on a cluster: what it has promised does not end with its pod."""

from __future__ import annotations

from infra.components import incidents
from tests.e2e.responder import Responder
from tests.e2e.stack import READY, Stack

KEPT = ("severity", "state", "opened_at", "respond_by", "clocks", "timeline")


def test_its_clocks_go_on_when_its_pod_is_deleted(stack: Stack) -> None:
    responder, space = Responder(stack), stack.namespaces["observability"]
    name = responder("declare", "A rehearsal", "--severity", "P2", "--by", "e2e")["incident"]
    before = responder("timeline", name)
    assert before["clocks"]
    pod = ("-n", space, "get", "pod", "-l", f"app.kubernetes.io/name={incidents.WORKLOAD.name}", "-o", "name")
    old = stack.kubectl(*pod)
    stack.kubectl("-n", space, "delete", old.strip(), "--grace-period=0", "--force")
    kind = f"statefulset/{incidents.WORKLOAD.name}"
    stack.kubectl("-n", space, "rollout", "status", kind, f"--timeout={READY}s", within=READY + 10)
    after = responder("timeline", name)
    assert {each: after[each] for each in KEPT} == {each: before[each] for each in KEPT}
    assert responder("resolve", name, "It was one.", "--by", "e2e")["state"] == "resolved"
