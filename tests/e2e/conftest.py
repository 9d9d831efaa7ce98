"""The stack on a real cluster, deployed once for all tests; what it said is kept where one of them fails."""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest

from infra.components import app
from infra.environments.progress import Progress
from infra.environments.workspace import ROOT
from tests.e2e import images
from tests.e2e.entrance import NAME, PORT, close_entrance, open_entrance
from tests.e2e.evidence import collect
from tests.e2e.stack import Stack

EVIDENCE = ROOT / "build" / "e2e"
OTHERS = "whatever is not named"
# The autoscaler waits for minutes before it takes pods away; the others go on meanwhile, but those that deploy anew.
STAGES = ("test_load_brings_more_pods", OTHERS, "test_its_end_takes_them_away", "test_changes.py", "test_recovery.py")
FAILED = pytest.StashKey[bool]()
SAY = Progress()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which comes after which; within a stage it is any order."""

    def stage(item: pytest.Item) -> int:
        return next(STAGES.index(each) for each in (item.name, item.path.name, OTHERS) if each in STAGES)

    items.sort(key=stage)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remembers that something has failed, and says why at once: the end may be half an hour away."""
    report = yield
    if report.failed:
        item.config.stash[FAILED] = True
        SAY(f"{item.name}: {getattr(report.longrepr, 'reprcrash', report.longrepr)}"[:2000])
    return report


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Deployed and ready. `E2E_KEEP=1` leaves it there."""
    stack = Stack(tmp_path_factory.mktemp("e2e"), SAY)
    stack.configure()
    images.provide(stack.settings, SAY)
    stack.clear()
    try:
        stack.up()
        yield stack
    except BaseException:
        collect(stack, EVIDENCE)
        raise
    finally:
        if request.config.stash.get(FAILED, False):
            SAY(f"what failed said: {collect(stack, EVIDENCE)}")
        if not os.environ.get("E2E_KEEP"):
            stack.down()


@pytest.fixture(scope="session")
def user(stack: Stack) -> Iterator[httpx.Client]:
    """Somebody with an account, who comes by loopback."""
    space = stack.namespaces["application"]
    accounts = ("python", "-m", "modelcard_generator.database.accounts")
    operate = ("-n", space, "exec", f"deployment/{app.WORKLOAD.name}", "--", *accounts)
    stack.kubectl(*operate, "create", "alice")
    token = stack.kubectl(*operate, "token", "alice").strip()
    open_entrance(stack)
    with stack.forwarded(stack.settings.edge.ingress_namespace, f"deployment/{NAME}", PORT) as port:
        headers = {"Authorization": f"Bearer {token}", "Host": stack.settings.edge.host}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            yield client
    close_entrance(stack)
