"""`make runbooks`: runs every command block of every page, and says which share of them was executed.

Names of pages, or parts of them, run only these. `--json` prints what came of each block, with its output.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from infra.environments.workspace import ROOT
from tests.runbooks.checks import load_runbooks
from tests.runbooks.declared import declared
from tests.runbooks.execution import execute, table, well
from tests.runbooks.world import World
from tests.system.surroundings import remove


def main() -> int:
    """Exit status 1 if a block does not do what it is for, or is excepted without need."""
    parser = argparse.ArgumentParser(prog="make runbooks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON on standard output")
    parser.add_argument("--show", action="store_true", help="print what each block prints")
    parser.add_argument("pages", nargs="*", help="parts of the names of the pages to run; all without any")
    arguments = parser.parse_args()
    runbooks = load_runbooks(ROOT, declared())
    pages = [
        each for each in runbooks.pages if not arguments.pages or any(part in each.name for part in arguments.pages)
    ]
    if not pages:
        parser.error(f"no page is called so: there are {', '.join(each.name for each in runbooks.pages)}")
    folder, began = Path(tempfile.mkdtemp(prefix="runbooks-")), time.monotonic()
    world = World(folder, lambda text: print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True))
    try:
        world.start()
        world.say("running the blocks")
        executions = execute(runbooks, world, [(page, block) for page in pages for block in page.blocks])
    finally:
        world.stop()
        remove(folder)
    if arguments.show:
        for each in executions:
            print(f"== {each.block.where} ({each.seconds:.1f} s)\n{each.block.text}--\n{each.output}")
    if arguments.json:
        print(
            json.dumps(
                [
                    {
                        "block": each.block.where,
                        "executed": each.executed,
                        "exception": each.exception,
                        "problems": each.problems,
                        "output": each.output,
                        "seconds": round(each.seconds, 1),
                    }
                    for each in executions
                ],
                indent=2,
            )
        )
    else:
        print(table(executions))
    return int(not all(map(well, executions)))


if __name__ == "__main__":
    sys.exit(main())
