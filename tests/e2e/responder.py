"""The incident responder, asked as whoever is on call does: by `mcops incident`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.components import incidents
from tests.e2e.stack import Stack

MCOPS = Path(sys.executable).with_name("mcops")


class Responder:
    """Found anew for each question: its pod may have been replaced."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.space = stack, stack.namespaces["observability"]
        self._token, self._authority = stack.folder / "token", stack.folder / "responder.crt"
        self._token.write_text(stack.secret(self.space, "incidents-secrets")["mcops_responder_token"])
        self._authority.write_text(stack.secret(self.space, "incidents-tls")["ca.crt"])

    def __call__(self, *words: str) -> Any:
        """What `mcops incident` answers to these words."""
        with self.stack.forwarded(self.space, f"service/{incidents.WORKLOAD.name}", incidents.PORT) as port:
            variables = {
                **os.environ,
                "MCOPS_RESPONDER_URL": f"https://localhost:{port}",
                "MCOPS_TOKEN_FILE": str(self._token),
                "MCOPS_AUTHORITY_FILE": str(self._authority),
            }
            command = [str(MCOPS), "incident", *words, "--json"]
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
