"""A preview as text for a terminal, Markdown for a pull request, JSON for programs."""

from __future__ import annotations

import difflib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from infra.environments.preview.difference import Change, Difference, Effect
from infra.environments.preview.schemas import KUBERNETES_VERSION

if TYPE_CHECKING:
    from infra.environments.preview.stack_preview import Comparison, Preview

_RED, _GREEN, _YELLOW, _PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
_COLOURS = {
    Effect.CREATED: _GREEN,
    Effect.UPDATED: "",
    Effect.ROLLS_PODS: _YELLOW,
    Effect.REPLACED: _RED,
    Effect.DELETED: _RED,
}
_SIGNS = {Effect.CREATED: "+", Effect.DELETED: "-", Effect.REPLACED: "±"}
FOLDED = 20  # changed objects; more of them are folded away in a pull request


def render_text(preview: Preview, *, colour: bool | None = None) -> str:
    """For a terminal; coloured if that is one."""
    paint = _painter(colour=sys.stdout.isatty() if colour is None else colour)
    lines = [preview.tree, ""]
    if preview.comparison:
        lines += [*_comparison_text(preview.comparison, preview.stack, paint), ""]
    for complaint in preview.complaints:
        lines.append(paint(_RED, f"✗ {complaint}"))
    for finding in preview.policies.advice:
        lines.append(paint(_YELLOW, f"! {finding} [{finding.rule}]"))
    for finding, exception in preview.policies.excepted:
        lines.append(f"excepted until {exception.expires}: {finding} [{finding.rule}], {exception.reason}")
    lines.append(paint(_GREEN if preview.ok else _RED, _verdict(preview)))
    return "\n".join(lines)


def render_markdown(preview: Preview) -> str:
    """For a pull request."""
    lines = [f"## Preview of `{preview.stack}`", "", _verdict(preview), ""]
    if preview.complaints:
        lines += ["### To mend", "", *(f"- {escaped(complaint)}" for complaint in preview.complaints), ""]
    if preview.policies.advice:
        lines += ["### Advice", "", *(f"- {escaped(f'{f} [{f.rule}]')}" for f in preview.policies.advice), ""]
    if preview.policies.excepted:
        lines += ["### Exceptions from policies", ""]
        lines += [f"- {escaped(str(f))} (until {e.expires}: {e.reason})" for f, e in preview.policies.excepted]
        lines.append("")
    if preview.comparison:
        lines += comparison_markdown(preview.comparison, preview.stack)
    lines += ["<details><summary>All resources</summary>", "", "```", preview.tree, "```", "", "</details>"]
    return "\n".join(lines)


