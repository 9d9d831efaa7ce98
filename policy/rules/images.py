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


RULES = (pinned_image,)
