"""SQL as a list of statements, enough to run migrations one statement at a time and to judge them."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* )
  | (?P<nested> /\* )
  | (?P<dollar> \$(?P<tag>[A-Za-z_]\w*)?\$ )
  | (?P<escaped> \b[eE]'(?:[^'\\]|\\.|'')*' )
  | (?P<string> '(?:[^']|'')*' )
  | (?P<name> "(?:[^"]|"")*" )
  | (?P<end> ; )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_PLAIN_NAME = re.compile(r'"([a-z_][a-z0-9_]*)"')


def split(sql: str) -> list[str]:
    """The statements as they are written, without what is empty or only comments."""
    return [statement.strip() for statement, bare in _scan(sql) if bare.strip()]


def bare(sql: str) -> list[str]:
    """The statements in capitals on one line each: without comments, strings (they become ''), and needless quotes."""
    return [" ".join(text.upper().split()) for _, text in _scan(sql) if text.strip()]


def _scan(sql: str) -> list[tuple[str, str]]:
    statements, written, meant = [], "", ""
    position = 0
    while match := _TOKEN.search(sql, position):
        before, token = sql[position : match.start()], match[0]
        position = match.end()
        replacement = "''"
        match match.lastgroup:
            case "comment":
                replacement = " "
            case "nested":
                position, replacement = _comment_end(sql, position), " "
            case "dollar" | "tag":
                end = sql.find(token, position)
                position = len(sql) if end < 0 else end + len(token)
            case "name":
                plain = _PLAIN_NAME.fullmatch(token)
                replacement = plain[1] if plain else token.replace(" ", "_").replace(";", "_")
            case "end":
                statements.append((written + before, meant + before))
                written = meant = ""
                continue
        written += before + sql[match.start() : position]
        meant += before + replacement
    return [*statements, (written + sql[position:], meant + sql[position:])]


def _comment_end(sql: str, position: int) -> int:
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(sql, position)
        if edge is None:
            return len(sql)
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return position
