"""The service: its database, its cache, itself, and what is in front of it."""

from __future__ import annotations

import pulumi

from infra.components import app, backup, edge, incidents, postgres_exporter, prometheus, redis_exporter
from infra.components.app import App, AppArgs, Keda
from infra.components.cache import Cache, CacheArgs
from infra.components.database import Database, DatabaseArgs
from infra.components.edge import Edge, EdgeArgs
from infra.kube.bucket import Bucket
from infra.parts.ground import Ground, secret
from infra.settings import connections_per_worker

THROWN_AWAY = "none: what a preview environment holds is thrown away with it"


def declare_database(ground: Ground, bucket: Bucket) -> Database:
    """PostgreSQL, backed up to the bucket."""
    settings, secrets = ground.settings, ground.settings.secrets
    thrown_away = settings.preview_environment
    jobs = [] if thrown_away else [backup.RUN, backup.DRILL]
    return Database(
        "database",
        DatabaseArgs(
            spaces=ground.spaces,
            image=settings.database.image,
            resources=settings.database.resources,
            backup_resources=settings.database.backup_resources,
            rotation_resources=settings.database.rotation_resources,
            storage=settings.database.storage,
            max_connections=settings.database.max_connections,
            password=secret(secrets.database_password),
            monitor_password=secret(secrets.database_monitor_password),
            certificate=ground.issued(secrets.database_certificate),
            clients=[app.WORKLOAD, postgres_exporter.WORKLOAD, incidents.WORKLOAD, *jobs],
            bucket=bucket,
            passphrase=secret(secrets.backup_passphrase),
            # Half of what may be lost: the rest is for the way to the bucket, and for whoever is told.
            archive_timeout=None if thrown_away else settings.backup.objectives.rpo // 2,
            backup=THROWN_AWAY if thrown_away else "database",
            readers=[] if thrown_away else [backup.RUN],
            rollout=ground.rollout,
            protect=settings.protect_data,
        ),
        ground.options,
    )


def declare_cache(ground: Ground) -> Cache:
    """Redis."""
    settings, secrets = ground.settings.cache, ground.settings.secrets
    return Cache(
        "cache",
        CacheArgs(
            spaces=ground.spaces,
            image=settings.image,
            resources=settings.resources,
            password=secret(secrets.cache_password),
            monitor_password=secret(secrets.cache_monitor_password),
            certificate=ground.issued(secrets.cache_certificate),
            clients=[app.WORKLOAD, redis_exporter.WORKLOAD],
            rollout=ground.rollout,
        ),
        ground.options,
    )


def declare_app(ground: Ground, *, database_url: pulumi.Output[str], cache_url: pulumi.Output[str]) -> App:
    """The Model Card Generator."""
    settings = ground.settings
    own = settings.app
    return App(
        "app",
        AppArgs(
            spaces=ground.spaces,
            image=own.image,
            workers=own.workers,
            database_connections=connections_per_worker(
                settings.database.max_connections, own.replicas.max, own.workers
            ),
            upload_limit=settings.edge.upload_limit,
            replicas=own.replicas,
            resources=own.resources,
            autoscaling=own.autoscaling,
            keda=_keda(ground) if own.autoscaling.metrics_from == "keda" else None,
            uploads=own.uploads,
            backup=THROWN_AWAY if settings.preview_environment else "uploads",
            termination_grace=own.termination_grace,
            database_url=database_url,
            cache_url=cache_url,
            authority=ground.authority,
            clients=[edge.WORKLOAD, incidents.WORKLOAD],
            rollout=ground.rollout,
            protect=settings.protect_data,
        ),
        ground.options,
    )


def _keda(ground: Ground) -> Keda:
    server = prometheus.METRICS
    host = f"{server.workload.name}.{ground.names[server.workload.space]}"
    return Keda(url=f"https://{host}:{server.port}", server=server, login=ground.login)


def declare_edge(ground: Ground, *, host: str) -> Edge:
    """nginx in front of the application, whose `host` it is."""
    settings, secrets = ground.settings.edge, ground.settings.secrets
    return Edge(
        "edge",
        EdgeArgs(
            spaces=ground.spaces,
            image=settings.image,
            host=settings.host,
            replicas=settings.replicas,
            resources=settings.resources,
            ingress_class=settings.ingress_class,
            ingress_namespace=settings.ingress_namespace,
            tls_secret=settings.tls_secret,
            certificate=ground.issued(secrets.edge_certificate),
            upload_limit=settings.upload_limit,
            backend=f"{host}:{app.PORT}",
            exporter=ground.serving(ground.settings.monitoring.exporters.nginx, secrets.nginx_exporter_certificate),
            rollout=ground.rollout,
        ),
        ground.options,
    )
