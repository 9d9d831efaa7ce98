"""Settings that a stack may have."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from infra.quantities import BucketName, Host, Label


def ordered(low: str, high: str, unit: str, most: int) -> st.SearchStrategy[dict[str, str]]:
    """Two quantities, of which the second is not below the first."""
    pairs = st.tuples(st.integers(1, most), st.integers(1, most)).map(sorted)
    return pairs.map(lambda pair: {low: f"{pair[0]}{unit}", high: f"{pair[1]}{unit}"})


def some(**settings: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these settings."""
    return st.fixed_dictionaries({}, optional=settings)


names = st.from_regex(Label.pattern, fullmatch=True)
counts = st.integers(1, 500)
replicas = st.integers(1, 14)  # as many as the least of `connections` serves
connections = st.integers(62, 500)  # as many as the most replicas of the defaults need
sizes = st.builds("{}{}".format, st.integers(1, 999), st.sampled_from(["Mi", "Gi"]))
images = st.sampled_from(["ghcr.io/a/b:2.0.0", f"registry.example.com:5000/a@sha256:{'0' * 64}"])
resources = st.builds(
    lambda cpu, memory, rest: cpu | memory | rest,
    ordered("cpu_request", "cpu_limit", "m", 64000),
    ordered("memory_request", "memory_limit", "Mi", 65536),
    some(ephemeral_storage=sizes),
)
overrides = some(
    namespace=names,
    protect_data=st.booleans(),
    rotation=st.integers(0, 10**6),
    app=some(
        image=images,
        workers=st.integers(1, 2),
        replicas=st.tuples(replicas, replicas).map(sorted).map(lambda pair: {"min": pair[0], "max": pair[1]}),
        resources=resources,
        autoscaling=some(cpu=st.integers(1, 100), memory=st.integers(1, 100), requests_per_second=counts),
        uploads=some(size=sizes, storage_class=names | st.none(), access_mode=st.just("ReadWriteMany")),
        termination_grace=st.integers(10, 600),
    ),
    edge=some(
        image=images,
        host=st.from_regex(Host.pattern, fullmatch=True).filter(lambda host: len(host) <= 253),
        replicas=counts,
        resources=resources,
        tls_secret=names | st.none(),
        ingress_class=names,
        ingress_namespace=names,
        upload_limit=sizes,
    ),
    database=some(image=images, resources=resources, storage=some(size=sizes), max_connections=connections),
    cache=some(image=images, resources=resources),
    backup=some(bucket=st.from_regex(BucketName.pattern, fullmatch=True)),
)
stacks = st.sampled_from(["local", "dev", "prod"])
