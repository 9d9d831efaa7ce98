"""What is sent to have a card written."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from modelcard_generator.cards import validation
from modelcard_generator.cards.eu_cra import EuCraDescription
from modelcard_generator.cards.examples import EXAMPLES as DESCRIPTIONS
from modelcard_generator.cards.fields import Part
from modelcard_generator.cards.formats import FORMATS, Format, Template
from modelcard_generator.cards.google import GoogleDescription
from modelcard_generator.cards.huggingface import HuggingFaceDescription

LIMIT: Final = 1024 * 1024  # bytes; 90,000 unknown fields in them, the worst to report, take 0.7 s
EXAMPLES: Final[dict[Format, dict[str, Any]]] = {
    format_: {"format": format_, "template": "standard", "description": DESCRIPTIONS[format_]} for format_ in FORMATS
}
"""A complete request for each format."""


class HuggingFaceRequest(Part):
    """A card for the Hugging Face Hub."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLES["huggingface"]]})

    format: Literal["huggingface"]
    template: Template = "standard"
    description: HuggingFaceDescription


class GoogleRequest(Part):
    """A card of Google's Model Card Toolkit."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLES["google"]]})

    format: Literal["google"]
    template: Template = "standard"
    description: GoogleDescription


class EuCraRequest(Part):
    """A product's card under the EU Cyber Resilience Act."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLES["eu_cra"]]})

    format: Literal["eu_cra"]
    template: Template = "standard"
    description: EuCraDescription


CardRequest = Annotated[HuggingFaceRequest | GoogleRequest | EuCraRequest, Field(discriminator="format")]
ADAPTER: Final[TypeAdapter[CardRequest]] = TypeAdapter(CardRequest)
SCHEMA: Final[dict[str, Any]] = ADAPTER.json_schema(ref_template="#/components/schemas/{model}")
"""Of a request (JSON Schema); its `$defs` belong under the `components` of an OpenAPI document."""


def parse(body: bytes) -> CardRequest:
    """Reads a request from JSON.

    Raises `InvalidInput` with one sentence and the first `validation.REPORTED` problems; each of all is counted in
    `validation_errors_total`.
    """
    if len(body) > LIMIT:
        raise validation.refuse("too_long", f"The request is longer than {LIMIT} bytes.")
    try:
        return ADAPTER.validate_json(body)
    except ValidationError as error:
        raise validation.explain(error) from None
