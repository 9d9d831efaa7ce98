"""AWS: who may do what, and with which keys."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from policy.documents import ALL, IDENTITY, OF_RESOURCES, TRUST, Statement, readable, statements, texts
from policy.kinds import AWS_POLICY, AWS_ROLE, AWS_USER_ATTACHMENT, AWS_USER_POLICY, KEY
from policy.model import Control, Resource, Violation
from policy.pods import resource_rule
from policy.stack import Stack, stack_rule

LEAST = Control(
    "CIS AWS Foundations Benchmark, 1.16; AWS Well-Architected, SEC03-BP02: grant least privilege access",
    "https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_permissions_least_privileges.html",
)
FEDERATED = Control(
    "AWS Well-Architected, SEC02-BP02: use temporary credentials",
    "https://docs.aws.amazon.com/wellarchitected/latest/security-pillar/sec_identities_unique.html",
)
KEYS = Control(
    "CIS AWS Foundations Benchmark, 3.6; AWS KMS controls KMS.3 and KMS.4",
    "https://docs.aws.amazon.com/securityhub/latest/userguide/kms-controls.html",
)

ATTACHMENTS = (
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/policyAttachment:PolicyAttachment",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
    AWS_USER_ATTACHMENT,
)
LASTING = (
    "aws:iam/accessKey:AccessKey",
    "aws:iam/user:User",
    "aws:iam/userLoginProfile:UserLoginProfile",
    AWS_USER_POLICY,
    AWS_USER_ATTACHMENT,
)
# Actions that AWS cannot restrict to a resource. Source: Service Authorization Reference, S3 and KMS.
OF_NO_RESOURCE = frozenset({"kms:ListAliases", "kms:ListKeys", "s3:GetAccountPublicAccessBlock", "s3:ListAllMyBuckets"})
READS_IAM = ("iam:Get*", "iam:List*")
SHORTEST_WAIT = 30  # days in which a deleted key can be had back; the most that AWS allows


def _granted(resource: Resource) -> Iterator[Statement]:
    for text in texts(resource):
        if readable(text):
            yield from (each for each in statements(text) if each.allows)


@resource_rule(LEAST, "Write the policy as a JSON document with Statement.", *ALL, deferred=True)
def readable_document(resource: Resource) -> Iterator[Violation]:
    """Every policy is one that the rules can read."""
    found = list(texts(resource))
    if not found:
        yield ALL[resource.type], "is missing, so AWS decides; write the policy"
    for text in found:
        if not readable(text):
            yield text.path, "is no policy that the rules can read; write a JSON document with Statement"


@resource_rule(LEAST, "Name the actions and the resources.", *IDENTITY, AWS_ROLE, deferred=True)
def no_wildcard_grant(resource: Resource) -> Iterator[Violation]:
    """No policy of an identity allows every action of a service, or an action on everything."""
    for each in _granted(resource):
        trust = each.path.startswith("assumeRolePolicy")
        for key in ("NotAction", "NotResource"):
            if each.listed(key):
                yield f"{each.path}.{key}", "allows all but what it names; name what is needed"
        actions = each.listed("Action")
        if any(action == "*" or action.endswith(":*") for action in actions):
            yield f"{each.path}.Action", "allows every action of a service; name those that are needed"
        on_all = any(set(name) <= {"*", ":"} or name.endswith(":::*") for name in each.listed("Resource"))
        if not trust and on_all and not OF_NO_RESOURCE.issuperset(actions):
            yield f"{each.path}.Resource", "allows it on everything; name the resources"


@resource_rule(
    LEAST,
    "Remove what would let the identity become another, or change who may do what.",
    *IDENTITY,
    AWS_ROLE,
    deferred=True,
)
def no_escalating_grant(resource: Resource) -> Iterator[Violation]:
    """No identity changes identities: who can write policies or pass roles can do everything."""
    for each in _granted(resource):
        if each.path.startswith("assumeRolePolicy"):
            continue
        for action in each.listed("Action"):
            service = action.partition(":")[0].lower()
            reads = any(fnmatchcase(action, pattern) for pattern in READS_IAM)
            anywhere = service == "sts" and any("*" in name for name in each.listed("Resource"))
            if (service in {"iam", "organizations"} and not reads) or anywhere:
                yield f"{each.path}.Action", f"allows {action}, by which rights are gained; remove it"


@resource_rule(LEAST, "Name the accounts, roles or services.", *OF_RESOURCES, *TRUST, deferred=True)
def known_principal(resource: Resource) -> Iterator[Violation]:
    """What a bucket, key or role lets in has a name."""
    for each in _granted(resource):
        if each.content.get("NotPrincipal") is not None:
            yield f"{each.path}.NotPrincipal", "lets in all but whom it names; name who needs it"
        elif resource.type in TRUST and not each.path.startswith("assumeRolePolicy"):
            continue
        elif any(name == "*" or (":root" not in name and "*" in name) for name in each.principals):
            yield f"{each.path}.Principal", "lets everybody in; name the accounts, roles or services"


@resource_rule(
    FEDERATED, "Compare the token's sub and aud by StringEquals with the one account that may.", AWS_ROLE, deferred=True
)
def narrow_trust(role: Resource) -> Iterator[Violation]:
    """A role that the cluster's accounts may take names the one account, and for whom the token is."""
    for each in _granted(role):
        if "sts:AssumeRoleWithWebIdentity" not in each.listed("Action"):
            continue
        compared = each.conditions("StringEquals")
        for end in ("sub", "aud"):
            values = [value for key, listed in compared.items() if key.endswith(f":{end}") for value in listed]
            if not values or any("*" in value for value in values):
                yield f"{each.path}.Condition", f"lets any account of the cluster in; compare {end} by StringEquals"


