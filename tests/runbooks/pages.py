"""The pages of `runbooks/` as data that knows where it stands, so that what is wrong can be said with file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

FOLDER = "runbooks"
# A word that the reader replaces: `POD`, and the part of `deployment/NAME` that is one.
PLACEHOLDER = re.compile(r"[A-Z]{2,}(?:_[A-Z]+)*")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A fenced block, what stands between backticks, or the target of a link. `line` is where its text begins."""

    file: str
    line: int
    text: str
    language: str = ""
    section: str = ""

    @property
    def where(self) -> str:
        """As editors open it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, kw_only=True)
class Heading:
    """`level` is the number of its signs."""

    line: int
    level: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Page:
    """One file. `introduction` is what stands between its title and its first section."""

    file: str
    text: str
    headings: Sequence[Heading]
    introduction: str
    blocks: Sequence[Piece]
    spans: Sequence[Piece]
    links: Sequence[Piece]

    @property
    def name(self) -> str:
        """`crash-looping` of `runbooks/crash-looping.md`."""
        return Path(self.file).stem

    @property
    def alert(self) -> str:
        """Its title."""
        return self.headings[0].text if self.headings else ""

    @property
    def placeholders(self) -> list[str]:
        """The words that the introduction says are to be replaced."""
        spans = re.findall(r"`([^`]+)`", self.introduction)
        return [each for each in spans if PLACEHOLDER.fullmatch(each)]

    def labels(self) -> dict[str, frozenset[str]]:
        """Which label of the alert each placeholder stands for: named beside it, or its own name in small letters.

        Where more labels than placeholders are named, the last may stand for any of the rest.
        """
        words = self.placeholders
        spans = re.findall(r"`([^`]+)`", self.introduction)
        named = [each for each in spans[spans.index(words[0]) :] if re.fullmatch(r"[a-z_]+", each)] if words else []
        if len(named) < len(words):
            return {each: frozenset({each.lower()}) for each in words}
        last = len(words) - 1
        return {
            each: frozenset(named[place:] if place == last else named[place : place + 1])
            for place, each in enumerate(words)
        }

    def filled(self, text: str, values: Mapping[str, str]) -> str:
        """A text with the values of labels in place of the words that stand for them."""
        for word, labels in self.labels().items():
            value = next((values[each] for each in sorted(labels) if each in values), word)
            text = re.sub(rf"(?<![A-Za-z_]){word}(?![A-Za-z_])", lambda _, value=value: value, text)
        return text


def read_pages(root: Path) -> list[Page]:
    """All pages, by name."""
    return [read(path, f"{FOLDER}/{path.name}") for path in sorted((root / FOLDER).glob("*.md"))]


def read(path: Path, file: str) -> Page:
    """One file of Markdown."""
    text = path.read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    headings: list[Heading] = []
    blocks: list[Piece] = []
    spans: list[Piece] = []
    links: list[Piece] = []
    introduction = ""
    for position, token in enumerate(tokens):
        section = next((each.text for each in reversed(headings) if each.level == 2), "")
        match token.type:
            case "heading_open":
                words = tokens[position + 1].content
                headings.append(Heading(line=_line(token), level=int(token.tag[1:]), text=words))
            case "fence":
                language = token.info.strip()
                blocks.append(
                    Piece(file=file, line=_line(token) + 1, text=token.content, language=language, section=section)
                )
            case "inline":
                if len(headings) == 1 and tokens[position - 1].type == "paragraph_open":
                    introduction += f"{token.content}\n"
                for line, kind, content in _inside(token):
                    into = spans if kind == "code_inline" else links
                    into.append(Piece(file=file, line=line, text=content, section=section))
    return Page(
        file=file, text=text, headings=headings, introduction=introduction, blocks=blocks, spans=spans, links=links
    )


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1


def _inside(token: Token) -> Iterator[tuple[int, str, str]]:
    """Code and links of a paragraph, each with its line."""
    line = _line(token)
    for child in token.children or ():
        if child.type in {"softbreak", "hardbreak"}:
            line += 1
        elif child.type == "code_inline":
            yield line, child.type, child.content
        elif child.type == "link_open":
            yield line, child.type, str(child.attrs["href"])
