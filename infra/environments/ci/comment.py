"""What is said of a change below its pull request: of every stack what happens to it, what it costs, what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra.environments.preview import stackfile
from infra.environments.preview.against import of_revision_each
from infra.environments.preview.cost import Cost, Costs, costs
from infra.environments.preview.difference import Difference, Effect, difference
from infra.environments.preview.manifests import Manifests
from infra.environments.preview.render import comparison_markdown, escaped
from infra.environments.preview.stack_preview import Comparison, Preview, checked, nothing_collected, rendered
from infra.errors import UserError

MARK = "<!-- mcenv ci: preview of every stack -->"  # by it the comment is found again
LONGEST = 60_000  # characters; GitHub takes 65,536
LOST = frozenset({Effect.REPLACED, Effect.DELETED})


@dataclass(frozen=True, kw_only=True)
class Report:
    """A stack, what a change does to it, and what it asks for before and after."""

    preview: Preview
    comparison: Comparison
    before: Costs
    after: Costs

    @property
    def lost(self) -> list[Difference]:
        """What is replaced or deleted."""
        return [each for each in self.comparison.differences if each.effect in LOST]


def reports(stacks: Sequence[str], root: Path, against: str) -> list[Report]:
    """Previews of these stacks, or of all, against a git revision. Raises `UserError`, also where there is no stack."""
    stacks = stacks or stackfile.known_stacks(root)
    if not stacks:
        raise UserError(f"{root}: there is no Pulumi.STACK.yaml: nothing to preview")
    for stack in stacks:
        stackfile.find(root, stack)
    with nothing_collected(), of_revision_each(stacks, against, root) as earlier:
        ours = [checked(rendered(stack, root)) for stack in stacks]
        before = earlier.result()
    return [_report(each, before[each.stack], against) for each in ours]


def _report(preview: Preview, before: Manifests, against: str) -> Report:
    differences = difference(before, preview.manifests)
    return Report(
        preview=preview,
        comparison=Comparison(with_what=against, stacks=False, differences=differences),
        before=costs(before),
        after=costs(preview.manifests),
    )


def markdown(found: Sequence[Report]) -> str:
    """The comment. Where it would be too long, the longest details are left out, and how to see them is said."""
    head = "\n".join([MARK, "## What this changes", "", *_changes(found), *_lost(found), *_complaints(found)])
    costs_and_policies = "\n".join([*_costs(found), *_policies(found)])
    details = {each.preview.stack: "\n".join(_details(each)) for each in found if each.comparison.differences}
    for stack in sorted(details, key=lambda stack: len(details[stack]), reverse=True):
        room = LONGEST - len(head) - len(costs_and_policies)
        if sum(map(len, details.values())) > room:
            against = found[0].comparison.with_what
            details[stack] = f"Too long to show: `mcenv preview {stack} --against {against}`\n"
    return "\n".join([_cut(head), costs_and_policies, *details.values()]).rstrip() + "\n"


def plain(found: Sequence[Report]) -> str:
    """The same for programs."""
    stacks = [
        {
            "stack": each.preview.stack,
            "ok": each.preview.ok,
            "complaints": each.preview.complaints,
            "effects": dict(Counter(str(one.effect) for one in each.comparison.differences)),
            "lost": [{"key": one.key, "effect": one.effect} for one in each.lost],
            "requests": {"before": asdict(each.before), "after": asdict(each.after)},
        }
        for each in found
    ]
    return json.dumps(stacks, indent=2, default=_number)


def _number(value: Any) -> float:
    return float(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST // 2 else text[: LONGEST // 2].rpartition("\n")[0] + "\n- …\n"


def _changes(found: Iterable[Report]) -> Iterator[str]:
    yield f"| Stack | {' | '.join(effect.capitalize() for effect in Effect)} | To mend |"
    yield "| --- |" + " ---: |" * (len(Effect) + 1)
    for each in found:
        counts = Counter(one.effect for one in each.comparison.differences)
        cells = [counts[effect] or "" for effect in Effect] + [len(each.preview.complaints) or ""]
        yield f"| `{each.preview.stack}` | {' | '.join(map(str, cells))} |"
    yield ""


def _lost(found: Iterable[Report]) -> Iterator[str]:
    lines = [
        f"- `{each.preview.stack}`: **{one.effect}** `{one.key}`{_because(one)}" for each in found for one in each.lost
    ]
    if lines:
        yield from ("### Replaced or deleted", "", *lines, "")


def _because(lost: Difference) -> str:
    paths = [change.path for change in lost.changes if change.effect is Effect.REPLACED]
    return f" for {', '.join(f'`{path}`' for path in paths)}" if paths else ""


def _complaints(found: Iterable[Report]) -> Iterator[str]:
    lines = [f"- `{each.preview.stack}`: {escaped(text)}" for each in found for text in each.preview.complaints]
    if lines:
        yield from ("### To mend", "", *lines, "")


def _costs(found: Iterable[Report]) -> Iterator[str]:
    yield from ("### Requests", "", "| | CPU, cores | Memory, GiB | Storage, GiB | Pods |")
    yield "| --- | ---: | ---: | ---: | ---: |"
    for each in found:
        before, after = each.before, each.after
        rows = (
            ("at least", before.least, after.least),
            ("at most", before.most, after.most),
            ("each node", before.node, after.node),
        )
        for what, old, new in rows:
            yield f"| `{each.preview.stack}` {what} | {' | '.join(_cells(old, new))} |"
    yield ""


def _cells(old: Cost, new: Cost) -> Iterator[str]:
    gib = Decimal(2**30)
    yield _step(old.cpu, new.cpu)
    yield _step(old.memory / gib, new.memory / gib)
    yield _step(old.storage / gib, new.storage / gib)
    yield _step(Decimal(old.pods), Decimal(new.pods))


def _step(old: Decimal, new: Decimal) -> str:
    if old == new:
        return _short(new)
    return f"{_short(old)} → **{_short(new)}** ({'+' if new > old else '-'}{_short(abs(new - old))})"


def _short(value: Decimal) -> str:
    return f"{value.quantize(Decimal('0.01')).normalize():f}"


def _policies(found: Sequence[Report]) -> Iterator[str]:
    yield from ("### Policies", "")
    for each in found:
        report = each.preview.policies
        said = f"{len(report.findings)} findings" if report.findings else "nothing found"
        what = f"{len(report.rules_run)} policies on {report.resources_checked} resources"
        yield f"- `{each.preview.stack}`: {what}: {said}, {len(report.excepted)} excepted"
    excepted = {
        f"- {escaped(str(finding))} ({finding.rule}, {exception.owner}, until {exception.expires})": None
        for each in found
        for finding, exception in each.preview.policies.excepted
    }
    if excepted:
        yield from ("", "<details><summary>Exceptions</summary>", "", *excepted, "", "</details>")
    yield ""


def _details(report: Report) -> Iterator[str]:
    stack = report.preview.stack
    yield from (f"<details><summary>{stack}: what changes</summary>", "")
    yield from comparison_markdown(report.comparison, stack)
    yield from ("</details>", "")
