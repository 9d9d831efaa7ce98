"""Brings up a preview environment beside the stack in the folder given, and tells each change on standard output."""

import sys
from datetime import timedelta
from pathlib import Path

from infra.environments.ephemeral import derived, lifecycle
from infra.environments.workspace import ROOT, local_workspace

origin = derived.origin_of(local_workspace(ROOT, Path(sys.argv[1])))
lifecycle.up(origin, sys.argv[2], timedelta(minutes=int(sys.argv[3])), lambda text: print(text, flush=True))
