"""Everything can be found: by its name, its labels and its tags."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.kinds import (
    ACCOUNT,
    AWS_POLICY,
    AWS_ROLE,
    BINDINGS,
    BUCKETS,
    BUDGET,
    CLAIM,
    CONFIG_MAP,
    INGRESS,
    KEY,
    NAMESPACE,
    NETWORK_POLICY,
    ROLES,
    SERVICE,
)
from policy.model import Control, Resource, Rule, Violation
from policy.pods import KINDS, metadata, resource_rule
from policy.stack import SCALERS, Pods, Stack, StackRule, stack_rule

LABELS = Control(
    "Kubernetes documentation, Recommended Labels",
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/",
)
NAMES = Control(
    "Pulumi documentation, Names: physical names; Kubernetes documentation, Object Names and IDs",
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names/",
)
TAGS = Control(
    "AWS Well-Architected, SUS/COST: tag resources; Best Practices for Tagging AWS Resources",
    "https://docs.aws.amazon.com/whitepapers/latest/tagging-best-practices/tagging-best-practices.html",
)
OWN_NAMESPACE = Control(
    "CIS Kubernetes Benchmark, 5.7.4: the default namespace should not be used",
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/",
)

ADMISSION = Control(
    "Kubernetes documentation, Pod Security Admission",
    "https://kubernetes.io/docs/concepts/security/pod-security-admission/",
)

CLAIMED = (CONFIG_MAP, "kubernetes:core/v1:Secret", "kubernetes:core/v1:ResourceQuota")
NAMESPACED = (
    *KINDS,
    *CLAIMED,
    *SCALERS,
    ACCOUNT,
    BUDGET,
    CLAIM,
    INGRESS,
    NETWORK_POLICY,
    SERVICE,
    *(kind for kind in (*ROLES, *BINDINGS) if "Cluster" not in kind),
)
OBJECTS = (*NAMESPACED, NAMESPACE, *(kind for kind in (*ROLES, *BINDINGS) if "Cluster" in kind))
PART_OF, COMPONENT, MANAGED_BY = (f"app.kubernetes.io/{label}" for label in ("part-of", "component", "managed-by"))
RESERVED = re.compile(r"default|kube-.+")
# What lets a server of ours ask the API server who is calling is a role that lives there.
DELEGATION = "extension-apiserver-authentication-reader"
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

PROJECT = "modelcard"
TAGGED = (*BUCKETS, KEY, AWS_POLICY, AWS_ROLE)
REQUIRED_TAGS = ("modelcard/part-of", "modelcard/managed-by")
# Where each type has its physical name, and what stands before the project's own part of it.
NAMED = {
    **dict.fromkeys(BUCKETS, ("bucket", "")),
    "aws:kms/alias:Alias": ("name", "alias/"),
    AWS_POLICY: ("name", ""),
    AWS_ROLE: ("name", ""),
}


@resource_rule(LABELS, f"Set the labels {PART_OF}, {COMPONENT} and {MANAGED_BY}.", *OBJECTS)
def recommended_labels(resource: Resource) -> Iterator[Violation]:
    """Every object, and every pod, says what it is part of and who manages it."""
    places = [resource.at("metadata", "labels")]
    if resource.type in KINDS:
        places.append(metadata(resource).at("labels"))
    for labels in places:
        for label in (PART_OF, COMPONENT, MANAGED_BY):
            if not labels.at(label).value:
                yield f"{labels.path}[{label}]", "is missing; set it"


@resource_rule(NAMES, "Set metadata.name, at most 63 lower-case letters, digits and hyphens.", *OBJECTS)
def predictable_name(resource: Resource) -> Iterator[Violation]:
    """Names are chosen, so that people, policies and runbooks can tell them beforehand."""
    name = resource.at("metadata", "name")
    if resource.at("metadata", "generateName").value or not name.value:
        yield name.path, "is left to chance; name the object"
    elif len(str(name.value)) > 63 or not (DNS_LABEL.fullmatch(str(name.value)) or resource.type in ROLES + BINDINGS):
        yield name.path, "is no DNS label; use at most 63 lower-case letters, digits and hyphens"


@resource_rule(OWN_NAMESPACE, "Set metadata.namespace to a namespace of the stack.", *NAMESPACED)
def own_namespace(resource: Resource) -> Iterator[Violation]:
    """Nothing is in the default namespace, nor among Kubernetes' own."""
    field = resource.at("metadata", "namespace")
    delegates = resource.type in BINDINGS and resource.at("roleRef", "name").value == DELEGATION
    if not field.value:
        yield field.path, "is missing, so the object is where the kubeconfig says; name a namespace of the stack"
    elif RESERVED.fullmatch(str(field.value)) and not delegates:
        yield field.path, "is no namespace of the stack; name one that is"


@stack_rule(ADMISSION, "Set the labels pod-security.kubernetes.io/enforce, audit and warn to restricted.", NAMESPACE)
def admission_enforces(namespace: Resource, stack: Stack) -> Iterator[Violation]:
    """Each namespace has the cluster refuse careless pods; only agents that read their node are let off."""
    name = namespace.at("metadata", "name").value
    inside = [pods for pods in stack.pods if pods.namespace == name]
    agents = inside and all(pods.kind == "DaemonSet" and _reads_node(pods) for pods in inside)
    for mode in ("enforce", "audit", "warn"):
        label = namespace.at("metadata", "labels", f"pod-security.kubernetes.io/{mode}")
        if label.value != "restricted" and not (agents and label.value == "privileged"):
            yield f"metadata.labels[pod-security.kubernetes.io/{mode}]", "admits careless pods; set it to restricted"


def _reads_node(pods: Pods) -> bool:
    return any(volume.at("hostPath").value for volume in pods.spec.at("volumes").elements())


@resource_rule(TAGS, f"Set the tags {' and '.join(REQUIRED_TAGS)}.", *TAGGED)
def required_tags(resource: Resource) -> Iterator[Violation]:
    """What costs money or holds data in the cloud says what it is part of."""
    for tag in REQUIRED_TAGS:
        if not resource.at("tags", tag).value:
            yield f"tags[{tag}]", "is missing; set it"


@resource_rule(NAMES, f"Name it by a text that begins with {PROJECT}.", *NAMED)
def project_name(resource: Resource) -> Iterator[Violation]:
    """Names in the cloud, where others have theirs too, begin with the project's."""
    key, prefix = NAMED[resource.type]
    if not str(resource.at(key).value or "").startswith(f"{prefix}{PROJECT}"):
        yield key, f"is left to chance, or does not begin with {prefix}{PROJECT}; name it so"


RULES: tuple[Rule | StackRule, ...] = (
    recommended_labels,
    predictable_name,
    own_namespace,
    admission_enforces,
    required_tags,
    project_name,
)
