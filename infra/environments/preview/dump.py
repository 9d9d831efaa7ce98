"""Prints what stacks of this checkout declare, as JSON: how a preview asks another revision about itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from infra.environments.preview.against import EACH
from infra.environments.preview.stack_preview import nothing_collected, rendered
from infra.errors import UserError

if __name__ == "__main__":
    try:
        with nothing_collected():
            if sys.argv[1] == EACH:
                print(json.dumps({stack: rendered(stack, Path.cwd()).manifests for stack in sys.argv[2:]}))
            else:
                print(json.dumps(rendered(sys.argv[1], Path.cwd()).manifests))
    except UserError as error:
        sys.exit(str(error))
