"""Only what calls the Kubernetes API gets a token for it."""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import Control, Node, Violation
from policy.pods import pod_rule

TOKENS = Control(
    "CIS Kubernetes Benchmark, 5.1.5 and 5.1.6: service account tokens are only mounted where necessary",
    "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/",
)


@pod_rule(TOKENS, "Set automountServiceAccountToken, and serviceAccountName to an account of its own.")
def deliberate_token(spec: Node) -> Iterator[Violation]:
    """Each pod says whether it gets an API token, and none uses the default account."""
    mount = spec.at("automountServiceAccountToken")
    account = spec.at("serviceAccountName")
    if not isinstance(mount.value, bool):
        yield mount.path, "is not decided; set it to false unless the pod calls the Kubernetes API"
    if account.value in (None, "", "default"):
        yield account.path, "is the account of whatever says nothing; name a ServiceAccount of its own"


RULES = (deliberate_token,)
