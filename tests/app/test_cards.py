"""Each format and template says all that the description says, in the shape its readers expect."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from huggingface_hub import ModelCard
from jinja2 import DictLoader, UndefinedError
from prometheus_client import REGISTRY

from modelcard_generator.cards import generation
from modelcard_generator.cards.eu_cra import REQUIREMENTS
from modelcard_generator.cards.examples import EXAMPLES
from modelcard_generator.cards.formats import FORMATS, TEMPLATES
from modelcard_generator.cards.request import ADAPTER, CardRequest, parse

ALL = [(format_, template) for format_ in FORMATS for template in TEMPLATES]


def request(format_: str, template: str = "standard", **sections: Any) -> CardRequest:
    """The example, with some sections changed."""
    described = EXAMPLES[format_] | sections
    return parse(json.dumps({"format": format_, "template": template, "description": described}).encode())


class Words(HTMLParser):
    """The text of a page, its links and the alternatives of its pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts += [f" {value} " for name, value in attrs if name in {"src", "href", "alt"} and value]

    def __str__(self) -> str:
        return " ".join("".join(self.parts).split())


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in leaves(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def plain(markdown: str) -> str:
    """What a reader sees of the Markdown that the examples use."""
    without_fences = re.sub(r"```\w*", "", markdown)
    without_tables = re.sub(r"^\|[-|]+\|$|\|", " ", without_fences, flags=re.MULTILINE)
    return " ".join(re.sub(r"[*`]|^\d\. ", "", without_tables, flags=re.MULTILINE).split())


def headings(markdown: str) -> list[str]:
    return re.findall(r"^#{1,3} .+", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL), re.MULTILINE)


@pytest.mark.parametrize("format_", FORMATS)
def test_the_standard_page_says_all_of_the_example(format_):
    card = generation.generate(request(format_))
    shown = str(Words(generation.to_html(card.content, title=card.name)))
    values = [plain(str(leaf)) for leaf in leaves(card.description) if not isinstance(leaf, bool)]
    assert [value for value in values if value not in shown] == []


@pytest.mark.parametrize("format_", FORMATS)
def test_the_standard_page_links_to_every_address(format_):
    card = generation.generate(request(format_))
    page = generation.to_html(card.content, title=card.name).partition("</details>")
    addresses = [leaf for leaf in leaves({**card.description, "metadata": {}}) if str(leaf).startswith("https://")]
    assert len(addresses) >= 2
    assert [each for each in addresses if f'<a href="{each}" rel="nofollow noopener">' not in "".join(page)] == []


@pytest.mark.parametrize(("format_", "template"), ALL)
def test_the_page_begins_with_the_name(format_, template):
    card = generation.generate(request(format_, template))
    page = generation.to_html(card.content, title=card.name)
    assert card.name in headings(card.content)[0]
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<h1>") == 1


def test_the_hub_card_has_the_sections_of_the_packaged_template():
    card = generation.generate(request("huggingface"))
    assert [heading for heading in headings(card.content) if heading.startswith("## ")] == [
        "## Model Details",
        "## Uses",
        "## Bias, Risks, and Limitations",
        "## How to Get Started with the Model",
        "## Training Details",
        "## Evaluation",
        "## Model Examination [optional]",
        "## Environmental Impact",
        "## Technical Specifications [optional]",
        "## Citation [optional]",
        "## Glossary [optional]",
        "## More Information [optional]",
        "## Model Card Authors [optional]",
        "## Model Card Contact",
    ]
    assert "More Information Needed" not in card.content
    assert "<!--" not in card.content


def test_the_google_card_has_the_sections_of_the_toolkit():
    assert headings(generation.generate(request("google")).content) == [
        "# Model Card for Leaf Disease Detector",
        "## Model Details",
        *(f"### {each}" for each in ("Overview", "Documentation", "Version", "Owners", "Licenses")),
        *(f"### {each}" for each in ("References", "Citations")),
        "## Model Parameters",
        *(f"### {each}" for each in ("Model Architecture", "Data", "Input Format", "Output Format")),
        "## Quantitative Analysis",
        *(f"### {each}" for each in ("Performance Metrics", "Graphics")),
        "## Considerations",
        *(f"### {each}" for each in ("Users", "Use Cases", "Limitations", "Tradeoffs", "Ethical Considerations")),
    ]  # fmt: skip


