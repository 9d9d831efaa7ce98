"""Wires the components: the only file in which one component's outputs meet another's arguments."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes
from pydantic import SecretStr

from infra.components import app, edge
from infra.components.app import App, AppArgs
from infra.components.cache import Cache, CacheArgs
from infra.components.database import Database, DatabaseArgs
from infra.components.edge import Edge, EdgeArgs
from infra.components.namespace import Namespace, NamespaceArgs, Quota
from infra.kube.pods import Rollout
from infra.kube.tls import ServerCertificate
from infra.quantities import Cpu, Memory
from infra.settings import Certificate, Resources, Settings, connections_per_worker


class Platform:
    """All that a stack deploys. Attributes are the components, and `url`, where users find the service."""

    def __init__(self, settings: Settings) -> None:
        secrets = settings.secrets
        authority = _secret(secrets.authority.certificate)
        rollout = Rollout(rotation=settings.rotation, deadline=settings.rollout_deadline)

        def issued(pair: Certificate) -> ServerCertificate:
            return ServerCertificate(authority=authority, certificate=_secret(pair.certificate), key=_secret(pair.key))

        # Otherwise a changed ConfigMap or Secret is deleted and made anew, and everything that mounts it with it.
        cluster = kubernetes.Provider("cluster", enable_config_map_mutable=True, enable_secret_mutable=True)
        inside = pulumi.ResourceOptions(provider=cluster)
        self.namespace = Namespace(
            settings.namespace,
            NamespaceArgs(pod_security="restricted", quota=quota(settings), protect=settings.protect_data),
            inside,
        )
        namespace = self.namespace.metadata_name
        self.database = Database(
            "database",
            DatabaseArgs(
                namespace=namespace,
                image=settings.database.image,
                resources=settings.database.resources,
                storage=settings.database.storage,
                max_connections=settings.database.max_connections,
                admin_password=_secret(secrets.database_admin_password),
                password=_secret(secrets.database_password),
                certificate=issued(secrets.database_certificate),
                clients=[app.WORKLOAD],
                rollout=rollout,
                protect=settings.protect_data,
            ),
            inside,
        )
        self.cache = Cache(
            "cache",
            CacheArgs(
                namespace=namespace,
                image=settings.cache.image,
                resources=settings.cache.resources,
                password=_secret(secrets.cache_password),
                certificate=issued(secrets.cache_certificate),
                clients=[app.WORKLOAD],
                rollout=rollout,
            ),
            inside,
        )
        self.app = App(
            "app",
            AppArgs(
                namespace=namespace,
                image=settings.app.image,
                workers=settings.app.workers,
                database_connections=connections_per_worker(
                    settings.database.max_connections, settings.app.replicas.max, settings.app.workers
                ),
                upload_limit=settings.edge.upload_limit,
                replicas=settings.app.replicas,
                resources=settings.app.resources,
                autoscaling=settings.app.autoscaling,
                uploads=settings.app.uploads,
                termination_grace=settings.app.termination_grace,
                database_url=self.database.url,
                cache_url=self.cache.url,
                authority=authority,
                clients=[edge.WORKLOAD],
                rollout=rollout,
                protect=settings.protect_data,
            ),
            inside,
        )
        self.edge = Edge(
            "edge",
            EdgeArgs(
                namespace=namespace,
                image=settings.edge.image,
                host=settings.edge.host,
                replicas=settings.edge.replicas,
                resources=settings.edge.resources,
                ingress_class=settings.edge.ingress_class,
                ingress_namespace=settings.edge.ingress_namespace,
                tls_secret=settings.edge.tls_secret,
                certificate=issued(secrets.edge_certificate),
                upload_limit=settings.edge.upload_limit,
                backend=f"{self.app.host}:{app.PORT}",
                rollout=rollout,
            ),
            inside,
        )
        self.url = self.edge.url


def quota(settings: Settings) -> Quota:
    """What the namespace needs with every workload at its maximum and one pod more of each during a rollout."""
    pods: list[tuple[Resources, int]] = [
        (settings.app.resources, settings.app.replicas.max + 1),
        (settings.edge.resources, settings.edge.replicas + 1),
        (settings.database.resources, 1),
        (settings.cache.resources, 2),
    ]
    return Quota(
        cpu=Cpu.of_millicores(sum(each.cpu_request.millicores * count for each, count in pods)),
        memory=Memory.of_bytes(sum(each.memory_request.bytes * count for each, count in pods)),
        storage=Memory.of_bytes(settings.database.storage.size.bytes + settings.app.uploads.size.bytes),
        pods=sum(count for _, count in pods),
    )


def deploy(settings: Settings) -> None:
    """Declares the platform and exports what people ask a stack for."""
    platform = Platform(settings)
    pulumi.export("url", platform.url)
    pulumi.export("namespace", platform.namespace.metadata_name)


def _secret(value: SecretStr) -> pulumi.Output[str]:
    return pulumi.Output.secret(value.get_secret_value())
