"""Whatever somebody writes into a field, it is refused with one sentence or it is only text."""

from __future__ import annotations

import ast
import contextlib
import copy
import datetime as dt
import functools
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from typing import Any, Literal, get_args, get_origin

import pytest
from huggingface_hub import ModelCard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prometheus_client import REGISTRY
from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from modelcard_generator.cards import fields, validation
from modelcard_generator.cards.escaping import inline
from modelcard_generator.cards.eu_cra import EuCraDescription, Instructions, RiskAssessment
from modelcard_generator.cards.examples import EXAMPLES
from modelcard_generator.cards.formats import FORMATS, TEMPLATES
from modelcard_generator.cards.generation import generate, to_html
from modelcard_generator.cards.google import ConfidenceInterval, GoogleDescription, License
from modelcard_generator.cards.huggingface import Evaluation, HuggingFaceDescription, Metadata
from modelcard_generator.cards.request import LIMIT, CardRequest, parse
from modelcard_generator.errors import InvalidInput

MODELS: dict[str, type[BaseModel]] = {
    "huggingface": HuggingFaceDescription,
    "google": GoogleDescription,
    "eu_cra": EuCraDescription,
}
Path = tuple[str | int, ...]


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models(argument)


def checks(annotation: Any, metadata: tuple[Any, ...]) -> set[Any]:
    """The functions that look at a field's text."""
    found = {getattr(each, "func", None) for each in (*metadata, *getattr(annotation, "__metadata__", ()))}
    return found.union(*(checks(each, ()) for each in get_args(annotation))) - {None}


def fields_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], set[Any]]:
    """The path of each field without fields of its own and what looks at it, found in the models."""
    found = {}
    for name, field in model.model_fields.items():
        below = list(models(field.annotation))
        for each in below:
            found |= fields_of(each, (*path, name))
        if not below:
            found[*path, name] = checks(field.annotation, tuple(field.metadata))
    return found


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, (*path, key))
    else:
        yield path, value


def names(path: Path) -> tuple[str, ...]:
    return tuple(key for key in path if isinstance(key, str))


FIELDS = {format_: fields_of(model) for format_, model in MODELS.items()}
TEXT_FIELDS = {
    format_: [path for path, value in leaves(EXAMPLES[format_]) if isinstance(value, str)] for format_ in FORMATS
}


def of_kind(format_: str, check: Any) -> list[Path]:
    return [path for path in TEXT_FIELDS[format_] if check in FIELDS[format_][names(path)]]


def with_all(format_: str, paths: Iterable[Path], value: Any) -> dict[str, Any]:
    """The example with the same in many fields."""
    description = copy.deepcopy(EXAMPLES[format_])
    for path in paths:
        parent = functools.reduce(lambda at, key: at[key], path[:-1], description)
        parent[path[-1]] = value
    return description


def body(format_: str, description: Any, template: str = "standard") -> bytes:
    return json.dumps({"format": format_, "template": template, "description": description}).encode()


def refused(format_: str, paths: Iterable[Path], value: Any) -> InvalidInput | None:
    try:
        parse(body(format_, with_all(format_, paths, value)))
    except InvalidInput as error:
        return error
    return None


def refusals(monkeypatch: pytest.MonkeyPatch, format_: str, value: str) -> dict[Path, str]:
    """Which text fields refuse a value, each with the type of the error; each says why in one sentence."""
    monkeypatch.setattr(validation, "REPORTED", 10_000)
    error = refused(format_, TEXT_FIELDS[format_], value)
    problems = {each.field: each for each in error.fields} if error else {}
    for each in problems.values():
        assert each.error_type in validation.ERROR_TYPES
        assert each.section == each.field.partition(".")[0]
        assert re.fullmatch(r"[^\n]{10,300}\.", each.message)
        assert "is not valid" not in each.message
        assert len(value) < 6 or value not in each.message
    by_name = {".".join(map(str, path)): path for path in TEXT_FIELDS[format_]}
    return {by_name[field]: problem.error_type for field, problem in problems.items()}


