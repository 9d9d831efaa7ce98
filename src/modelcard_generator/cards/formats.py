"""What cards there are: three formats, each by two templates, each written in three ways."""

from __future__ import annotations

from typing import Literal, get_args

Format = Literal["huggingface", "google", "eu_cra"]
Template = Literal["standard", "summary"]  # all sections; what a reader needs first
Output = Literal["markdown", "html", "json"]

FORMATS: tuple[Format, ...] = get_args(Format)
TEMPLATES: tuple[Template, ...] = get_args(Template)
OUTPUTS: tuple[Output, ...] = get_args(Output)
