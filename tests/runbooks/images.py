"""Which programs a container has for `kubectl exec`, by its image. What is not here has none: no page may ask for it.

Sources: the images' Dockerfiles, of the versions in infra/defaults.py. An image from scratch or distroless, such as
kube-state-metrics' and prometheus-adapter's, has no shell either.
"""

from __future__ import annotations

# Of coreutils or busybox, which do alike what pages ask of them.
SHELL = frozenset(
    {"sh", "cat", "ls", "df", "du", "grep", "head", "tail", "mv", "rm", "sort", "wc", "timeout", "find", "env", "sed"}
)
PROGRAMS = {
    "terragonlabs/modelcard-generator": SHELL | {"python"},  # python:slim
    "terragonlabs/modelcard-ops": SHELL | {"python", "mcops", "psql", "pg_dump", "pg_restore", "pg_isready"},
    "library/nginx": SHELL | {"nginx", "curl", "getent"},  # Debian's
    "terragonlabs/modelcard-postgres": SHELL | {"psql", "pg_isready", "getent", "pgbackrest"},  # Debian's
    "elasticsearch/elasticsearch": SHELL | {"bash", "curl"},  # UBI 9 minimal
    "logstash/logstash": SHELL | {"bash", "curl"},  # UBI 9 minimal
    "beats/filebeat": SHELL | {"bash"},  # UBI 9 minimal
    "library/redis": SHELL | {"redis-cli"},  # Debian's
    "prometheus/prometheus": SHELL | {"promtool"},  # busybox
    "prometheus/alertmanager": SHELL | {"amtool"},  # busybox
}


def programs(image: str) -> frozenset[str]:
    """What can be run in a container of this image, such as `docker.io/library/nginx:1.28.0`."""
    repository = image.partition("@")[0].rpartition(":")[0].partition("/")[2]
    return PROGRAMS.get(repository, frozenset())
