"""Who may ask the Kubernetes API for what: as little as they need, and a token only where it is used."""

from __future__ import annotations

from collections.abc import Iterator

from policy.kinds import ACCOUNT, BINDINGS, RBAC, ROLES
from policy.model import Control, Node, Resource, Violation
from policy.pods import KINDS, pod, resource_rule
from policy.stack import Pods, Stack, namespace_of, stack_rule

LEAST = Control(
    "CIS Kubernetes Benchmark, 5.1: RBAC and Service Accounts",
    "https://kubernetes.io/docs/concepts/security/rbac-good-practices/",
)

READS = frozenset({"get", "list", "watch"})
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# What lets its holder become somebody else. Source: Kubernetes, "RBAC Good Practices", privilege escalation risks.
ESCALATING_VERBS = frozenset({"approve", "bind", "escalate", "impersonate", "sign"})
ESCALATING = {
    **dict.fromkeys(("nodes/proxy", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"), READS | WRITES),
    "serviceaccounts/token": frozenset({"create"}),
    **dict.fromkeys(("clusterrolebindings", "clusterroles", "rolebindings", "roles"), WRITES),
    **dict.fromkeys(("certificatesigningrequests", "certificatesigningrequests/approval"), WRITES),
    **dict.fromkeys(("mutatingwebhookconfigurations", "validatingwebhookconfigurations"), WRITES),
    **dict.fromkeys(("namespaces", "nodes", "persistentvolumes"), WRITES),
}
# Roles of Kubernetes' own that allow one narrow thing.
BUILT_IN = frozenset({"extension-apiserver-authentication-reader", "system:auth-delegator"})
# Accounts of Kubernetes' own that a stack may grant something.
CONTROLLERS = frozenset({("kube-system", "horizontal-pod-autoscaler")})


def _values(rule: Node, key: str) -> list[str]:
    return list(rule.at(key).value or ())


@resource_rule(LEAST, "Name the groups, resources, URLs and verbs that are needed.", *ROLES)
def no_wildcard_role(role: Resource) -> Iterator[Violation]:
    """No role allows everything of anything, today or in a later version."""
    for rule in role.at("rules").elements():
        for key in ("apiGroups", "resources", "verbs", "nonResourceURLs"):
            if any("*" in value for value in _values(rule, key)):
                yield rule.at(key).path, "allows everything by *; name what is needed"
    if role.at("aggregationRule").value:
        yield "aggregationRule", "grows with roles of others; name what is needed"


@resource_rule(LEAST, "Remove secrets from resources, or name one by resourceNames with the verb get.", *ROLES)
def no_secrets_listing(role: Resource) -> Iterator[Violation]:
    """Nobody reads Secrets through the API, unless it is one that is named: to list them is to read them all."""
    for rule in role.at("rules").elements():
        verbs = READS.intersection(_values(rule, "verbs"))
        if "secrets" in _values(rule, "resources") and verbs:
            named = rule.at("resourceNames").value and verbs == {"get"}
            if not named:
                yield rule.at("resources").path, "reads every Secret of the namespace; mount what is needed instead"


@resource_rule(LEAST, "Remove what would let the account become somebody else.", *ROLES)
def no_escalating_role(role: Resource) -> Iterator[Violation]:
    """No role lets its holder take more rights: by other roles, other identities, or the inside of other pods."""
    for rule in role.at("rules").elements():
        verbs = set(_values(rule, "verbs"))
        for verb in sorted(verbs & ESCALATING_VERBS):
            yield rule.at("verbs").path, f"allows {verb}, by which rights are gained; remove it"
        for resource in _values(rule, "resources"):
            if verbs & ESCALATING.get(resource, frozenset()):
                yield rule.at("resources").path, f"reaches {resource}, by which rights are gained; remove it"


@stack_rule(LEAST, "Bind a role of the stack to a ServiceAccount of the stack.", *BINDINGS)
def narrow_binding(binding: Resource, stack: Stack) -> Iterator[Violation]:
    """Rights go to accounts that the stack declares, and are those that a role of the stack lists."""
    kind, name = binding.at("roleRef", "kind").value, binding.at("roleRef", "name").value
    declared = stack.one(f"{RBAC}:{kind}", name, None if kind == "ClusterRole" else namespace_of(binding))
    if name not in BUILT_IN and declared is None:
        yield "roleRef.name", "is no role of the stack, so no rule has read it; declare one with what is needed"
    for subject in binding.at("subjects").elements():
        if subject.at("kind").value != "ServiceAccount":
            yield subject.at("kind").path, "grants rights to users or groups; name a ServiceAccount"
            continue
        account, namespace = subject.at("name").value, subject.at("namespace").value
        if account == "default":
            yield subject.at("name").path, "grants rights to whatever says nothing; name an account of its own"
        elif (namespace, account) not in CONTROLLERS and stack.one(ACCOUNT, account, str(namespace)) is None:
            yield subject.at("name").path, "is no account of the stack; declare it, or grant nothing"


@resource_rule(LEAST, "Set automountServiceAccountToken to false; pods that need a token ask for it.", ACCOUNT)
def account_without_token(account: Resource) -> Iterator[Violation]:
    """An account hands out no token by itself."""
    field = account.at("automountServiceAccountToken")
    if field.value is not False:
        yield field.path, "hands a token to every pod; set it to false"


@stack_rule(LEAST, "Remove the token, or bind a role to the account.", *KINDS)
def token_that_is_used(workload: Resource, stack: Stack) -> Iterator[Violation]:
    """A pod has a token if and only if its account may do something with it."""
    mount = pod(workload).at("automountServiceAccountToken").value
    pods = Pods(workload)
    account = pods.spec.at("serviceAccountName").value
    granted = any(
        (subject.at("name").value, subject.at("namespace").value) == (account, pods.namespace)
        for binding in stack.of(*BINDINGS)
        for subject in binding.at("subjects").elements()
    )
    path = pods.spec.at("automountServiceAccountToken").path
    if mount and not granted:
        yield path, "hands out a token that may do nothing; set it to false, or bind a role to the account"
    elif granted and not mount:
        yield path, "leaves an account with rights that its pods do not use; remove its bindings"


RULES = (
    no_wildcard_role,
    no_secrets_listing,
    no_escalating_role,
    narrow_binding,
    account_without_token,
    token_that_is_used,
)