def test_the_eu_card_cites_the_annexes():
    content = generation.generate(request("eu_cra")).content
    cited = re.findall(r"^## .*\((Annex.*)\)$", content, re.MULTILINE)
    assert cited == [
        "Annex II, point 1",
        "Annex II, point 2",
        "Annex II, points 3 and 4; Annex VII, point 1",
        "Annex II, point 5",
        "Annex II, point 7; Annex VII, point 4",
        "Annex II, point 8",
        "Annex II, point 9",
        "Annex VII, point 2",
        "Annex VII, point 3",
        "Annex VII, point 5",
        "Annex VII, point 6",
        "Annex V",
    ]
    assert [point for point in REQUIREMENTS if f"| {point} |" not in content] == []


@pytest.mark.parametrize(
    ("template", "sections"),
    [
        (
            "huggingface",
            ["## Uses", "## Bias, Risks, and Limitations", "## How to Get Started with the Model", "## Results"],
        ),
        ("google", ["## Use Cases", "## Limitations", "## Ethical Considerations", "## Performance Metrics"]),
        ("eu_cra", ["## Intended Purpose", "## Reporting Vulnerabilities", "## Foreseeable Risks", "## Support"]),
    ],
)
def test_a_summary_is_shorter_and_says_what_matters(template, sections):
    summary = generation.generate(request(template, "summary")).content
    assert len(summary) < len(generation.generate(request(template)).content) * 0.8
    assert [section for section in sections if section not in headings(summary)] == []


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    "metadata",
    [
        EXAMPLES["huggingface"]["metadata"],
        {},
        {
            "model_name": "a\n---\nb: c",
            "tags": ["---", ": ", "- x", "#", "no", "1.0", "2024-01-01", "a\u2028b", "'\"", "é 🙂"],
        },
        {"license": "---\n---", "language": ["\n---\n"], "license_name": "&a *a !!python/object:os.system |\n  x"},
    ],
)
def test_the_hub_reads_its_metadata_again(template, metadata):
    made = request("huggingface", template, metadata=metadata)
    card = generation.generate(made)
    read = ModelCard(card.content)
    assert read.data.to_dict() == made.description.card_data().to_dict()
    assert read.text.lstrip().startswith("# Model Card for acme/ticket-router")
    assert "---\n" not in generation.to_html(card.content, title="x").partition("</details>")[2]


def test_the_hub_metadata_is_what_was_described():
    metadata = yaml.safe_load(generation.generate(request("huggingface")).content.split("---\n")[1])
    described = EXAMPLES["huggingface"]["metadata"]
    assert {name: metadata[name] for name in described if name not in {"eval_results", "model_name"}} == {
        name: value for name, value in described.items() if name not in {"eval_results", "model_name"}
    }
    assert metadata["model-index"][0]["name"] == "Ticket Router"
    assert [result["metrics"][0]["value"] for result in metadata["model-index"][0]["results"]] == [0.913, "0.88 ± 0.01"]


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT = {"type": "string"}
URI = {"type": "string", "format": "uri"}
DESCRIBED = list_of(object_of(description=TEXT))
GRAPHICS = object_of(description=TEXT, collection=list_of(object_of(name=TEXT, image=TEXT)))
# As read from model_card.schema.json v0.0.2 of tensorflow/model-card-toolkit, closed so that no other name passes.
TOOLKIT = object_of(
    schema_version=TEXT,
    model_details=object_of(
        name=TEXT,
        overview=TEXT,
        documentation=TEXT,
        owners=list_of(object_of(name=TEXT, contact=TEXT)),
        version=object_of(name=TEXT, date={"type": "string", "format": "date"}, diff=TEXT),
        licenses=list_of(
            object_of(identifier=TEXT, custom_text=TEXT)
            | {"oneOf": [{"required": ["identifier"]}, {"required": ["custom_text"]}]}
        ),
        references=list_of(object_of(reference=URI)),
        citations=list_of(object_of(style=TEXT, citation=TEXT)),
        path=TEXT,
    ),
    model_parameters=object_of(
        model_architecture=TEXT,
        data=list_of(
            object_of(
                name=TEXT,
                description=TEXT,
                link=URI,
                sensitive=object_of(sensitive_data=list_of(TEXT)),
                graphics=GRAPHICS,
            )
        ),
        input_format=TEXT,
        output_format=TEXT,
        input_format_map=list_of(object_of(key=TEXT, value=TEXT)),
        output_format_map=list_of(object_of(key=TEXT, value=TEXT)),
    ),
    quantitative_analysis=object_of(
        performance_metrics=list_of(
            object_of(
                type=TEXT,
                value={"type": "number"},
                slice=TEXT,
                confidence_interval=object_of(lower_bound={"type": "number"}, upper_bound={"type": "number"}),
            )
        ),
        graphics=GRAPHICS,
    ),
    considerations=object_of(
        users=DESCRIBED,
        use_cases=DESCRIBED,
        limitations=DESCRIBED,
        tradeoffs=DESCRIBED,
        ethical_considerations=list_of(object_of(name=TEXT, mitigation_strategy=TEXT)),
    ),
)


