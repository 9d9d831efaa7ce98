"""All judges on all stacks, as one table: `python -m tests.judges`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from infra.environments.preview.policies import resources
from infra.environments.recording import Recording
from policy import judges
from policy.model import Resource
from policy.runner import stack_of
from tests.conftest import STACKS, platform_of
from tests.judges import judging
from tests.judges.judging import Verdict

CLOUD = "aws:"


def objects_of(stack: str) -> list[Mapping[str, Any]]:
    """Everything that a stack declares for a cluster, in a place of its own so that stacks do not mix."""
    return [_apart(dict(each), stack) for each in platform_of(stack).manifests()]


def cloud_of(recording: Recording, stack: str) -> list[Resource]:
    """Everything that a stack declares for AWS."""
    return [each for each in stack_of(resources(recording.registrations), stack).resources if each.type[:4] == CLOUD]


def verdicts() -> list[Verdict]:
    """What every judge says of every stack; each judge runs once."""
    objects = {stack: objects_of(stack) for stack in STACKS}
    clouds = {stack: found for stack in STACKS if (found := cloud_of(platform_of(stack), stack))}
    together = [each for stack in STACKS for each in objects[stack]]
    return [
        *judging.kube_score(together),
        *judging.checkov_objects(together),
        *judging.checkov_plans(clouds),
        *(verdict for found in clouds.values() for verdict in judging.cloudsplaining(found)),
    ]


def excepted(verdict: Verdict, today: date) -> bool:
    """Whether somebody has decided to live with it."""
    exceptions = {
        "kube-score": judges.KUBE_SCORE,
        "checkov": (*judges.CHECKOV, *judges.CHECKOV_CLOUD),
        "cloudsplaining": (),
    }
    declared_for_cloud = verdict.place.endswith(".json")
    name = f"{verdict.place}/{verdict.name}" if declared_for_cloud else verdict.name
    return any(each.covers(verdict.finding, name, today=today) for each in exceptions[verdict.judge])


def table() -> tuple[str, int]:
    """The table, and how much was found that nobody excepted."""
    today = datetime.now(UTC).date()
    found = verdicts()
    standing = [each for each in found if not excepted(each, today)]
    said = Counter(each.judge for each in found)
    lines = [f"{'judge':<16}{'version':<10}{'objects':>8}{'excepted':>10}{'findings':>10}"]
    declared = sum(len(objects_of(stack)) for stack in STACKS)
    inputs = sum(len(cloud_of(platform_of(stack), stack)) for stack in STACKS)
    judged = {"kube-score": declared, "checkov": declared + inputs, "cloudsplaining": inputs}
    for judge, version in judging.versions().items():
        left = sum(each.judge == judge for each in standing)
        lines.append(f"{judge:<16}{version:<10}{judged[judge]:>8}{said[judge] - left:>10}{left:>10}")
    lines += [f"✗ {each.judge}: {each.place}/{each.name}: {each.finding}" for each in sorted(standing)]
    lines.append(f"{len(standing)} findings on {', '.join(STACKS)}")
    return "\n".join(lines), len(standing)


def _apart(manifest: dict[str, Any], stack: str) -> dict[str, Any]:
    """The object with its namespaces renamed after the stack: policies select within one only."""
    metadata = {**manifest["metadata"]}
    for key in ("namespace", *(["name"] if manifest["kind"] == "Namespace" else [])):
        if key in metadata:
            metadata[key] = f"{stack}-{metadata[key]}"
    return {**manifest, "metadata": metadata}
