"""The stack on a control plane of its own, and what makes an autoscaler of it that scales: load and measurement.

Simulated are the pods, and what they use of processor and memory. Prometheus and prometheus-adapter are declared to be
pods, and run here as processes under their pods' accounts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import client
from kubernetes.utils.quantity import parse_quantity

from infra.components import adapter, app, database, prometheus
from infra.environments import deployment, secrets
from infra.environments.recording import Recording, record_platform
from infra.environments.workspace import ROOT, local_workspace
from infra.kube.identity import namespace_names
from infra.settings import PROJECT, Settings
from infra.settings_reading import parse
from tests.app.servers import PostgresServer, RedisServer, free_port
from tests.app.service import RunningService
from tests.system import resource_metrics
from tests.system.network import PodNetwork
from tests.system.pods import Process, container_process
from tests.system.rendered import with_cluster
from tests.system.resource_metrics import ResourceMetrics

HPA = app.AUTOSCALER
PATIENCE = 180  # seconds; the service starts in three on an idle machine
NO_ANSWER = (client.ApiException, urllib3.exceptions.HTTPError)  # of a busy API server; the next look may have one


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What the autoscaler and its Deployment say, `at` a time of the clock.

    `scaled` is when the autoscaler last did, by its own clock and in whole seconds. `average` is of the requests per
    second. `metrics` is how many of its metrics it knows.
    """

    at: float
    scaled: float
    replicas: int
    current: int
    desired: int
    average: float | None
    limited: str
    metrics: int


