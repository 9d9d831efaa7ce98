"""What is wrong with a description, said in words of our own and counted.

Names that a client chose become neither labels of metrics nor, unbounded, part of an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from modelcard_generator.cards.eu_cra import EuCraDescription
from modelcard_generator.cards.formats import FORMATS
from modelcard_generator.cards.google import GoogleDescription
from modelcard_generator.cards.huggingface import HuggingFaceDescription
from modelcard_generator.errors import FieldError, InvalidInput
from modelcard_generator.monitoring import metrics

ERROR_TYPES: Final = (
    "bad_value",
    "control_character",
    "html",
    "missing",
    "not_json",
    "template_syntax",
    "too_few",
    "too_long",
    "too_many",
    "unknown_field",
    "wrong_type",
)
DESCRIPTIONS: Final = (HuggingFaceDescription, GoogleDescription, EuCraDescription)
REQUEST: Final = "request"  # the section of what is wrong outside all sections
SECTIONS: Final = (REQUEST, *sorted({name for model in DESCRIPTIONS for name in model.model_fields}))
REPORTED: Final = 20  # problems in an answer
OURS: Final = "card_"  # begins the error types of our own checks
NAME: Final = 60  # characters of a client's own name in an answer

# pydantic's error types (its documentation, "Validation Errors") as ours, each with what to say.
MEANINGS: Final = {
    "date_from_datetime_inexact": ("bad_value", "must be a date such as 2031-12-31"),
    "date_from_datetime_parsing": ("bad_value", "must be a date such as 2031-12-31"),
    "date_parsing": ("bad_value", "must be a date such as 2031-12-31"),
    "date_type": ("wrong_type", "must be a date such as 2031-12-31"),
    "bool_type": ("wrong_type", "must be true or false"),
    "dict_type": ("wrong_type", "must be an object"),
    "extra_forbidden": ("unknown_field", "is not a field of this format"),
    "finite_number": ("bad_value", "must be a finite number"),
    "float_type": ("wrong_type", "must be a number"),
    "json_invalid": ("not_json", "is not JSON: {error}"),
    "list_type": ("wrong_type", "must be a list"),
    "literal_error": ("bad_value", "must be one of {expected}"),
    "missing": ("missing", "is required"),
    "model_attributes_type": ("wrong_type", "must be an object"),
    "model_type": ("wrong_type", "must be an object"),
    "string_too_long": ("too_long", "must have at most {max_length} characters"),
    "string_too_short": ("bad_value", "must not be empty"),
    "string_type": ("wrong_type", "must be text"),
    "string_unicode": ("control_character", "holds what is no character"),
    "too_long": ("too_many", "must have at most {max_length} items"),
    "too_short": ("too_few", "must not be empty"),
    "tuple_type": ("wrong_type", "must be a list"),
    "union_tag_invalid": ("bad_value", "must be one of {expected_tags}"),
    "union_tag_not_found": ("missing", "is required"),
}


def _names(model: type[BaseModel]) -> set[str]:
    """All names of fields in a model and below."""
    below = (each for field in model.model_fields.values() for each in _models(field.annotation))
    return set(model.model_fields).union(*(_names(each) for each in below))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


NAMES: Final = frozenset({"description", "format", "template"}).union(*(_names(model) for model in DESCRIPTIONS))

metrics.expect(metrics.validation_errors_total, error_type=ERROR_TYPES, section=SECTIONS)


def refuse(error_type: str, detail: str) -> InvalidInput:
    """Counts and explains what is wrong with the request as a whole."""
    return _answer([FieldError(REQUEST, "", error_type, detail)])


def explain(error: ValidationError) -> InvalidInput:
    """Counts and explains all that pydantic found; the answer names the first of them."""
    problems = list(_problems(error))
    # A list whose items are all wrong is also called too short.
    return _answer(
        [each for each in problems if each.error_type != "too_few" or not _has_problems_within(each, problems)]
    )


def _has_problems_within(outer: FieldError, problems: list[FieldError]) -> bool:
    return any(each.field.startswith(f"{outer.field}.") for each in problems)


def _answer(problems: list[FieldError]) -> InvalidInput:
    for (error_type, section), count in Counter((each.error_type, each.section) for each in problems).items():
        metrics.validation_errors_total.labels(error_type=error_type, section=section).inc(count)
    sentence = problems[0].message
    if len(problems) > 1:
        sentence = f"{sentence.removesuffix('.')} (the first of {len(problems)} problems)."
    return InvalidInput(sentence, fields=problems[:REPORTED])


def _problems(error: ValidationError) -> Iterator[FieldError]:
    for each in error.errors(include_url=False, include_input=False):
        error_type, words = _meaning(each)
        section, field = _place(each["loc"], unknown=each["type"] == "extra_forbidden")
        if each["type"].startswith("union_tag_"):
            field = "format"
        yield FieldError(section, field, error_type, f"{field or 'The request'} {words}.")


def _meaning(error: ErrorDetails) -> tuple[str, str]:
    """Its type and what to say; those of our own checks come with their words."""
    if error["type"].startswith(OURS):
        return error["type"].removeprefix(OURS), error["msg"]
    error_type, words = MEANINGS.get(error["type"], ("bad_value", "is not valid"))
    return error_type, words.format_map(error.get("ctx", {}))


def _place(loc: tuple[Any, ...], *, unknown: bool) -> tuple[str, str]:
    """Section and dotted path; the path begins with the section, or is one of the request's own fields."""
    parts = [*loc[1:]] if loc and loc[0] in FORMATS else [*loc]
    if parts[:1] == ["description"] and len(parts) > 1:
        parts = parts[1:]
    section = parts[0] if parts and parts[0] in SECTIONS else REQUEST
    named = [
        _bounded(part) for part in parts if isinstance(part, int) or part in NAMES or (unknown and part is parts[-1])
    ]
    return section, ".".join(named)


def _bounded(part: int | str) -> str:
    if isinstance(part, int) or part in NAMES:
        return str(part)
    return ascii(part[:NAME])
