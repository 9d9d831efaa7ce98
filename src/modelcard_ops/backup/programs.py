"""Programs of PostgreSQL and pgBackRest: found, run as somebody who may run them, and their errors in one line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from modelcard_ops.backup.errors import BackupError

# Debian keeps each version of the server's programs in a folder of its own, outside of PATH.
DEBIAN = Path("/usr/lib/postgresql")
EXTRA = "MCOPS_PROGRAMS"  # folders that are searched first, as in PATH
NOBODY = 65534
# pgBackRest says why in a warning, and then that it gives up; PostgreSQL's programs say `NAME: error:`.
ERROR = re.compile(r"^(?:\S+ \S+ P\d\d +)?(?:ERROR|FATAL|WARN|\S+: error): *(.*)$")


def find(name: str) -> str:
    """Where a program is. Raises `BackupError`."""
    newest = sorted(DEBIAN.glob("*/bin"), key=lambda folder: -int(folder.parent.name))
    folders = [os.environ.get(EXTRA, ""), os.environ.get("PATH", os.defpath), *map(str, newest)]
    found = shutil.which(name, path=os.pathsep.join(filter(None, folders)))
    if found is None:
        raise BackupError(
            f"there is no program {name}: install pgbackrest and postgresql, or name its folder in {EXTRA}"
        )
    return found


def unprivileged() -> int | None:
    """As whom PostgreSQL runs, which refuses root; None is as who we are."""
    return NOBODY if os.geteuid() == 0 else None


def own(path: Path) -> None:
    """Gives a folder to whom PostgreSQL runs as."""
    user = unprivileged()
    if user is not None:
        os.chown(path, user, user)


def environment() -> dict[str, str]:
    """What the programs see: nothing of ours, above all no secret. pgBackRest's `web-id` reads the last two."""
    names = {"PATH", "LD_LIBRARY_PATH", "TMPDIR", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}
    kept = {name: value for name, value in os.environ.items() if name in names}
    return kept | {"LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": "/nonexistent"}


def run(name: str, *args: str, extra: Mapping[str, str] | None = None) -> str:
    """Its output. Raises `BackupError` with the line in which it says what is wrong."""
    user = unprivileged()
    done = subprocess.run(
        [find(name), *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment() | dict(extra or {}),
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        cwd="/",
    )
    if done.returncode != 0:
        raise BackupError(f"{name} {_command(args)}: {complaint(done.stdout + done.stderr, done.returncode)}")
    return done.stdout


def complaint(output: str, code: int) -> str:
    """The line that says why a program gave up."""
    if code < 0:
        return f"was ended by signal {-code}"
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [match[1].strip() for match in map(ERROR.match, lines) if match and match[1].strip()]
    return "; ".join(dict.fromkeys(errors)) if errors else (lines[-1] if lines else f"ended with status {code}")


def _command(args: tuple[str, ...]) -> str:
    return next((each for each in reversed(args) if not each.startswith("-") and "/" not in each), "")