class ScaledStack:
    """Started in order and stopped together. `target` is what a pod is to answer, in requests per second."""

    def __init__(self, folder: Path, target: int, say: Callable[[str], None]) -> None:
        self.folder, self.target, self.say = folder, target, say
        self.space = local_workspace(ROOT, folder / "stack")
        self.processes: list[Process] = []
        self.servers: list[Any] = []
        self.service: RunningService | None = None

    def start(self) -> None:
        """Returns when everything runs; nothing has been measured then."""
        self.say("starting PostgreSQL, Redis and the service")
        self._start_service()
        self.say("deploying the stack to a control plane of its own")
        self._deploy()
        self.network = PodNetwork(self.service, self.service.user("load"), self._endpoints)
        self.servers.append(self.network)
        self.say("starting Prometheus and prometheus-adapter")
        self._start_prometheus()
        self._start_adapter()
        self._serve_resource_metrics()

    def stop(self) -> None:
        """Everything goes, whatever had started."""
        for server in reversed(self.servers):
            server.close()
        for process in self.processes:
            process.kill()
        if self.service is not None and self.service.process is not None:
            self.service.kill()
        if cluster := deployment.cluster_of(self.space):
            cluster.down()

    def observe(self) -> Observation:
        """Asks the API server. Raises `RuntimeError` if something that was started has ended."""
        for process in self.processes:
            process.check()
        scaler = self.autoscaling.read_namespaced_horizontal_pod_autoscaler(HPA, self.application)
        target = self.apps.read_namespaced_deployment(app.WORKLOAD.name, self.application)
        # One that it does not know is there, too, without a type.
        metrics = [each for each in scaler.status.current_metrics or [] if each.type]
        averages = [each.pods.current.average_value for each in metrics if each.type == "Pods"]
        conditions = {each.type: each for each in scaler.status.conditions or []}
        active, limited = conditions.get("ScalingActive"), conditions.get("ScalingLimited")
        scaled = scaler.status.last_scale_time
        return Observation(
            at=time.time(),
            scaled=scaled.timestamp() if scaled else 0,
            replicas=target.spec.replicas,
            current=scaler.status.current_replicas or 0,
            desired=scaler.status.desired_replicas,
            average=float(parse_quantity(averages[0])) if averages else None,
            limited=limited.reason if limited and limited.status == "True" else "",
            metrics=len(metrics) if active and active.status == "True" else 0,
        )

    @property
    def spec(self) -> Any:
        """The autoscaler as it is declared."""
        return self.platform.one("v2:HorizontalPodAutoscaler", HPA)["spec"]

    def _deploy(self) -> None:
        document = yaml.safe_load(self.space.stack_file.read_text())
        document["config"][f"{PROJECT}:app"] = {
            "autoscaling": {"requests_per_second": self.target, "metrics_from": "prometheus-adapter"}
        }
        self.space.stack_file.write_text(yaml.safe_dump(document))
        deployment.up(self.space, lambda _: None)
        self.secrets = json.loads(self.space.pulumi("config", "get", secrets.KEY).stdout)
        config = {key.removeprefix(f"{PROJECT}:"): value for key, value in self.space.config().items()}
        self.settings: Settings = parse({**config, "secrets": self.secrets}, file=self.space.stack_file.name)
        self.platform: Recording = record_platform(self.settings, stack="local")
        names = namespace_names(self.settings)
        self.application, self.observability = names["application"], names["observability"]
        api = deployment.reachable(self.space)
        self.core: Any = client.CoreV1Api(api)
        self.apps: Any = client.AppsV1Api(api)
        self.autoscaling: Any = client.AutoscalingV2Api(api)
        self.discovery: Any = client.DiscoveryV1Api(api)
        self.registration: Any = client.ApiregistrationV1Api(api)

    def _start_service(self) -> None:
        postgres, cache = PostgresServer(), RedisServer()
        self.servers += [postgres, cache]
        self.service = RunningService(
            self.folder / "service", postgres.create_database(database.DATABASE), cache.url, workers=1
        )
        self.service.start(within=PATIENCE)

    def _endpoints(self) -> set[str] | None:
        """The addresses behind the application's Service, as kube-proxy would be told."""
        try:
            slices = self.discovery.list_namespaced_endpoint_slice(
                self.application, label_selector=f"kubernetes.io/service-name={app.WORKLOAD.name}"
            )
        except NO_ANSWER:
            return None
        endpoints = [each for found in slices.items for each in found.endpoints or []]
        return {address for each in endpoints if each.conditions.ready for address in each.addresses}

    def _start_prometheus(self) -> None:
        self.port = free_port()
        process = container_process(
            self.platform,
            "prometheus",
            self.folder / "pods",
            replace={f"listen-address=:{prometheus.PORT}": f"listen-address=127.0.0.1:{self.port}"},
        )
        config = Path(next(each for each in process.command if each.startswith("--config.file")).partition("=")[2])
        access = self._kubeconfig(prometheus.WORKLOAD.name)
        config.write_text(with_cluster(config.read_text(), kubeconfig=access, network=self.network.url))
        self._run(process)

    def _start_adapter(self) -> None:
        port = free_port()
        process = container_process(
            self.platform,
            adapter.WORKLOAD.name,
            self.folder / "pods",
            replace={
                f"--secure-port={adapter.PORT}": f"--secure-port={port}",
                f"https://prometheus.{self.observability}:{prometheus.PORT}": f"https://localhost:{self.port}",
            },
        )
        access = self._kubeconfig(adapter.WORKLOAD.name)
        process.command += ["--bind-address=127.0.0.1"]
        process.command += [f"--{what}-kubeconfig={access}" for what in ("lister", "authentication", "authorization")]
        self._run(process)
        # The Service leads to this machine instead of to simulated pods; the registration stays as it is declared.
        outside = {"type": "ExternalName", "externalName": "localhost"}
        self.core.patch_namespaced_service(adapter.WORKLOAD.name, self.observability, {"spec": outside})
        self.registration.patch_api_service(f"{adapter.VERSION}.{adapter.GROUP}", {"spec": {"service": {"port": port}}})

    def _serve_resource_metrics(self) -> None:
        # Who asks does not verify it: it is a test double.
        pair = self.secrets["adapter_certificate"]
        certificate, key = self.folder / "tls.crt", self.folder / "tls.key"
        certificate.write_text(pair["certificate"])
        key.write_text(pair["key"])

        def pods(namespace: str, selector: str) -> list[Any]:
            found: list[Any] = self.core.list_namespaced_pod(namespace, label_selector=selector).items
            return found

        server = ResourceMetrics(certificate, key, pods)
        self.servers.append(server)
        name = {"name": "metrics-server", "namespace": "kube-system"}
        spec = {"type": "ExternalName", "externalName": "localhost"}
        self.core.create_namespaced_service("kube-system", {"metadata": {"name": name["name"]}, "spec": spec})
        group, version = resource_metrics.GROUP, resource_metrics.VERSION
        self.registration.create_api_service(
            {
                "metadata": {"name": f"{version}.{group}"},
                "spec": {
                    "group": group,
                    "version": version,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": {**name, "port": server.port},
                },
            }
        )

    def _kubeconfig(self, account: str) -> str:
        """How a process that stands for a pod reaches the API: as the pod's account, with what is declared for it."""
        request = self.core.create_namespaced_service_account_token(
            account, self.observability, {"spec": {"expirationSeconds": 86400}}
        )
        document = yaml.safe_load(Path(self.space.kubeconfig or "").read_text())
        document["users"] = [{"name": account, "user": {"token": request.status.token}}]
        for context in document["contexts"]:
            context["context"]["user"] = account
        path = self.folder / f"{account}.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return str(path)

    def _run(self, process: Process) -> None:
        process.start()
        self.processes.append(process)
