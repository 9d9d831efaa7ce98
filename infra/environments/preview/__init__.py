"""The platform as a stack would deploy it, without an engine: rendered, checked, and compared."""

from infra.environments.preview.manifests import write_to
from infra.environments.preview.render import render_json, render_markdown, render_text
from infra.environments.preview.stack_preview import Preview, preview

__all__ = ["Preview", "preview", "render_json", "render_markdown", "render_text", "write_to"]
