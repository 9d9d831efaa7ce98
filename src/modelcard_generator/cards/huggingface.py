"""The card of the Hugging Face Hub: its metadata, and the sections of the template that huggingface_hub packages.

Fields are named as the template's variables and as `ModelCardData`'s arguments are; sections group them.
Source: huggingface_hub 2.4, `templates/modelcard_template.md` and `repocard_data.py`.
"""

from __future__ import annotations

from huggingface_hub import EvalResult, ModelCardData
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from modelcard_generator.cards.fields import AtLeastOne, Line, MetricValue, Paragraph, Part, Text, Url


class Evaluation(Part):
    """One result of an evaluation; becomes part of `model-index` in the card's metadata."""

    task_type: Line
    dataset_type: Line
    dataset_name: Line
    metric_type: Line
    metric_value: MetricValue
    task_name: Line | None = None
    dataset_config: Line | None = None
    dataset_split: Line | None = None
    dataset_revision: Line | None = None
    metric_name: Line | None = None
    metric_config: Line | None = None
    source_name: Line | None = None
    source_url: Url | None = None

    @model_validator(mode="after")
    def _source(self) -> Evaluation:
        if self.source_name is not None and self.source_url is None:
            raise PydanticCustomError("card_missing", "needs source_url when source_name is given")
        return self


class Metadata(Part):
    """What the Hub reads from the top of the card: the arguments of `huggingface_hub.ModelCardData`."""

    license: Line | None = None
    license_name: Line | None = None
    license_link: Url | None = None
    language: AtLeastOne[Line] | None = None
    tags: AtLeastOne[Line] | None = None
    datasets: AtLeastOne[Line] | None = None
    metrics: AtLeastOne[Line] | None = None
    base_model: AtLeastOne[Line] | None = None
    library_name: Line | None = None
    pipeline_tag: Line | None = None
    model_name: Line | None = None
    eval_results: AtLeastOne[Evaluation] | None = None

    @property
    def license_shown(self) -> str | None:
        """The license's own name where it has one: `license` is then `other`."""
        return self.license_name or self.license

    @model_validator(mode="after")
    def _named(self) -> Metadata:
        if self.eval_results is not None and self.model_name is None:
            raise PydanticCustomError("card_missing", "needs model_name when eval_results are given")
        return self


class ModelDetails(Part):
    """Section "Model Details", and the card's title."""

    model_id: Line
    model_summary: Text | None = None
    model_description: Text | None = None
    developers: Paragraph | None = None
    funded_by: Paragraph | None = None
    shared_by: Paragraph | None = None
    model_type: Paragraph | None = None


class ModelSources(Part):
    """Section "Model Sources"."""

    repo: Url | None = None
    paper: Url | None = None
    demo: Url | None = None


class Uses(Part):
    """Section "Uses"."""

    direct_use: Text | None = None
    downstream_use: Text | None = None
    out_of_scope_use: Text | None = None


class Risks(Part):
    """Section "Bias, Risks, and Limitations"."""

    bias_risks_limitations: Text | None = None
    bias_recommendations: Text | None = None


class GettingStarted(Part):
    """Section "How to Get Started with the Model"."""

    get_started_code: Text | None = None  # Markdown, as in the Hub's template: code stands in a fence


class Training(Part):
    """Section "Training Details"."""

    training_data: Text | None = None
    preprocessing: Text | None = None
    training_regime: Paragraph | None = None
    speeds_sizes_times: Text | None = None


class EvaluationDetails(Part):
    """Section "Evaluation", and "Model Examination", which follows it."""

    testing_data: Text | None = None
    testing_factors: Text | None = None
    testing_metrics: Text | None = None
    results: Text | None = None
    results_summary: Text | None = None
    model_examination: Text | None = None


class EnvironmentalImpact(Part):
    """Section "Environmental Impact"; `hours_used` in hours, `co2_emitted` with its unit."""

    hardware_type: Paragraph | None = None
    hours_used: Paragraph | None = None
    cloud_provider: Paragraph | None = None
    cloud_region: Paragraph | None = None
    co2_emitted: Paragraph | None = None


class TechnicalSpecifications(Part):
    """Section "Technical Specifications"."""

    model_specs: Text | None = None
    compute_infrastructure: Text | None = None
    hardware_requirements: Text | None = None
    software: Text | None = None


class Citation(Part):
    """Section "Citation"."""

    citation_bibtex: Text | None = None
    citation_apa: Text | None = None


class More(Part):
    """What ends the card: "Glossary", "More Information", its authors and whom to ask."""

    glossary: Text | None = None
    more_information: Text | None = None
    model_card_authors: Paragraph | None = None
    model_card_contact: Paragraph | None = None


class HuggingFaceDescription(Part):
    """A card for the Hugging Face Hub; only `model_details.model_id` is required."""

    metadata: Metadata = Metadata()
    model_details: ModelDetails
    model_sources: ModelSources = ModelSources()
    uses: Uses = Uses()
    risks: Risks = Risks()
    getting_started: GettingStarted = GettingStarted()
    training: Training = Training()
    evaluation: EvaluationDetails = EvaluationDetails()
    environmental_impact: EnvironmentalImpact = EnvironmentalImpact()
    technical_specifications: TechnicalSpecifications = TechnicalSpecifications()
    citation: Citation = Citation()
    more: More = More()

    @property
    def name(self) -> str:
        """What the card is listed under."""
        return self.model_details.model_id

    def card_data(self) -> ModelCardData:
        """The metadata as the Hub's own class."""
        fields = self.metadata.model_dump(exclude_none=True, mode="json")
        results = fields.pop("eval_results", None)
        return ModelCardData(
            **fields, eval_results=None if results is None else [EvalResult(**result) for result in results]
        )
