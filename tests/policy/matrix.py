"""The mutation matrix: the platform broken in hundreds of ways, and who notices. `python -m tests.policy.matrix`.
`--quick` takes one mutant of each mutation, `--json` is for a program.

Ours are the policies that end a run in prod, with its exceptions. The judges see each mutant among the objects that it
has to do with, in a namespace of its own, and say what they did not say before.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from infra.environments.preview.policies import resources
from policy.exceptions import EXCEPTIONS, divide
from policy.model import Finding, Resource, Rule
from policy.pods import KINDS
from policy.rules import ALL
from policy.runner import stack_of
from policy.stack import SCALERS, STACK, Pods, Stack, StackRule, namespace_of
from tests.conftest import platform_of
from tests.judges import judging
from tests.judges.judging import Verdict
from tests.policy.mutations import MOST, Mutant, mutants
from tests.policy.small_stack import CLOUD

LEAST = 98  # per cent that ours must notice
BEFORE, AFTER = "before", "after"


def platform() -> tuple[Resource, ...]:
    """What prod declares; if that is nothing in the cloud, with the small stack's."""
    declared = stack_of(resources(platform_of("prod").registrations), "prod").resources
    cloud = () if any(each.type.startswith("aws:") for each in declared) else CLOUD
    return tuple(each for each in (*declared, *cloud) if each.type != STACK)


def ours(mutant: Mutant, whole: Sequence[Resource], today: date) -> str | None:
    """The first policy that refuses the mutant: those about one resource alone first, which are quicker."""
    if mutant.after is not None:
        alone = (each for rule in ALL if isinstance(rule, Rule) for each in rule.findings(mutant.after))
        if found := _first(alone, today):
            return found
    kept = (mutant.after if each is mutant.before else each for each in whole)
    stack = Stack("prod", (*(each for each in kept if each is not None), Resource(STACK, "prod", {})))
    # What is broken is most often what a rule is about, and asking it first saves asking everybody.
    order = [each for each in (mutant.after, *stack.resources) if each is not None]
    among = (
        each
        for resource in order
        for rule in ALL
        if isinstance(rule, StackRule)
        for each in rule.findings(resource, stack)
    )
    return _first(among, today)


def _first(findings: Iterable[Finding], today: date) -> str | None:
    for finding in findings:
        standing, _ = divide([finding], EXCEPTIONS, today)
        if standing:
            return finding.rule
    return None


def theirs(found: Sequence[Mutant], whole: Sequence[Resource]) -> dict[int, set[tuple[str, str]]]:
    """What judges say of each mutant that they do not say of what it was made from: judge and finding."""
    objects: list[Mapping[str, Any]] = []
    fewer: list[Mapping[str, Any]] = []
    plans: dict[str, list[Resource]] = {"plan": [each for each in whole if each.type.startswith("aws:")]}
    stack = Stack("prod", tuple(whole))
    groups: dict[str, int] = {}  # what a resource is among before it is broken, once for all of its mutants

    def place(resource: Resource, own: Resource | None, group: str) -> None:
        context = _context(resource, stack)
        objects.extend(_moved(each, group) for each in (*context, *([own] if own is not None else [])))
        policies = [each for each in context if each.type.endswith(":NetworkPolicy")]
        # checkov is slow, and asks only whether there is a policy at all.
        about = [each for each in context if each.type in KINDS] + policies[:2]
        fewer.extend(_moved(each, group) for each in (*about, *([own] if own is not None else [])))

    for number, mutant in enumerate(found):
        if mutant.before.type.startswith("aws:"):
            kept = [mutant.after if each is mutant.before else each for each in plans["plan"]]
            plans[f"m{number}"] = [each for each in kept if each is not None]
        elif mutant.before.type.startswith("kubernetes:"):
            if str(mutant.before) not in groups:
                groups[str(mutant.before)] = number
                place(mutant.before, mutant.before, f"m{number}-{BEFORE}")
            place(mutant.before, mutant.after, f"m{number}-{AFTER}")
    said: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for verdict in (*judging.kube_score(objects), *judging.checkov_objects(fewer), *judging.checkov_plans(plans)):
        said[_group(verdict)][verdict.judge, verdict.finding] += 1
    return {
        number: set(said[f"m{number}.json"] - said["plan.json"])
        if mutant.before.type.startswith("aws:")
        else set(said[f"m{number}-{AFTER}"] - said[f"m{groups.get(str(mutant.before))}-{BEFORE}"])
        for number, mutant in enumerate(found)
    }


