"""A card as a page of HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from modelcard_generator.cards.fields import link_is_plain

FRONT_MATTER: Final = re.compile(r"\A---\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
STYLE: Final = """
:root { color-scheme: light dark; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif; }
h1, h2, h3, h4 { line-height: 1.25; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; }
th, td { border: 1px solid #8886; padding: .3rem .6rem; text-align: left; vertical-align: top; }
pre { overflow-x: auto; padding: .75rem; background: #8881; }
img { max-width: 100%; }
"""
# Were anything live in the page after all, a browser would not run it.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src https: http: data:"


def to_html(markdown: str, *, title: str) -> str:
    """A complete HTML5 page, in which HTML within `markdown` is shown, not obeyed.

    Front matter is shown as it is, folded away. Links lead to the web, a mailbox or beside the card, and say nothing
    of where they were followed from.
    """
    metadata = ""
    if found := FRONT_MATTER.match(markdown):
        metadata = f"<details><summary>Metadata</summary><pre>{escape(found[1])}</pre></details>\n"
        markdown = markdown[found.end() :]
    tokens = _PARSER.parse(markdown)
    _mark_links(tokens)
    body = metadata + str(_PARSER.renderer.render(tokens, _PARSER.options, {}))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_without_templates(escape(title))}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{_without_templates(body)}</body>\n</html>\n"
    )


def _without_templates(html: str) -> str:
    """Markdown's escapes and entities may spell what a template engine would evaluate in the page."""
    return re.sub(r"\{(?=[{%#])", "&#123;", html)


def _mark_links(tokens: Sequence[Token]) -> None:
    for token in tokens:
        if token.type == "link_open":
            token.attrSet("rel", "nofollow noopener")
        _mark_links(token.children or ())


def _validate_link(url: str) -> bool:
    return link_is_plain(url) or url.startswith("data:image/png;base64,")


_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")
_PARSER.validateLink = _validate_link  # type: ignore[method-assign]
