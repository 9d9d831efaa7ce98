"""How what somebody wrote is put into Markdown."""

from __future__ import annotations

import re
from typing import Final

# All punctuation may be escaped (CommonMark, section 2.4); this means something there, in GFM, kramdown or mathematics.
SPECIAL: Final = re.compile(r"[\\`*_{}\[\]|#!$~]")
LIST_MARKER: Final = re.compile(r"^(?:([-+=:])|(\d{1,9})([.)])(?= |$))")


def inline(value: str) -> str:
    r"""One line in which nothing means anything: no heading, list, table cell, link, HTML or template.

    Line breaks and other blanks become single spaces, `<`, `>` and `&` entities, and what is special gets a backslash.
    """
    line = " ".join(value.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return LIST_MARKER.sub(_escape_marker, SPECIAL.sub(r"\\\g<0>", line))


def _escape_marker(match: re.Match[str]) -> str:
    return f"\\{match[1]}" if match[1] else f"{match[2]}\\{match[3]}"


def block(value: str) -> str:
    """Markdown that stays Markdown: `fields.Text` has no HTML, and closes what it opens."""
    return value.strip("\n")


def link(url: str) -> str:
    """A link that shows where it leads; `fields.Url` has no character that could end it."""
    return f"<{url}>"
