from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys

import pytest

from modelcard_generator.database import accounts, pool
from modelcard_generator.database.pool import Database
from tests.app.servers import free_port


@pytest.fixture
def operate(database_url, monkeypatch, capsys):
    """Runs the command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("MCG_DATABASE_URL", database_url)
    monkeypatch.setenv("MCG_CACHE_URL", "redis://unused.invalid")
    monkeypatch.setattr(pool, "WAIT", 1.0)

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["accounts", *args])
        code = accounts.main()
        return code, *capsys.readouterr()

    yield run
    logging.disable(logging.NOTSET)


def test_a_token_is_printed_alone_and_opens_until_it_is_revoked(operate, database_url):
    assert operate("create", "eve")[0] == 0
    code, token, problems = operate("token", "eve")
    assert (code, problems) == (0, "")

    async def holder():
        async with Database(database_url, pool_size=1) as database:
            user = await accounts.user_of_token(database, token.removesuffix("\n"))
            return user and user.username

    assert asyncio.run(holder()) == "eve"
    assert operate("revoke", "eve") == (0, "1 revoked\n", "")
    assert asyncio.run(holder()) is None


def test_what_the_operator_got_wrong_is_one_line(operate, monkeypatch):
    operate("create", "eve")
    assert operate("create", "eve") == (1, "", "the user name 'eve' is taken\n")
    assert operate("token", "mallory") == (1, "", "there is no user 'mallory'\n")
    assert operate("revoke", "mallory") == (1, "", "there is no user 'mallory'\n")
    monkeypatch.setenv("MCG_DATABASE_POOL_SIZE", "many")
    code, output, problem = operate("token", "eve")
    assert (code, output) == (1, "")
    assert problem.startswith("MCG_DATABASE_POOL_SIZE: ")
    assert problem.count("\n") == 1


def test_a_database_that_is_away_is_one_line_without_its_password(database_url):
    environment = {
        **os.environ,
        "MCG_DATABASE_URL": f"postgresql://me:s3cret@127.0.0.1:{free_port()}/x",
        "MCG_CACHE_URL": "redis://unused.invalid",
    }
    command = [sys.executable, "-m", "modelcard_generator.database.accounts", "token", "eve"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "Connection refused" in done.stderr
    assert "s3cret" not in done.stderr
