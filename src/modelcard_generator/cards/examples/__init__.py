"""A complete description of each format, as JSON files: what OpenAPI shows, and what templates are checked with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from modelcard_generator.cards.formats import FORMATS, Format

EXAMPLES: Final[dict[Format, dict[str, Any]]] = {
    format_: json.loads(Path(__file__).with_name(f"{format_}.json").read_text("utf-8")) for format_ in FORMATS
}
