"""Prints what a stack of this checkout declares, as JSON: how a preview asks another revision about itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from infra.environments.preview.stack_preview import collector_paused, rendered
from infra.errors import UserError

if __name__ == "__main__":
    try:
        with collector_paused():
            print(json.dumps(rendered(sys.argv[1], Path.cwd()).manifests))
    except UserError as error:
        sys.exit(str(error))