@pytest.mark.parametrize("format_", FORMATS)
def test_the_examples_fill_every_field_of_the_models(format_):
    assert {names(path) for path, _ in leaves(EXAMPLES[format_])} == set(FIELDS[format_])


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    "value", ["{{ 7*7 }}", "{% raw %}", "{# x #}", '{{< ref "x" >}}', "a\n{{x", "{{", "x {{{ y", "https://a/{{x}}"]
)
def test_no_field_takes_template_syntax(monkeypatch, format_, value):
    found = refusals(monkeypatch, format_, value)
    assert found.keys() == set(TEXT_FIELDS[format_])
    closed = {"schema_version", "image", "date", "end_date", "requirement", "kind", "procedure"}
    assert {path[-1] for path, error_type in found.items() if error_type != "template_syntax"} <= closed


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("value", ["\x00", "a\x00b", "\x1b[31m", "\x7f", "\x85", "a\rb", " ", "\n\t", "", "x" * 10_001])
def test_no_field_takes_controls_blanks_or_endless_text(monkeypatch, format_, value):
    assert refusals(monkeypatch, format_, value).keys() == set(TEXT_FIELDS[format_])


@pytest.mark.parametrize(
    "check", [fields.check_characters, fields.check_markdown, fields.check_url, fields.check_image]
)
def test_a_million_characters_are_too_long(check):
    format_, path = next((format_, path) for format_ in reversed(FORMATS[:2]) for path in of_kind(format_, check))
    assert [each.error_type for each in refused(format_, [path], "x" * 1_000_000).fields] == ["too_long"]