def _group(verdict: Verdict) -> str:
    """Which mutant it is about: by the namespace, the file, or what is in no namespace, the name."""
    if verdict.place in {"", "default"} and verdict.name.startswith("m"):
        return "-".join(verdict.name.split("-")[:2])
    return verdict.place


def _context(resource: Resource, stack: Stack) -> list[Resource]:
    """What an object has to do with: the pods that it selects, and whatever selects these or is selected with it."""
    selecting = [each for each in stack.resources if each.at("spec").raw and _selector(each)]
    if resource.type in KINDS:
        pods = [resource]
    elif resource.type in SCALERS:
        scaled = stack.scaled(resource)
        pods = [scaled.resource] if scaled else []
    elif _selector(resource):
        pods = [each.resource for each in stack.pods if _selects(resource, each)]
    else:
        return []
    around = [each for each in selecting if any(_selects(each, Pods(one)) for one in pods)]
    scalers = [each for each in stack.of(*SCALERS) if (target := stack.scaled(each)) and target.resource in pods]
    return [each for each in {id(one): one for one in (*pods, *around, *scalers)}.values() if each is not resource]


def _selector(resource: Resource) -> Mapping[str, str]:
    if resource.type in KINDS or not resource.type.startswith("kubernetes:"):
        return {}
    spec = resource.properties.get("spec") or {}
    chosen = spec.get("podSelector", spec.get("selector")) or {}
    return chosen.get("matchLabels", chosen)


def _selects(resource: Resource, pods: Pods) -> bool:
    return namespace_of(resource) == pods.namespace and _selector(resource).items() <= pods.labels.items()


def _moved(resource: Resource, namespace: str) -> Mapping[str, Any]:
    """The object in a namespace of the mutant's own; without one, or in a wrong one on purpose, by its name."""
    manifest = json.loads(json.dumps(dict(resource.properties)))
    metadata = manifest.setdefault("metadata", {})
    if metadata.get("namespace") not in {None, "default"}:
        metadata["namespace"] = namespace
    else:
        metadata["name"] = f"{namespace}-{metadata.get('name', 'unnamed')}"
    return manifest


def matrix(
    found: Sequence[Mutant], whole: Sequence[Resource]
) -> Iterator[tuple[Mutant, str | None, set[tuple[str, str]]]]:
    """Each mutant, our policy that refuses it, and what the judges say of it."""
    today = datetime.now(UTC).date()
    judged = theirs(found, whole)
    for number, mutant in enumerate(found):
        yield mutant, ours(mutant, whole, today), judged[number]


def main() -> int:
    """Print the matrix, and fail if we miss too much, or anything that a judge sees."""
    asyncio.set_event_loop(asyncio.new_event_loop())  # Pulumi wants one to be there
    whole = platform()
    rows = list(matrix(mutants(whole, most=1 if "--quick" in sys.argv else MOST), whole))
    missed = [mutant for mutant, rule, _ in rows if rule is None]
    worse = [(mutant, said) for mutant, rule, said in rows if rule is None and said]
    both = sum(rule is not None and bool(said) for _, rule, said in rows)
    only = sum(rule is not None and not said for _, rule, said in rows)
    if "--json" in sys.argv:
        told = [{"mutant": str(mutant), "ours": rule, "theirs": sorted(said)} for mutant, rule, said in rows]
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        by_judge = Counter(judge for _, _, said in rows for judge in {judge for judge, _ in said})
        for mutant, rule, said in rows:
            judges = ", ".join(sorted(f"{judge}: {finding}" for judge, finding in said)) or "-"
            sys.stdout.write(f"{'✓' if rule else '✗'} {mutant} | {rule or 'nobody'} | {judges}\n")
        sys.stdout.write(
            f"{len(rows)} mutants: {both} by us and them, {only} by us alone, {len(worse)} by them alone, "
            f"{len(missed) - len(worse)} by neither; kube-score {by_judge['kube-score']}, "
            f"checkov {by_judge['checkov']}, ours {(len(rows) - len(missed)) / len(rows):.1%}\n"
        )
    enough = (len(rows) - len(missed)) * 100 >= LEAST * len(rows)
    return 0 if enough and not worse else 1


if __name__ == "__main__":
    sys.exit(main())
