"""`python -m dashboards` writes `dashboards/json`; with `--check` it only says whether what is there is up to date."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dashboards import FOLDER, files

COMMAND = "python -m dashboards"


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of files that are missing, different or of no dashboard."""
    wanted = files()
    there = {path.name: path.read_text() for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Writes the files, or says which are stale."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a committed file is stale")
    if parser.parse_args(arguments).check:
        found = stale(folder)
        for name in found:
            print(f"dashboards/json/{name}:1: is stale: run `{COMMAND}`", file=sys.stderr)
        return 1 if found else 0
    wanted = files()
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (folder / name).write_text(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
