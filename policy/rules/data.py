"""Data outlives mistakes: it is protected, kept, and in a backup unless there is a reason."""

from __future__ import annotations

from collections.abc import Iterator

from policy.kinds import BUCKETS, CLAIM, CRON_JOB, KEY, NAMESPACE, STATEFUL_SET
from policy.model import Control, Resource, Violation
from policy.pods import resource_rule
from policy.stack import Stack, namespace_of, stack_rule

KEPT = Control(
    "Pulumi documentation, protect and retainOnDelete; NIST SP 800-53, CP-9",
    "https://www.pulumi.com/docs/iac/concepts/resources/options/protect/",
)
BACKED_UP = Control(
    "NIST SP 800-53, CP-9 System Backup",
    "https://csrc.nist.gov/projects/cprt/catalog#/cprt/framework/version/SP_800_53_5_1_1/home?element=CP-09",
)

BACKUP = "modelcard/backup"  # on a claim: by what it is backed up, or "none: " and why it need not be
BACKS_UP = "modelcard/backs-up"  # on a CronJob: what it backs up, one word or several with commas
NONE = "none:"
SHORTEST_REASON = 20  # characters: enough for a sentence, too many for "cache"


def _holds(resource: Resource) -> bool:
    """Whether it is a claim, or makes some."""
    return resource.type == CLAIM or bool(resource.at("spec", "volumeClaimTemplates").value)


def _missed(resource: Resource) -> bool:
    """Whether what it holds is missed when it is lost."""
    return _holds(resource) and not _said(resource).startswith(NONE)


def _said(resource: Resource) -> str:
    return str(resource.at("metadata", "annotations", BACKUP).value or "").strip()


def _kept(resource: Resource) -> Iterator[Violation]:
    if not resource.protect:
        yield "(options)", "may be deleted by a deployment; set protect"
    if resource.retain is False:
        yield "(options)", "goes with the stack; set retain_on_delete"


@resource_rule(
    KEPT, "Set protect and retain_on_delete (protect_data in the stack file).", CLAIM, STATEFUL_SET, KEY, *BUCKETS
)
def kept_data(resource: Resource) -> Iterator[Violation]:
    """What holds data that would be missed can be deleted neither by a deployment nor with the stack."""
    if resource.type in {KEY, *BUCKETS} or _missed(resource):
        yield from _kept(resource)
    for field in ("whenDeleted", "whenScaled"):
        policy = resource.at("spec", "persistentVolumeClaimRetentionPolicy", field)
        if resource.type == STATEFUL_SET and policy.value not in {None, "Retain"}:
            yield policy.path, "deletes volumes with their pods; set it to Retain"


@stack_rule(KEPT, "Set protect and retain_on_delete (protect_data in the stack file).", NAMESPACE)
def kept_namespace(namespace: Resource, stack: Stack) -> Iterator[Violation]:
    """A namespace takes everything in it along: one with data is kept as the data is."""
    name = namespace.at("metadata", "name").value
    for resource in stack.of(CLAIM, STATEFUL_SET):
        if namespace_of(resource) == name and _missed(resource):
            yield from _kept(namespace)
            return


@stack_rule(
    BACKED_UP, f'Annotate the claim with {BACKUP}: what backs it up, or "none: " and the reason.', CLAIM, STATEFUL_SET
)
def backed_up_claim(resource: Resource, stack: Stack) -> Iterator[Violation]:
    """Every volume is in the backup, by the name under which a job backs it up, or says why it need not be."""
    if not _holds(resource):
        return
    path, text = f"metadata.annotations[{BACKUP}]", _said(resource)
    if not text:
        yield path, 'is missing; say what backs the volume up, or "none: " and why nothing does'
    elif text.startswith(NONE):
        if len(text.removeprefix(NONE).strip()) < SHORTEST_REASON:
            yield path, f"gives no reason; write a sentence of at least {SHORTEST_REASON} characters"
    elif text not in stack.once(_backed_up):
        yield path, f"names what no CronJob lists in its annotation {BACKS_UP}; correct it, or add it there"


def _backed_up(stack: Stack) -> frozenset[str]:
    listed = [str(job.at("metadata", "annotations", BACKS_UP).value or "") for job in stack.of(CRON_JOB)]
    return frozenset(word.strip() for words in listed for word in words.split(",") if word.strip())


RULES = (kept_data, kept_namespace, backed_up_claim)
