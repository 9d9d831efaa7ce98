"""Deploys the stack in the folder given and tells each change on standard output, to be killed in the middle."""

import sys
from pathlib import Path

from infra.environments import deployment
from infra.environments.workspace import ROOT, local_workspace

deployment.up(local_workspace(ROOT, Path(sys.argv[1])), lambda text: print(text, flush=True))
