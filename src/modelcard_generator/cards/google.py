"""The card of Google's Model Card Toolkit, field for field.

Source: tensorflow/model-card-toolkit, `schema/v0.0.2/model_card.schema.json`; `path`, `confidence_interval` and the two
`…_format_map` are of its `model_card.py`, which the schema's nested objects leave room for.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from modelcard_generator.cards.fields import Image, Line, Paragraph, Part, Several, Text, Url


class Owner(Part):
    """Who owns the model."""

    name: Line
    contact: Line | None = None


class Version(Part):
    """Which version this card is about, and what changed since the one before."""

    name: Line | None = None
    date: dt.date | None = None
    diff: Paragraph | None = None


class License(Part):
    """Either an SPDX identifier (or `proprietary`), or the text of a licence of one's own."""

    identifier: Line | None = None
    custom_text: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> License:
        if (self.identifier is None) == (self.custom_text is None):
            raise PydanticCustomError("card_bad_value", "must have either identifier or custom_text")
        return self


class Reference(Part):
    """Where to read on."""

    reference: Url


class Citation(Part):
    """How to cite, in a style such as APA."""

    style: Line | None = None
    citation: Paragraph


class ModelDetails(Part):
    """What the model is, whose it is, and under which terms."""

    name: Line
    overview: Text | None = None
    documentation: Text | None = None
    owners: Several[Owner] = ()
    version: Version | None = None
    licenses: Several[License] = ()
    references: Several[Reference] = ()
    citations: Several[Citation] = ()
    path: Line | None = None


class Graphic(Part):
    """A picture: a PNG in base64."""

    name: Line
    image: Image


class GraphicsCollection(Part):
    """Pictures, and what they show."""

    description: Paragraph | None = None
    collection: Several[Graphic] = ()


class SensitiveData(Part):
    """What in a dataset is about people or otherwise sensitive."""

    sensitive_data: Several[Paragraph] = ()


class Dataset(Part):
    """What the model was trained or evaluated on."""

    name: Line
    description: Paragraph | None = None
    link: Url | None = None
    sensitive: SensitiveData | None = None
    graphics: GraphicsCollection | None = None


class KeyVal(Part):
    """One entry of a format's map."""

    key: Line
    value: Paragraph


class ModelParameters(Part):
    """How the model is built, and what goes in and out."""

    model_architecture: Text | None = None
    data: Several[Dataset] = ()
    input_format: Text | None = None
    output_format: Text | None = None
    input_format_map: Several[KeyVal] = ()
    output_format_map: Several[KeyVal] = ()


class ConfidenceInterval(Part):
    """Of a metric, in the metric's unit."""

    lower_bound: float
    upper_bound: float

    @model_validator(mode="after")
    def _ordered(self) -> ConfidenceInterval:
        if self.lower_bound > self.upper_bound:
            raise PydanticCustomError("card_bad_value", "must have a lower_bound that is not above its upper_bound")
        return self


class PerformanceMetric(Part):
    """A number, and the slice of the data it was measured on."""

    type: Line
    value: float
    slice: Line | None = None
    confidence_interval: ConfidenceInterval | None = None


class QuantitativeAnalysis(Part):
    """How well the model does."""

    performance_metrics: Several[PerformanceMetric] = ()
    graphics: GraphicsCollection | None = None


class Described(Part):
    """A user, a use case, a limitation or a tradeoff."""

    description: Paragraph


class Risk(Part):
    """What may go wrong for people, and what is done about it."""

    name: Paragraph
    mitigation_strategy: Paragraph | None = None


class Considerations(Part):
    """For whom and what for the model is, and where it ends."""

    users: Several[Described] = ()
    use_cases: Several[Described] = ()
    limitations: Several[Described] = ()
    tradeoffs: Several[Described] = ()
    ethical_considerations: Several[Risk] = ()


class GoogleDescription(Part):
    """A card of the Model Card Toolkit; only `model_details.name` is required."""

    schema_version: Literal["0.0.2"] = "0.0.2"
    model_details: ModelDetails
    model_parameters: ModelParameters = ModelParameters()
    quantitative_analysis: QuantitativeAnalysis = QuantitativeAnalysis()
    considerations: Considerations = Considerations()

    @property
    def name(self) -> str:
        """What the card is listed under."""
        return self.model_details.name
