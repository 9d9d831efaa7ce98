"""Gets PostgreSQL 15, pgBackRest and nginx from Debian where one is missing, into `.tools/debian`, as whoever runs it.

Usage: `python tools/debian.py`; `make tools` calls it. Needs apt (Debian 12), not root: apt's state is kept in
`.tools/debian/apt`, packages are unpacked and nothing of them is run. What is there already is left as it is. The
tests find the programs in `.tools/debian/programs`: small starters that know where their libraries are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / ".tools" / "debian"
# Major versions are what matters: Debian's security updates remove the minor version before.
POSTGRESQL = "15"
OTHERS = ("pgbackrest", "nginx")
PACKAGES = (f"postgresql-{POSTGRESQL}", *OTHERS)
PROGRAMS = ("postgres", "initdb", "pg_ctl", "pg_controldata", "pg_checksums", "pg_dump", "psql", *OTHERS)
STATUS = Path("/var/lib/dpkg/status")  # what this computer has already, and need not be fetched


class DebianError(Exception):
    """A message for the person who started it: what is wrong, where, what to do."""


def missing() -> list[str]:
    """Programs that are neither unpacked nor on this computer, PostgreSQL's at the wanted version."""
    unpacked, own = TARGET / "programs", f"/usr/lib/postgresql/{POSTGRESQL}/bin"
    anywhere = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # where Debian has servers, and not everybody looks
    return [
        name for name in PROGRAMS if not shutil.which(name, path=f"{unpacked}:{anywhere if name in OTHERS else own}")
    ]


def apt(*command: str) -> None:
    """apt with a state of its own, so that it needs no rights and changes nothing of the computer's."""
    state = TARGET / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State": str(state),
        "Dir::State::lists": str(state / "lists"),
        "Dir::State::status": str(STATUS),
        "Dir::Cache": str(state / "cache"),
        "Debug::NoLocking": "1",
        "APT::Sandbox::User": "",
        "APT::Install-Recommends": "0",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    done = subprocess.run(
        ["apt-get", "--quiet", "--yes", *words, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise DebianError(f"apt-get {command[0]}: {(errors or [done.stderr.strip()])[0]}")


def fetch() -> None:
    """Downloads and unpacks; a folder that is complete has its starters."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise DebianError(
            f"PostgreSQL {POSTGRESQL}, pgBackRest and nginx are needed, and there is no apt-get to get them:"
            " install them and have them on PATH"
        )
    root = TARGET / "root"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    say("asking Debian which versions there are")
    apt("update")
    say(f"downloading {', '.join(PACKAGES)}, and what they need")
    apt("install", "--download-only", *PACKAGES)
    for archive in sorted((TARGET / "apt" / "cache" / "archives").glob("*.deb")):
        say(f"unpacking {archive.name.split('_')[0]}")
        subprocess.run(["dpkg-deb", "-x", archive, root], check=True)
    starters(root)
    shutil.rmtree(TARGET / "apt")


def starters(root: Path) -> None:
    """Programs that look for their libraries where they were unpacked, wherever the folder is moved to."""
    scratch = TARGET / "programs.new"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    folders = sorted({path.parent.relative_to(root) for path in (root / "usr/lib").rglob("*.so*")})
    libraries = ":".join(f"$here/root/{folder}" for folder in folders)
    for name in PROGRAMS:
        candidates = (path for path in root.rglob(f"*bin/{name}") if path.is_file())
        # Debian's psql and pg_ctl in /usr/bin choose among versions; the real ones are in PostgreSQL's own folder.
        found = max(candidates, key=lambda path: "postgresql" in path.parts, default=None)
        if found is None:
            continue  # the computer has it already
        starter = scratch / name
        starter.write_text(
            '#!/bin/sh\nhere=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
            f'LD_LIBRARY_PATH="{libraries}" exec "$here/root/{found.relative_to(root)}" "$@"\n'
        )
        starter.chmod(0o755)
    shutil.rmtree(TARGET / "programs", ignore_errors=True)
    scratch.rename(TARGET / "programs")
    try:
        check(TARGET / "programs")
    except DebianError:
        shutil.rmtree(TARGET / "programs")
        raise


def check(folder: Path) -> None:
    """Each can be started: no library is missing."""
    for name in (path.name for path in sorted(folder.iterdir())):
        word = {"pgbackrest": "version", "nginx": "-v"}.get(name, "--version")
        done = subprocess.run([folder / name, word], capture_output=True, text=True, check=False)
        if done.returncode:
            raise DebianError(f"{name} does not start: {done.stderr.strip()}")


def say(text: str) -> None:
    """Progress."""
    print(f"  debian: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Gets what is missing; a mistake that a person can mend is told in one line."""
    try:
        if missing():
            TARGET.mkdir(parents=True, exist_ok=True)
            fetch()
    except DebianError as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tools: {error.filename or TARGET}: {error.strerror}: mend it and run again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tools: interrupted; run `make tools` to begin this part again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
