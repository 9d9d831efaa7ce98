"""Writes cards: Markdown from a description, each format and template by a generator of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from huggingface_hub import ModelCard
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from modelcard_generator.cards.escaping import block, inline, link
from modelcard_generator.cards.eu_cra import REQUIREMENTS
from modelcard_generator.cards.examples import EXAMPLES
from modelcard_generator.cards.formats import FORMATS, TEMPLATES, Format, Template
from modelcard_generator.cards.huggingface import HuggingFaceDescription
from modelcard_generator.cards.page import to_html
from modelcard_generator.cards.request import CardRequest, HuggingFaceRequest, parse
from modelcard_generator.monitoring import metrics

__all__ = ["GeneratedCard", "TemplateError", "check_templates", "generate", "to_html"]

FOLDER: Final = Path(__file__).parent / "templates"
# The packaged template without its comments, which speak to whoever fills it in by hand.
PACKAGED: Final = re.sub(r"\n<!--.*?-->\n| *<!--.*?-->", "", Path(ModelCard.default_template_path).read_text("utf-8"))
# The variables of the packaged template that stand on one line, or are a link; all others are Markdown.
LINES: Final = frozenset(
    {
        "model_id", "developers", "funded_by", "shared_by", "model_type", "training_regime", "hardware_type",
        "hours_used", "cloud_provider", "cloud_region", "co2_emitted", "model_card_authors", "model_card_contact",
    }
)  # fmt: skip
LINKS: Final = frozenset({"repo", "paper", "demo"})

# Autoescaping is for HTML, and this is Markdown: each value goes through one of the filters.
ENVIRONMENT: Final = SandboxedEnvironment(
    loader=FileSystemLoader(FOLDER),
    undefined=StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.filters.update(inline=inline, link=link, markdown=block)
ENVIRONMENT.globals["requirements"] = REQUIREMENTS


class TemplateError(Exception):
    """A template that cannot be rendered; the message begins with its name."""


@dataclass(frozen=True, kw_only=True)
class GeneratedCard:
    """A card that was written: `content` is Markdown, `description` canonical JSON, equal for equal descriptions."""

    name: str
    format: Format
    template: Template
    description: dict[str, Any]
    content: str


def generate(request: CardRequest) -> GeneratedCard:
    """Writes the card; counted and timed as `cards_generated_total` and `card_generation_duration`."""
    return GeneratedCard(
        name=request.description.name,
        format=request.format,
        template=request.template,
        description=request.description.model_dump(mode="json", exclude_none=True),
        content=GENERATORS[request.format, request.template](request),
    )


def check_templates() -> dict[str, str]:
    """Renders an example by each template: the name of each, with `ok`. Raises `TemplateError` for the first broken."""
    checked = {}
    for format_, template in GENERATORS:
        name = f"{format_}-{template}"
        example = {"format": format_, "template": template, "description": EXAMPLES[format_]}
        try:
            WRITERS[format_, template](parse(json.dumps(example).encode()))
        except Exception as error:
            raise TemplateError(f"{name}: {type(error).__name__}: {error}") from error
        checked[name] = "ok"
    return checked


def _by_template(name: str) -> Callable[[CardRequest], str]:
    def write(request: CardRequest) -> str:
        metadata = ""
        if isinstance(request, HuggingFaceRequest):
            metadata = request.description.card_data().to_yaml()
        return ENVIRONMENT.get_template(name).render(card=request.description, metadata=metadata)

    return write


def _by_packaged_template(request: CardRequest) -> str:
    """The Hub's own template, by the Hub's own means: what it writes, it reads again."""
    assert isinstance(request, HuggingFaceRequest)  # noqa: S101 - for mypy
    card = request.description
    return str(ModelCard.from_template(card.card_data(), template_str=PACKAGED, **_variables(card)))


def _variables(card: HuggingFaceDescription) -> dict[str, str]:
    """The variables of the packaged template; from the metadata those that it would show as Python writes them."""
    metadata = card.metadata
    values = {
        "license": inline(metadata.license_shown or ""),
        "language": inline(", ".join(metadata.language or ())),
        "base_model": inline(", ".join(metadata.base_model or ())),
    }
    for section in card.model_dump(exclude={"metadata"}, exclude_none=True).values():
        for name, value in section.items():
            write = inline if name in LINES else link if name in LINKS else block
            values[name] = write(value)
    return values


WRITERS: Final[dict[tuple[Format, Template], Callable[[CardRequest], str]]] = {
    (format_, template): _by_template(f"{format_}-{template}.md.j2") for format_ in FORMATS for template in TEMPLATES
} | {("huggingface", "standard"): _by_packaged_template}
GENERATORS: Final = {key: metrics.monitor_generation(*key)(write) for key, write in WRITERS.items()}
