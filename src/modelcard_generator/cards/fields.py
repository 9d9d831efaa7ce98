"""The kinds of fields a description is made of, each with its limit.

Cards are published, and what publishes them evaluates: huggingface_hub's `ModelCard.from_template` and Jekyll's Liquid
read `{{` and `{%`, Hugo reads `{{<`. So no text may hold template syntax; nor control characters, of which PostgreSQL
cannot store NUL.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

LINE: Final = 300  # characters of a name, an identifier, a label
PARAGRAPH: Final = 2_000  # characters of what is said in one go
# Characters of a text of several paragraphs; the worst for markdown-it-py, a line break after each, takes it 0.07 s.
TEXT: Final = 10_000
URL: Final = 2_048
IMAGE: Final = 400_000  # characters of base64: 300 kB of PNG
BRACKETS: Final = 500  # of one text: markdown-it-py takes time with their square
ITEMS: Final = 50  # of any list

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but \n and \t
SURROGATE = re.compile(r"[\ud800-\udfff]")
TEMPLATE = re.compile(r"\{[{%#]")
PLAIN_URL = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")  # RFC 3986's characters
LINK_SCHEMES = frozenset({"http", "https", "mailto"})
PNG = b"\x89PNG\r\n\x1a\n"


T = TypeVar("T")


class Part(BaseModel):
    """A part of a description: unchangeable, and nothing in it that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def check_characters(value: str) -> str:
    """Refuses what no field may hold, and what is blank."""
    if SURROGATE.search(value):
        raise PydanticCustomError("card_control_character", "holds half of a surrogate pair, which is no character")
    if CONTROL.search(value):
        raise PydanticCustomError(
            "card_control_character", "holds a control character; of those only \\n and \\t may be used"
        )
    if TEMPLATE.search(value):
        raise PydanticCustomError(
            "card_template_syntax",
            "holds template syntax (an opening brace followed by another, by % or by #), which tools that read "
            "published cards would evaluate; write a space after the brace",
        )
    if not value.strip():
        raise PydanticCustomError("card_bad_value", "must not be blank")
    return value


def link_is_plain(url: str) -> bool:
    """Whether a link leads to the web, to a mailbox or to a place beside the card; not to a script."""
    scheme, colon, _ = re.split(r"[/?#]", url, maxsplit=1)[0].partition(":")
    return not colon or scheme.lower() in LINK_SCHEMES


def check_markdown(value: str) -> str:
    """Refuses HTML, links that are not plain, and what would swallow the text after it.

    Refused rather than cleaned: Markdown is read by many programs, which agree on what HTML is but not on how it is
    escaped within code.
    """
    if value.count("[") > BRACKETS:
        raise PydanticCustomError("card_too_many", "holds too many opening square brackets; 500 may be used")
    definitions: dict[str, Any] = {}
    tokens = _PARSER.parse(f"{value}\n\n# end\n", definitions)
    if [(token.type, token.level) for token in tokens[-3:]] != [
        ("heading_open", 0),
        ("inline", 1),
        ("heading_close", 0),
    ]:
        raise PydanticCustomError("card_bad_value", "holds a block that is not closed, such as a code fence")
    if "{::" in value or any(token.type == "text" and "{:" in token.content for token in _walk(tokens)):
        raise PydanticCustomError(
            "card_template_syntax",
            "holds an opening brace and a colon outside of code, by which kramdown sets attributes",
        )
    if any(token.type in {"html_block", "html_inline"} for token in _walk(tokens)):
        raise PydanticCustomError("card_html", "holds HTML; write Markdown, and code between backticks")
    links = [str(token.attrs[name]) for token in _walk(tokens) for name in ("href", "src") if name in token.attrs]
    # A definition of a link may be used by another text of the same card.
    links += [
        each["href"] for each in (*definitions.get("references", {}).values(), *definitions.get("duplicate_refs", ()))
    ]
    if not all(map(link_is_plain, links)):
        raise PydanticCustomError("card_bad_value", "holds a link that is not http, https, mailto or relative")
    return value


def check_url(value: str) -> str:
    """Refuses what is no http or https URL in RFC 3986's characters."""
    try:
        plain = PLAIN_URL.fullmatch(value) is not None and bool(urlsplit(value).hostname)
    except ValueError:  # brackets that hold no IPv6 address
        plain = False
    if not plain:
        raise PydanticCustomError(
            "card_bad_value", "must be an http or https URL, with what is not ASCII percent-encoded"
        )
    return value


def check_metric(value: float | str) -> float | str:
    """Refuses text that no `Line` may hold."""
    if isinstance(value, str):
        if len(value) > LINE:
            raise PydanticCustomError("card_too_long", f"must have at most {LINE} characters")
        check_characters(value)
    return value


def check_image(value: str) -> str:
    """Refuses what is not a PNG in base64."""
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data.startswith(PNG):
        raise PydanticCustomError("card_bad_value", "must be a PNG image in base64")
    return value


def _walk(tokens: list[Token]) -> list[Token]:
    return [each for token in tokens for each in (token, *(_walk(token.children) if token.children else ()))]


_PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
_PARSER.validateLink = lambda url: True  # type: ignore[method-assign]  # noqa: ARG005 - all are looked at in check_markdown

Line = Annotated[str, Field(min_length=1, max_length=LINE), AfterValidator(check_characters)]
"""One line; written with everything that means something in Markdown escaped."""

Paragraph = Annotated[str, Field(min_length=1, max_length=PARAGRAPH), AfterValidator(check_characters)]
"""Like `Line`, but longer: what stands in a list or in a table's cell."""

Text = Annotated[
    str,
    Field(min_length=1, max_length=TEXT, description="Markdown without HTML"),
    AfterValidator(check_characters),
    AfterValidator(check_markdown),
]
"""Several paragraphs of Markdown, on purpose: headings, lists, tables and code are the author's own."""

Url = Annotated[
    str,
    Field(min_length=1, max_length=URL, json_schema_extra={"format": "uri", "pattern": "^https?://"}),
    AfterValidator(check_characters),
    AfterValidator(check_url),
]
"""An http or https URL, kept as it was written."""

MetricValue = Annotated[float | str, AfterValidator(check_metric)]
"""A number, or a line such as `20.0 ± 1.2`."""

Image = Annotated[
    str,
    Field(
        min_length=1, max_length=IMAGE, json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/png"}
    ),
    AfterValidator(check_image),
]
"""A PNG in base64."""

Several = Annotated[tuple[T, ...], Field(max_length=ITEMS)]
AtLeastOne = Annotated[tuple[T, ...], Field(min_length=1, max_length=ITEMS)]
