"""Debian's nginx, which may be used without being installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from infra.environments.workspace import ROOT

FOLDER = ROOT / ".tools" / "debian"


def nginx() -> Path:
    """The program: installed, or fetched as Debian's package into `.tools`. Raises `RuntimeError` where neither is."""
    if found := shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"):
        return Path(found)
    program = FOLDER / "usr" / "sbin" / "nginx"
    if not program.exists():
        with tempfile.TemporaryDirectory() as folder:
            commands = (["apt-get", "download", "nginx"], ["sh", "-c", f"dpkg-deb -x nginx_*.deb {FOLDER}"])
            for command in commands:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise RuntimeError(
                        f"nginx is needed: install it ({' '.join(command)}: {done.stderr.strip()[-200:]})"
                    )
    return program