def render_json(preview: Preview) -> str:
    """For programs; the keys stay."""
    comparison = preview.comparison
    document: dict[str, Any] = {
        "stack": preview.stack,
        "ok": preview.ok,
        "kubernetes": KUBERNETES_VERSION,
        "problems": list(preview.problems),
        "policies": {
            "rules": len(preview.policies.rules_run),
            "resources": preview.policies.resources_checked,
            "findings": [asdict(finding) for finding in preview.policies.findings],
            "advice": [asdict(finding) for finding in preview.policies.advice],
            "excepted": [
                {"finding": asdict(finding), "owner": exception.owner, "expires": str(exception.expires)}
                for finding, exception in preview.policies.excepted
            ],
        },
        "against": comparison.with_what if comparison else None,
        "differences": [asdict(each) for each in comparison.differences] if comparison else None,
        "explained": [asdict(each) for each in comparison.explained] if comparison else None,
        "unexplained": list(comparison.unexplained) if comparison else None,
        "tree": preview.tree.splitlines(),
        "manifests": preview.manifests,
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _verdict(preview: Preview) -> str:
    rules = len(preview.policies.rules_run)
    checks = f"{len(preview.manifests)} objects, {rules} policies, Kubernetes {KUBERNETES_VERSION}"
    count = len(preview.complaints)
    found = "nothing to mend" if preview.ok else f"{count} {'thing' if count == 1 else 'things'} to mend"
    return f"{preview.stack}: {found} ({checks})"


def _word(comparison: Comparison, effect: Effect, stack: str) -> str:
    """What is said of an object. Between two stacks nothing happens to it."""
    if not comparison.stacks:
        return str(effect)
    only = {Effect.CREATED: f"only in {stack}", Effect.DELETED: f"only in {comparison.with_what}"}
    return only.get(effect, "differs")


def summary(comparison: Comparison, stack: str) -> str:
    """How many objects change in which way, in one line."""
    if not comparison.differences:
        return f"Against {comparison.with_what}: no difference"
    order = list(Effect)
    effects = sorted((each.effect for each in comparison.differences), key=order.index)
    counts = Counter(_word(comparison, effect, stack) for effect in effects)
    return f"Against {comparison.with_what}: " + ", ".join(f"{count} {word}" for word, count in counts.items())


def _sign(comparison: Comparison, effect: Effect, changed: str) -> str:
    sign = _SIGNS.get(effect, changed)
    return changed if comparison.stacks and sign not in "+-" else sign


def _comparison_text(comparison: Comparison, stack: str, paint: Any) -> Iterator[str]:
    yield summary(comparison, stack)
    for each in comparison.differences:
        word, sign = _word(comparison, each.effect, stack), _sign(comparison, each.effect, "~")
        yield paint("" if comparison.stacks else _COLOURS[each.effect], f"  {sign} {each.key} ({word})")
        for change in each.changes:
            yield from (f"      {line}" for line in _change(change, effects=not comparison.stacks))
    if comparison.explained:
        yield "Settings that differ, and why:"
        for row in comparison.explained:
            yield f"  {row.key}: {_value(row.before)} → {_value(row.after)} ({row.why})"


def comparison_markdown(comparison: Comparison, stack: str) -> Iterator[str]:
    """The part of the Markdown that is about changes."""
    yield from ("### Changes", "", summary(comparison, stack), "")
    risky = [each for each in comparison.differences if each.effect in {Effect.REPLACED, Effect.DELETED}]
    if risky and not comparison.stacks:
        yield from (f"- **{each.effect}**: `{each.key}`" for each in risky)
        yield ""
    if comparison.differences:
        folded = len(comparison.differences) > FOLDED
        yield from (f"<details{'' if folded else ' open'}><summary>Objects</summary>", "", "```diff")
        for each in comparison.differences:
            yield from _difference_markdown(comparison, each, stack)
        yield from ("```", "", "</details>", "")
    if comparison.explained:
        yield from ("<details><summary>Settings that differ, and why</summary>", "")
        yield from ("| Setting | " + comparison.with_what + " | Here | Why |", "| --- | --- | --- | --- |")
        for row in comparison.explained:
            cells = (f"`{row.key}`", _value(row.before), _value(row.after), row.why)
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        yield from ("", "</details>", "")


def _difference_markdown(comparison: Comparison, each: Difference, stack: str) -> Iterator[str]:
    sign = _sign(comparison, each.effect, "!").replace("±", "!")
    yield f"{sign} {each.key} ({_word(comparison, each.effect, stack)})"
    for change in each.changes:
        yield from (f"  {line}".replace("```", "'''") for line in _change(change, effects=not comparison.stacks))


def _change(change: Change, *, effects: bool) -> Iterator[str]:
    """One line, or a unified diff where a text of several lines changed."""
    mark = f" ({change.effect})" if effects and change.effect == Effect.REPLACED else ""
    before, after = change.before, change.after
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        yield f"{change.path}:{mark}"
        lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
        yield from (f"  {line}" for line in list(lines)[2:] if not line.startswith("@@"))
    else:
        yield f"{change.path}: {_value(before)} → {_value(after)}{mark}"


def _value(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _painter(*, colour: bool) -> Any:
    return lambda code, text: f"{code}{text}{_PLAIN}" if colour and code else text


def escaped(text: str) -> str:
    """Text that means nothing to Markdown."""
    return text.replace("<", "&lt;").replace("`", "'")
