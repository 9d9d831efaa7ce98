"""A stack file as a test wants it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from infra.environments.workspace import GENERATED
from infra.settings import PROJECT


def configure(file: Path, settings: Mapping[str, Any]) -> None:
    """Writes these settings; what was generated stays, and everything else is the default."""
    document = yaml.safe_load(file.read_text()) if file.exists() else {}
    kept = {key: value for key, value in (document.get("config") or {}).items() if key in GENERATED}
    document["config"] = kept | {f"{PROJECT}:{key}": value for key, value in settings.items()}
    file.write_text(yaml.safe_dump(document))
