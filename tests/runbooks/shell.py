"""Which commands a piece of shell consists of: as much of the language as a runbook should need.

Words keep what the shell would expand (`$name`, `*`); quotes and backslashes are gone. What runs inside of another
command, as in `sh -c '…'` or `$(…)`, is found by whoever knows that it is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

PIECE = re.compile(
    r"""(?P<continuation>\\\n)|(?P<space>[ \t]+)|(?P<comment>(?<![^\s;|&(){}])\#[^\n]*)
    |(?P<operator>\n|&&|\|\||\|&|(?<!\w)2>&1|(?<!\w)2?>>|&>|>&|(?<!\w)2>|[|;&()<>])
    |(?P<single>'[^']*')|(?P<double>"(?:[^"\\]|\\.)*")|(?P<substitution>\$\((?:[^()]|\([^()]*\))*\))
    |(?P<escaped>\\.)|(?P<plain>[^\s'"\\;|&()<>$]+|\$)|(?P<open>['"])""",
    re.VERBOSE | re.DOTALL,
)
# What makes up a word, and what the shell makes of it.
WORD: Mapping[str, Callable[[str], str]] = {
    "single": lambda piece: piece[1:-1],
    "double": lambda piece: re.sub(r'\\(["\\$`\n])', lambda found: found[1].strip("\n"), piece[1:-1]),
    "substitution": str,
    "escaped": lambda piece: piece[1:],
    "plain": str,
}
KEYWORDS = {"do", "done", "then", "else", "elif", "fi", "if", "while", "until", "!", "time", "{", "}", "(", ")", "in"}
SEPARATORS = {"\n", ";", "|", "&", "&&", "||", "|&", "(", ")", "{", "}"}
REDIRECTIONS = {">", ">>", "<", "2>", "2>>", "&>", ">&"}
IGNORED = {"2>&1"}
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
SUBSTITUTION = re.compile(r"\$\(([^()]*)\)")


@dataclass(frozen=True, kw_only=True)
class Command:
    """One simple command: its words, and the line of the first. `note` is a comment on that line or the one above."""

    line: int
    words: Sequence[str]
    note: str = ""
    variables: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """The first word."""
        return self.words[0]


@dataclass(frozen=True, kw_only=True)
class Script:
    """`functions` maps names to what they run; `unclosed` is the line of a quote that nothing ends."""

    commands: Sequence[Command]
    functions: frozenset[str]
    unclosed: int | None = None


def parse(text: str, line: int = 1) -> Script:
    """The commands of a script whose first line is `line` of its file."""
    tokens, comments, unclosed = _tokens(text, line)
    commands: list[Command] = []
    functions: set[str] = set()
    variables: dict[str, list[str]] = {}
    for found, start in _simple(tokens, functions):
        words = found
        if words[0] == "for":
            variables[words[1]] = words[3:]
            continue
        while words and (words[0] in KEYWORDS or ASSIGNMENT.fullmatch(words[0])):
            words = words[1:]
        if words:
            note = comments.get(start) or comments.get(start - 1, "")
            commands.append(Command(line=start, words=words, note=note, variables=dict(variables)))
    return Script(commands=commands, functions=frozenset(functions), unclosed=unclosed)


def substitutions(word: str) -> Iterator[str]:
    """What a word runs by `$(…)`."""
    yield from SUBSTITUTION.findall(word)


class Token(NamedTuple):
    """A word or an operator; `plain` where nothing of it is quoted."""

    text: str
    line: int
    plain: bool


def _simple(tokens: Sequence[Token], functions: set[str]) -> Iterator[tuple[list[str], int]]:
    """Runs of words between separators. `name ()` is a function's, whose body follows."""
    words: list[str] = []
    start = 0
    skip = False
    for position, (text, line, plain) in enumerate(tokens):
        if skip:  # where a redirection leads
            skip = False
            continue
        if plain and text in REDIRECTIONS | IGNORED:
            skip = text in REDIRECTIONS
        elif plain and text in SEPARATORS:
            following = tokens[position + 1][0] if position + 1 < len(tokens) else ""
            if text == "(" and following == ")" and len(words) == 1:
                functions.add(words.pop())
            if words:
                yield words, start
            words = []
        else:
            start = line if not words else start
            words.append(text)
    if words:
        yield words, start


def _tokens(text: str, line: int) -> tuple[list[Token], dict[int, str], int | None]:
    """Words and operators, comments by line, and the line of a quote that nothing ends."""
    tokens: list[Token] = []
    comments: dict[int, str] = {}
    word: Token | None = None
    for found in PIECE.finditer(text):
        kind, piece = str(found.lastgroup), found[0]
        if kind == "open":
            return tokens, comments, line
        if kind in WORD:
            written = WORD[kind](piece)
            plain = kind == "plain"
            word = Token(word.text + written, word.line, plain and word.plain) if word else Token(written, line, plain)
        elif kind != "continuation" and word:
            tokens.append(word)
            word = None
        if kind == "comment":
            comments[line] = piece[1:].strip()
        elif kind == "operator":
            tokens.append(Token(piece, line, plain=True))
        line += piece.count("\n")
    return [*tokens, *([word] if word else [])], comments, None