def undescribed(schema: dict[str, Any], value: Any, path: str = "") -> list[str]:
    """What the schema has and the example lacks."""
    if schema["type"] == "array":
        return undescribed(schema["items"], {k: v for each in value for k, v in each.items()}, path) if (
            schema["items"]["type"] == "object"
        ) else []  # fmt: skip
    if schema["type"] != "object":
        return []
    return [
        missing
        for name, below in schema["properties"].items()
        for missing in (undescribed(below, value[name], f"{path}.{name}") if name in value else [f"{path}.{name}"])
    ]


def test_the_google_description_is_the_toolkits():
    description = generation.generate(request("google")).description
    jsonschema.validate(description, TOOLKIT, format_checker=jsonschema.FormatChecker())
    assert undescribed(TOOLKIT, description) == []


@pytest.mark.parametrize("format_", FORMATS)
def test_equal_descriptions_have_equal_canonical_json(format_):
    described = generation.generate(request(format_)).description
    again = ADAPTER.validate_json(json.dumps({"format": format_, "description": described}))
    assert generation.generate(again).description == described
    assert None not in leaves(described)


@pytest.mark.parametrize(("format_", "template"), ALL)
def test_a_minimal_description_is_enough(format_, template):
    least = {
        "huggingface": {"model_details": {"model_id": "a"}},
        "google": {"model_details": {"name": "a"}},
        "eu_cra": EXAMPLES["eu_cra"],
    }[format_]
    made = parse(json.dumps({"format": format_, "template": template, "description": least}).encode())
    assert "None" not in generation.generate(made).content.replace("None.", "")


def test_own_terms_do_not_continue_the_list_before_them():
    terms = [{"custom_text": "- a"}, {"custom_text": "    b"}]
    content = generation.generate(
        request("google", model_details={"name": "x", "licenses": [{"identifier": "MIT"}, *terms]})
    ).content
    assert "<pre><code>b\n</code></pre>" in generation.to_html(content, title="x")


@pytest.mark.parametrize(("format_", "template"), ALL)
def test_generations_are_counted(format_, template):
    def count(status: str) -> float | None:
        labels = {"format": format_, "template": template, "status": status}
        return REGISTRY.get_sample_value("modelcard_cards_generated_total", labels)

    made = request(format_, template)
    success, error = count("success"), count("error")
    generation.generate(made)
    with pytest.raises((AttributeError, UndefinedError)):
        generation.GENERATORS[format_, template](made.model_copy(update={"description": None}))
    assert (count("success"), count("error")) == (success + 1, error + 1)


def test_all_templates_are_sound():
    assert generation.check_templates() == {f"{format_}-{template}": "ok" for format_, template in ALL}


@pytest.mark.parametrize("broken", ["{{ card.no_such_field }}", "{% if %}", "{{ card.product.name | no_such_filter }}"])
def test_a_broken_template_is_named(monkeypatch, broken):
    environment = generation.ENVIRONMENT.overlay(loader=DictLoader({"google-summary.md.j2": broken}))
    environment.cache.clear()
    writers = {("google", "summary"): generation.WRITERS["google", "summary"]}
    monkeypatch.setattr(generation, "ENVIRONMENT", environment)
    monkeypatch.setattr(generation, "WRITERS", writers)
    monkeypatch.setattr(generation, "GENERATORS", writers)
    with pytest.raises(generation.TemplateError, match="^google-summary: "):
        generation.check_templates()


def test_every_template_file_is_used():
    named = {f"{format_}-{template}.md.j2" for format_, template in ALL} - {"huggingface-standard.md.j2"}
    assert {path.name for path in Path(generation.FOLDER).iterdir()} == named | {"parts.j2"}