@pytest.mark.parametrize(
    "unit", ["[", "![", "[a](", "[a][", "*a_", "> ", "- ", "x\n", "a|\n", "<", "[a]:b\n", "`", "&"]
)
def test_no_text_takes_long_to_read(unit):
    """Nor sixteen times as long as a quarter of it."""
    whole, quarter = reading(unit, fields.TEXT), max(reading(each, fields.TEXT // 4) for each in (unit, "x"))
    assert whole < 8 * quarter
    assert whole < 0.5  # a seventh of it here


def reading(unit: str, size: int) -> float:
    """Seconds of processor time, at best: how busy the computer is does not matter."""
    text, taken = (unit * size)[:size], []
    for _ in range(3):
        start = time.thread_time()
        with contextlib.suppress(PydanticCustomError):
            fields.check_markdown(text)
        taken.append(time.thread_time() - start)
    return min(taken)


def test_a_text_has_so_many_brackets():
    assert fields.check_markdown("[" * fields.BRACKETS)
    with pytest.raises(PydanticCustomError, match="brackets"):
        fields.check_markdown("[" * (fields.BRACKETS + 1))


@pytest.mark.parametrize("value", ["{:onclick=x}", "[a](b){: x}", "{::nomarkdown}`<b>`{:/}", "`{::options /}`"])
def test_markdown_sets_no_attributes(value):
    with pytest.raises(PydanticCustomError, match="kramdown"):
        fields.check_markdown(value)


@pytest.mark.parametrize("lone", [r'"\ud800"', r'"a\udc00b"', '"\ud800"'])
def test_a_lone_surrogate_is_no_json(lone):
    request = f'{{"format": "google", "description": {{"model_details": {{"name": {lone}}}}}}}'
    with pytest.raises(InvalidInput, match=r"^The request is not JSON: [^\n]{5,80}\.$") as caught:
        parse(request.encode(errors="surrogatepass"))
    assert caught.value.fields[0].error_type == "not_json"


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- unclosed",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#123;&#123; 7*7 &#125;&#125;",
    r"\{\{ 7*7 }}",
    "[x](javascript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "![x](data:text/html;base64,PHNjcmlwdD4=)",
    "<javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    "[Name]: vbscript:x",
    "| x | y |\n|---|---|\n| 1 | 2 |",
    "a | b || c",
    "---",
    "a\n---",
    "---\nlicense: mit\n---",
    "a\n# heading",
    "- a\n  ```\n  <script>",
    "> quote\n> ```",
    "- a",
    "**bold** _em_ `code` ~~gone~~ $x$",
    "`<script>`",
    "``` <script>\n```",
    "    <script>",
    "a\n\n    <script>",
    "](javascript:alert(1))",
    "\\",
    "a\\\n",
    "{:onclick=alert(1)}",
    "{::nomarkdown}`<script>`{:/}",
    "https://x\"onmouseover='alert(1)'",
    "data:text/html,x",
    "//evil.example",
    "http://[x",
    "http://a b",
    "http://a|b",
    "https://a/`<b>",
    "\u202e\u2066evil",
    "\u2028# heading",
    "\ufffe\uffff",
    "🙂é",
    "!!python/object:os.system x",
    "&anchor x",
]
PERMISSIVE = MarkdownIt("commonmark", {"html": True}).enable("table")
PERMISSIVE.validateLink = lambda url: True


class Page(HTMLParser):
    """The tags of a page in their order, and whether anything in it would run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.live: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in {"script", "iframe", "object", "embed", "form", "base", "link", "svg", "math"}:
            self.live.append(tag)
        for name, value in attrs:
            scheme = re.sub(r"[\x00-\x20]", "", value or "").lower().partition(":")[0]
            if name.startswith("on") or (name in {"href", "src"} and scheme in {"javascript", "vbscript"}):
                self.live.append(f"{tag} {name}={value}")
            if name in {"href", "src"} and scheme == "data" and not value.startswith("data:image/png;base64,"):
                self.live.append(f"{tag} {name}={value}")
        if tag == "a" and dict(attrs).get("rel") != "nofollow noopener":
            self.live.append("a link that is followed")


def live_in_markdown(content: str) -> list[str]:
    """HTML, and links that run, to a reader of Markdown that refuses nothing."""
    without_metadata = re.sub(r"\A---\n.*?\n---\n", "", content, flags=re.DOTALL)
    tokens = PERMISSIVE.parse(without_metadata)
    everything = [each for token in tokens for each in (token, *(token.children or ()))]
    html = [token.content for token in everything if token.type in {"html_block", "html_inline"}]
    links = [str(token.attrs.get(name, "")) for token in everything for name in ("href", "src")]
    return html + [each for each in links if re.match(r"(?!https?:|mailto:|data:image/png)[^/?#]*:", each)]


def inert(request: CardRequest) -> Page:
    card = generate(request)
    html = to_html(card.content, title=card.name)
    page = Page(html)
    assert page.live == []
    assert live_in_markdown(card.content) == []
    assert re.findall(r"\{[{%#]", card.content + html.partition("</style>")[2]) == []
    if request.format == "huggingface":
        assert ModelCard(card.content).data.to_dict() == request.description.card_data().to_dict()
    return page


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_text_is_refused_or_inert(monkeypatch, format_, value):
    taken = set(TEXT_FIELDS[format_]) - refusals(monkeypatch, format_, value).keys()
    lines = taken - {*of_kind(format_, fields.check_markdown), *of_kind(format_, fields.check_url)}
    hostile = with_all(format_, taken, value)
    harmless = json.loads(json.dumps(hostile))
    for path in lines:
        functools.reduce(lambda at, key: at[key], path[:-1], harmless)[path[-1]] = "x"
    for template in TEMPLATES:
        page = inert(parse(body(format_, hostile, template)))
        assert page.tags == inert(parse(body(format_, harmless, template))).tags


@pytest.mark.parametrize(
    "value",
    [
        "[a](javascript:x)",
        "[a][]\n\n[a]: javascript:x",
        "[a]: javascript:x",
        "<javascript:x>",
        "![a](data:image/png;base64,x)",
    ],
)
def test_markdown_takes_no_link_that_runs(value):
    with pytest.raises(PydanticCustomError, match="link"):
        fields.check_markdown(value)


@pytest.mark.parametrize(
    "value", ["```", "a\n\n~~~\nb", "- a\n  ```", "<div", "`a", "> ```", "| a |\n|---|", "<!--", "a\n=", "[a]:", "1. a"]
)
def test_accepted_markdown_does_not_swallow_what_follows(value):
    try:
        fields.check_markdown(value)
    except PydanticCustomError:
        return
    assert "<h1>end</h1>" in PERMISSIVE.render(f"{value}\n\n# end")


@pytest.mark.parametrize(
    "value",
    ["# a", "- a\n- b", "```\n<b>{:x}\n```", "`<b>`", "| a |\n|---|\n| b |", "<https://a.b>", "[a](b/c#d)", "a < b"],
)
def test_markdown_may_be_markdown(value):
    assert fields.check_markdown(value) == value


@pytest.mark.parametrize(
    ("value", "html"),
    [
        ("# a", "# a"),
        ("1. a", "1. a"),
        ("- a", "- a"),
        ("a | b", "a | b"),
        ("a\n\n# b", "a # b"),
        ("[a](b)", "[a](b)"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("***", "***"),
        ("`a`", "`a`"),
        ("\\*a*", "\\*a*"),
        ("0.7 (-3)", "0.7 (-3)"),
    ],
)
def test_a_line_is_shown_as_it_was_written(value, html):
    assert re.findall("[<>]", inline(value)) == []
    assert PERMISSIVE.render(f"- {inline(value)}") == f"<ul>\n<li>{html}</li>\n</ul>\n"
    cells = PERMISSIVE.render(f"| a |\n|---|\n| {inline(value)} |")
    assert cells.count("<td>") == 1
    assert f"<td>{html}</td>" in cells


def test_a_page_folds_metadata_away_and_escapes_it():
    page = to_html("---\na: <script>\n---\n\n# b\n\n<script>c</script>", title="</title><script>")
    assert Page(page).live == []
    assert "<pre>a: &lt;script&gt;</pre>" in page
    assert "&lt;script&gt;c" in page


CHARACTERS = st.sampled_from(list("ab `*_[](){}<>#!|~-+=:.&\\\n\t'\"$1/é\u2028\u200b🙂"))


def accepted(check: Any) -> Any:
    def accepts(value: str) -> bool:
        try:
            check(value)
        except PydanticCustomError:
            return False
        return True

    return accepts


LINES = st.text(CHARACTERS, min_size=1, max_size=30).filter(accepted(fields.check_characters))
TEXTS = LINES.filter(accepted(fields.check_markdown))
URLS = st.sampled_from(["https://a.example/b_(c)?d=e&f='g'#h", "http://[::1]:8080/*x*", "https://user@host/[x]"])
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PNG = EXAMPLES["google"]["quantitative_analysis"]["graphics"]["collection"][0]["image"]
ALWAYS = {Metadata: {"model_name"}, Evaluation: {"source_url"}, Instructions: set(Instructions.model_fields)}


def strategy_of(annotation: Any, metadata: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911
    """Values of a field, from its type."""
    if hasattr(annotation, "__metadata__"):
        return strategy_of(annotation.__origin__, annotation.__metadata__)
    looked_at = {getattr(each, "func", None) for each in metadata}
    if fields.check_image in looked_at:
        return st.just(PNG)
    if fields.check_url in looked_at:
        return URLS
    if fields.check_metric in looked_at:
        return FINITE | LINES
    if annotation is str:
        return TEXTS if fields.check_markdown in looked_at else LINES
    if annotation is float:
        return FINITE
    if annotation is bool:
        return st.booleans()
    if annotation is dt.date:
        return st.dates().map(str)
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if get_origin(annotation) is tuple:
        return st.lists(strategy_of(get_args(annotation)[0]), min_size=1, max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return described(annotation)
    return strategy_of(next(each for each in get_args(annotation) if each is not type(None)))


@functools.cache
def described(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON that the model takes."""
    if model is RiskAssessment:
        return st.just(EXAMPLES["eu_cra"]["risk_assessment"])
    of = {name: strategy_of(field.annotation, tuple(field.metadata)) for name, field in model.model_fields.items()}
    if model is License:
        return st.one_of(*(st.fixed_dictionaries({name: each}) for name, each in of.items()))
    if model is ConfidenceInterval:
        return st.tuples(FINITE, FINITE).map(sorted).map(lambda pair: {"lower_bound": pair[0], "upper_bound": pair[1]})
    required = {name for name, field in model.model_fields.items() if field.is_required()} | ALWAYS.get(model, set())
    required |= {"solutions", "notified_body"} & set(of)
    return st.fixed_dictionaries(
        {name: of[name] for name in of if name in required},
        optional={name: of[name] for name in of if name not in required},
    )


@pytest.mark.parametrize("format_", FORMATS)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_valid_description_becomes_an_inert_card(format_, data):
    description = data.draw(described(MODELS[format_]))
    template = data.draw(st.sampled_from(TEMPLATES))
    inert(parse(body(format_, description, template)))


@pytest.mark.parametrize(
    ("request_", "error_type"),
    [
        (b"[" * 100_000, "not_json"),
        (b'{"a":' * 100_000, "not_json"),
        (b'{"format": "google", "description": ' + b"[" * 199 + b"]" * 199 + b"}", "wrong_type"),
        (b"\xff\xfe", "not_json"),
        (b'{"format": "google\xff"}', "not_json"),
        (b"", "not_json"),
        (b"null", "wrong_type"),
        (b"[]", "wrong_type"),
        (b'"x"', "wrong_type"),
        (b"{}", "missing"),
        (b'{"format": null}', "bad_value"),
        (b'{"format": ["google"]}', "bad_value"),
        (b'{"format": "' + b"x" * 100_000 + b'"}', "bad_value"),
        (b'{"format": "google"}', "missing"),
        (b'{"format": "google", "description": 1}', "wrong_type"),
        (b'{"format": "google", "description": {}}', "missing"),
        (b'{"format": "google", "template": "long", "description": {"model_details": {"name": "a"}}}', "bad_value"),
        (b'{"format": "google", "description": {"model_details": {"name": "a"}}, "x": 1}', "unknown_field"),
        (b"{" + b'"a": 1, ' * 100_000 + b'"a": 1}', "missing"),
        (b"{" + b",".join(b'"%d": 1' % i for i in range(40_000)) + b"}", "missing"),
        (b'{"format": "google", ' + b",".join(b'"%d": 1' % i for i in range(40_000)) + b"}", "missing"),
        (b'{"x": "' + b"y" * 10_000_000 + b'"}', "too_long"),
        (b" " * (LIMIT + 1), "too_long"),
    ],
    ids=lambda value: value[:30].decode(errors="replace") if isinstance(value, bytes) else value,
)
def test_what_is_no_request_is_refused_quickly(request_, error_type):
    start = time.perf_counter()
    with pytest.raises(InvalidInput) as caught:
        parse(request_)
    assert time.perf_counter() - start < 5  # a fifth of it here; a busy machine is slower
    error = caught.value
    assert error.fields[0].error_type == error_type
    assert len(error.fields) <= validation.REPORTED
    assert len(error.detail) < 400
    assert "is not valid" not in error.detail
    assert {each.section for each in error.fields} <= set(validation.SECTIONS)


REQUIREMENTS_MET = EXAMPLES["eu_cra"]["risk_assessment"]["requirements"]
METRIC = '{"type": "a", "value": %s}'


@pytest.mark.parametrize(
    ("metric", "error_type"),
    [
        (METRIC % "NaN", "bad_value"),
        (METRIC % "Infinity", "bad_value"),
        (METRIC % "1e999", "bad_value"),
        (METRIC % '"0.9"', "wrong_type"),
        (METRIC % "true", "wrong_type"),
        (METRIC % ("9" * 5_000), "not_json"),
        ('{"type": 1, "value": 1}', "wrong_type"),
        ('{"value": 1}', "missing"),
        (",".join([METRIC % "1"] * 51), "too_many"),
    ],
)
def test_numbers_are_finite_and_lists_are_short(metric, error_type):
    request = '{"format": "google", "description": {"model_details": {"name": "a"}, "quantitative_analysis": {%s}}}'
    with pytest.raises(InvalidInput) as caught:
        parse((request % f'"performance_metrics": [{metric}]').encode())
    assert [each.error_type for each in caught.value.fields] == [error_type]
    assert "is not valid" not in caught.value.detail


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999"])
def test_the_hub_metric_is_finite(value):
    request = json.dumps({"format": "huggingface", "description": EXAMPLES["huggingface"]}).replace("0.913", value)
    with pytest.raises(InvalidInput) as caught:
        parse(request.encode())
    assert caught.value.fields[0].error_type == "bad_value"


@pytest.mark.parametrize(
    ("format_", "path", "value", "message"),
    [
        ("huggingface", ("metadata", "model_name"), None, "metadata needs model_name when eval_results are given."),
        (
            "huggingface",
            ("metadata", "eval_results", 0, "source_url"),
            None,
            "metadata.eval_results.0 needs source_url when source_name is given.",
        ),
        (
            "google",
            ("model_details", "licenses", 0, "custom_text"),
            "x",
            "model_details.licenses.0 must have either identifier or custom_text.",
        ),
        (
            "google",
            ("quantitative_analysis", "performance_metrics", 0, "confidence_interval", "lower_bound"),
            0.99,
            "quantitative_analysis.performance_metrics.0.confidence_interval must have a lower_bound that is not above its upper_bound.",  # noqa: E501
        ),
        (
            "eu_cra",
            ("instructions",),
            {"installing_updates": "x", "decommissioning": "x", "automatic_updates_off": "x"},
            "instructions needs url, or else commissioning_and_use, changes_affecting_data.",
        ),
        (
            "eu_cra",
            ("risk_assessment", "requirements", 3, "requirement"),
            "I(1)",
            "risk_assessment needs each requirement of Annex I, and lacks I(2)(c).",
        ),
        (
            "eu_cra",
            ("risk_assessment", "requirements"),
            [*REQUIREMENTS_MET, REQUIREMENTS_MET[0]],
            "risk_assessment must have each requirement of Annex I once.",
        ),
        ("eu_cra", ("support", "end_date"), "soon", "support.end_date must be a date such as 2031-12-31."),
        ("eu_cra", ("security", "properties"), [], "security.properties must not be empty."),
        (
            "eu_cra",
            ("manufacturer", "website"),
            "ftp://x",
            "manufacturer.website must be an http or https URL, with what is not ASCII percent-encoded.",
        ),
    ],
)
def test_what_does_not_fit_together_is_said(format_, path, value, message):
    assert refused(format_, [path], value).detail == message


def test_names_of_a_client_are_bounded_and_never_labels():
    name = "🙂\x00{{ evil }}" * 100
    error = refused("google", [("model_details", name)], 1)
    assert error.fields[0].section == "model_details"
    assert error.fields[0].field.isascii()
    assert len(error.fields[0].field) < 700
    assert not [
        sample
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if "evil" in "".join(sample.labels.values())
    ]


def errors_counted(error_type: str, section: str) -> float | None:
    labels = {"error_type": error_type, "section": section}
    return REGISTRY.get_sample_value("modelcard_validation_errors_total", labels)


def test_every_count_exists_before_the_first_error():
    program = (
        "from prometheus_client import REGISTRY as r; from modelcard_generator.cards import validation;"
        "print([s.labels for m in r.collect() for s in m.samples if s.name == 'modelcard_validation_errors_total'])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    counted = {(each["error_type"], each["section"]) for each in ast.literal_eval(shown)}
    assert counted == set(itertools.product(validation.ERROR_TYPES, validation.SECTIONS))
    assert {name for model in MODELS.values() for name in model.model_fields} | {"request"} == set(validation.SECTIONS)


def test_errors_are_counted_once_each():
    before = errors_counted("missing", "model_details"), errors_counted("unknown_field", "request")
    with pytest.raises(InvalidInput):
        parse(b'{"format": "google", "description": {"a": 1, "b": 2}}')
    after = errors_counted("missing", "model_details"), errors_counted("unknown_field", "request")
    assert after == (before[0] + 1, before[1] + 2)