@stack_rule(LEAST, "Attach a policy of the stack.", *ATTACHMENTS)
def own_policy(attachment: Resource, stack: Stack) -> Iterator[Violation]:
    """What is attached to a role is a policy of the stack, which other rules have read; Amazon's own are too wide."""
    policies = {each.urn for each in stack.of(AWS_POLICY)} - {""}
    if not policies & attachment.depends.get("policyArn", frozenset()):
        yield "policyArn", "is no policy of the stack, so no rule has read it; declare one with what is needed"


@resource_rule(LEAST, "Declare an aws.iam.Policy and attach it.", AWS_ROLE)
def no_attached_in_passing(role: Resource) -> Iterator[Violation]:
    """A role names no policies of others in passing."""
    for key in ("managedPolicyArns",):
        if role.at(key).value:
            yield key, "attaches policies that no rule has read; declare and attach a policy of the stack"


@resource_rule(FEDERATED, "Use a role that the pod's account may take.", *LASTING)
def no_lasting_credentials(_: Resource) -> Iterator[Violation]:
    """Nobody has credentials that do not end: there are roles, and no users."""
    yield "", "has credentials that never end; use a role that the pod's account may take"


@resource_rule(KEYS, "Set enableKeyRotation.", KEY)
def key_rotates(key: Resource) -> Iterator[Violation]:
    """Keys are replaced every year."""
    if key.at("enableKeyRotation").value is not True:
        yield "enableKeyRotation", "is not set, so what leaks once is open for ever; set it to true"
    period = key.at("rotationPeriodInDays")
    if period.value is not None and int(period.value) > 365:
        yield period.path, "is more than a year; set it to 365 or less"


@resource_rule(KEYS, f"Set deletionWindowInDays to {SHORTEST_WAIT}.", KEY)
def key_deleted_late(key: Resource) -> Iterator[Violation]:
    """A key that is deleted by mistake, and everything encrypted with it, can be had back for a month."""
    window = key.at("deletionWindowInDays")
    if window.value is not None and int(window.value) < SHORTEST_WAIT:
        yield window.path, f"leaves less than a month to notice; set it to {SHORTEST_WAIT}"
    if key.at("isEnabled").value is False:
        yield "isEnabled", "makes everything unreadable that is encrypted with it; remove it"
    if key.at("bypassPolicyLockoutSafetyCheck").value:
        yield "bypassPolicyLockoutSafetyCheck", "may lock everybody out of the key; remove it"


RULES = (
    readable_document,
    no_wildcard_grant,
    no_escalating_grant,
    known_principal,
    narrow_trust,
    own_policy,
    no_attached_in_passing,
    no_lasting_credentials,
    key_rotates,
    key_deleted_late,
)
