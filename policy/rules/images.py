"""Images are named so that the same name always means the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy.model import Control, Violation
from policy.pods import Container, container_rule

PINNED = Control(
    "Kubernetes documentation, Images: avoid the :latest tag in production",
    "https://kubernetes.io/docs/concepts/containers/images/#image-names",
)

SUPPLY = Control(
    "OWASP Kubernetes Top Ten, K02 Supply Chain Vulnerabilities",
    "https://owasp.org/www-project-kubernetes-top-ten/2022/en/src/K02-supply-chain-vulnerabilities",
)
PULLED = Control(
    "Checkov CKV_K8S_15; kube-score container-image-pull-policy",
    "https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy",
)

# Who may publish what runs here: the project itself, and the makers of what it is built on.
PUBLISHERS = (
    "docker.elastic.co/",
    "docker.io/grafana/",
    "docker.io/library/",
    "docker.io/nginx/",
    "docker.io/oliver006/",
    "docker.io/terragonlabs/",
    "quay.io/prometheus/",
    "quay.io/prometheuscommunity/",
    "registry.k8s.io/",
)
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
# A version of at least two numbers (PostgreSQL's are complete with two), or the commit that was built.
VERSION = re.compile(r"v?\d+\.\d+[\w.+-]*|(sha-)?[0-9a-f]{7,40}", re.ASCII)
FLOATING = frozenset(
    {
        "canary",
        "current",
        "dev",
        "develop",
        "edge",
        "head",
        "latest",
        "lts",
        "main",
        "mainline",
        "master",
        "next",
        "nightly",
        "snapshot",
        "stable",
        "staging",
        "testing",
        "trunk",
    },
)


@container_rule(PINNED, "Name the image by its version or by its digest.")
def pinned_image(container: Container) -> Iterator[Violation]:
    """Every image is named by a version or a digest, so that it cannot change under a running platform."""
    image = container.at("image")
    if not image.value:
        yield image.path, "is missing; name an image and its version"
    elif not DIGEST.search(image.value):
        # A colon before the last slash separates a port, not a tag.
        tag = image.value.rpartition("/")[2].partition(":")[2]
        words = FLOATING.intersection(re.split(r"[-_.]", tag.lower()))
        if not tag or "@" in image.value:
            yield image.path, "has no tag and no sha256 digest; name its version"
        elif words:
            yield image.path, f"has a tag that moves ({', '.join(sorted(words))}); name its version"
        elif not VERSION.fullmatch(tag):
            yield image.path, "has a tag that is no full version; name a version such as 1.4.2, or a digest"


@container_rule(SUPPLY, "Name the registry and a publisher in PUBLISHERS of policy/rules/images.py.")
def known_publisher(container: Container) -> Iterator[Violation]:
    """Every image names its registry, and comes from somebody who was chosen to publish what runs here."""
    image = container.at("image")
    if not str(image.value or "").startswith(PUBLISHERS):
        yield image.path, "comes from nobody in policy/rules/images.py; name registry and publisher, or add them there"


@container_rule(PULLED, "Set imagePullPolicy to Always.")
def pulled_anew(container: Container) -> Iterator[Violation]:
    """The registry is asked each time, so that no pod runs what a node happens to have under a name."""
    field = container.at("imagePullPolicy")
    if field.value != "Always":
        yield field.path, "trusts what the node has under this name; set it to Always"


@container_rule(SUPPLY, "Set command to what the container runs.")
def explicit_command(container: Container) -> Iterator[Violation]:
    """What a container runs is written down here, not left to whoever builds the image."""
    field = container.at("command")
    if not field.value and container.role != "ephemeral":
        yield field.path, "is left to the image; say what runs"


RULES = (pinned_image, known_publisher, pulled_anew, explicit_command)
