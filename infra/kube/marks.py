"""By what a preview environment's objects are known in a cluster, also those that are in none of its namespaces."""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.meta import v1 as meta

ENVIRONMENT = "modelcard/environment"  # a label: the first namespace of the environment that an object belongs to


def mark_all(environment: str) -> None:
    """Labels every Kubernetes object that the program declares from now on."""

    def marked(args: pulumi.ResourceTransformationArgs) -> None:
        metadata = args.props.get("metadata")
        if isinstance(metadata, meta.ObjectMetaArgs):
            metadata.labels = pulumi.Output.from_input(metadata.labels or {}).apply(
                lambda labels: {**labels, ENVIRONMENT: environment}
            )

    pulumi.runtime.register_stack_transformation(marked)
