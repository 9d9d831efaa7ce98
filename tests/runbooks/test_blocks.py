"""Command blocks of the runbooks, executed: a sample in each run of the tests, another one each time.

`make runbooks` executes all of them, which takes longer than a test may.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from infra.environments.workspace import ROOT
from tests.runbooks.checks import load_runbooks
from tests.runbooks.conftest import EXECUTIONS
from tests.runbooks.declared import declared
from tests.runbooks.execution import execute, run, table, well
from tests.runbooks.pages import read
from tests.runbooks.world import World

pytestmark = pytest.mark.timeout(900)  # a tenth of it, on a computer that has nothing else to do
SAMPLE = 10
# Each is broken in another way than a check without a cluster could see.
AS_OWNER = """kubectl -n modelcard exec database-postgres-0 -c postgres -- \\
  psql -h /var/run/postgresql -U modelcard -w -c 'SELECT 1'"""
AS_DEFAULT = """kubectl -n modelcard exec deployment/cache-redis -c redis -- sh -c \\
  'REDISCLI_AUTH="$(cat /run/secrets/redis/password)" redis-cli --tls --cacert /run/secrets/tls/ca.crt info'"""
BROKEN = [
    (AS_OWNER, "no pg_hba.conf entry"),
    (AS_DEFAULT, "it was refused: NOPERM"),
    ("kubectl -n modelcard get pods --sort-by=nothing", "No resources found"),
    ("kubectl -n modelcard top pods --containing", "unknown flag: --containing"),
    ("kubectl -n modelcard get deployment modelcard-generator -o name | grep nothing", "prints nothing"),
    ("kubectl -n modelcard get pods && tial", "command not found"),
    ("kubectl -n modelcard exec deployment/modelcard-generator -- python -c 'import modelcard'", "No module named"),
    ("kubectl -n modelcard exec deployment/modelcard-generator -- curl http://127.0.0.1:8080", "not found in $PATH"),
]  # fmt: skip


@pytest.fixture(scope="module")
def runbooks():
    return load_runbooks(ROOT, declared())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    world = World(tmp_path_factory.mktemp("runbooks"), lambda _: None)
    try:
        world.start()
        yield world
    finally:
        world.stop()


def test_a_sample_is_executed(world, runbooks, request):
    seed = getattr(request.config.option, "randomly_seed", 0)
    every = [(page, block) for page in runbooks.pages for block in page.blocks]
    chosen = random.Random(seed).sample(every, min(SAMPLE, len(every)))  # noqa: S311 - of pages, not of secrets
    executions = execute(runbooks, world, chosen)
    request.config.stash[EXECUTIONS].extend(executions)
    assert all(map(well, executions)), table(executions)


@pytest.mark.parametrize(("command", "complaint"), BROKEN)
def test_a_command_that_does_not_do_what_it_is_for(world, runbooks, tmp_path: Path, command, complaint):
    path = tmp_path / "page.md"
    path.write_text(f"# CrashLooping\n\n```sh\n{command}\n```\n")
    page = read(path, "page.md")
    found = run(page, page.blocks[0], runbooks, world)
    assert any(complaint in each for each in found.problems), (found.problems, found.output)
