"""The whole monitoring on this machine: what is rendered, as real processes on loopback, around the real application.

Not real are: the cluster's pods (simulated), its kubelets and Grafana (stand-ins that only tell metrics). PostgreSQL
and Redis are asked without TLS, which these builds of them lack.
"""

from __future__ import annotations

import shutil
import ssl
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import redis

from infra.components import adapter as prometheus_adapter
from infra.components import (
    alertmanager,
    app,
    backup_exporter,
    database,
    edge,
    elasticsearch_exporter,
    grafana,
    incidents,
    node_exporter,
    prometheus,
)
from infra.environments import deployment
from infra.environments.recording import Recording, record_platform
from infra.environments.secrets import generate
from infra.environments.workspace import ROOT, local_workspace
from infra.kube.identity import namespace_names
from infra.monitoring.targets import scraping
from infra.settings import Settings
from infra.settings_reading import parse
from modelcard_ops.incidents.client import ResponderClient, Where
from tests.app.servers import PostgresServer, RedisServer, eventually, free_port
from tests.app.service import RunningService
from tests.conftest import settings_of
from tests.ops.incidents import fastforward
from tests.ops.incidents.outside import TOKEN
from tests.ops.incidents.outside import Outside as Chat
from tests.stack_file import configure
from tests.system import absent
from tests.system.kubelet import StandInKubelet
from tests.system.nginx import nginx
from tests.system.pods import Process, container_process, files_of
from tests.system.receivers import Outside
from tests.system.rendered import Target, with_addresses

WORKERS = 2
# The adapter is asked here, though where pods are simulated no autoscaler asks it.
ADAPTED = {"app": {"autoscaling": {"metrics_from": "prometheus-adapter"}}}


class Surroundings:
    """Started in order and stopped together; `say` is told what is being done. `stack` is whose configuration runs."""

    def __init__(self, folder: Path, say: Callable[[str], None], *, stack: str = "local") -> None:
        self.folder, self.say, self.stack = folder, say, stack
        self.outside, self.chat = Outside(), Chat()
        self.secrets = generate(settings_of(stack), authority=None)
        self.settings = self._settings()
        self.namespaces = namespace_names(self.settings)
        self.platform: Recording = record_platform(self.settings, stack=stack)
        self.ports: dict[tuple[str, int], int] = {}
        self.processes: dict[str, Process] = {}
        self.servers: list[Any] = []
        self.service: RunningService | None = None
        self.space = local_workspace(ROOT, folder / "stack")

    def start(self) -> None:
        """Returns when Prometheus has asked everything once, and everything answered."""
        self.say("starting the control plane, and deploying to it")
        self.deploy()
        self.say("starting PostgreSQL, Redis and the application")
        self._start_service()
        self._certificates()
        self.say("starting nginx, exporters, Alertmanager and Prometheus")
        self._start_exporters()
        self._start_monitoring()
        eventually(self.all_targets_up, within=90)

    def deploy(self) -> None:
        """Has the control plane hold what the stack declares."""
        configure(self.space.stack_file, {"environment": self.stack, **ADAPTED})
        deployment.up(self.space, lambda _: None)

    def stop(self) -> None:
        """Everything goes, whatever had started."""
        for process in self.processes.values():
            process.kill()
        if self.service is not None and self.service.process is not None:
            self.service.kill()
        for server in self.servers:
            server.close()
        self.outside.close()
        self.chat.close()
        if cluster := deployment.cluster_of(self.space):
            cluster.down()

    def port(self, workload: str, port: int) -> int:
        """Where the port of a workload is on this machine."""
        return self.ports.setdefault((workload, port), free_port())

    def ask(self, expression: str, at: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query of the real Prometheus. Raises `RuntimeError` with its complaint."""
        parameters = {"query": expression, **({"time": str(at)} if at else {})}
        answer = self.prometheus.get("/api/v1/query", params=parameters).json()
        if answer["status"] != "success":
            raise RuntimeError(f"{expression}: {answer['error']}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def unreachable(self) -> list[str]:
        """Targets that are not up, with the reason."""
        targets = self.prometheus.get("/api/v1/targets", params={"state": "active"}).json()["data"]["activeTargets"]
        jobs = {each["labels"]["job"] for each in targets}
        missing = [f"{job}: not asked yet" for job in self.targets() if job not in jobs]
        return missing + [f"{each['labels']['job']}: {each['lastError']}" for each in targets if each["health"] != "up"]

    def all_targets_up(self) -> bool:
        """Raises with the reasons as long as one is not."""
        missing = self.unreachable()
        if missing:
            raise RuntimeError("\n".join(missing))
        return True

    def alerts(self) -> dict[str, str]:
        """Name of each alert that is not silent, to its state; firing before pending."""
        found = self.prometheus.get("/api/v1/alerts").json()["data"]["alerts"]
        return {
            each["labels"]["alertname"]: each["state"] for each in sorted(found, key=lambda a: a["state"], reverse=True)
        }

    def _settings(self) -> Settings:
        notifications = {"heartbeat_url": f"{self.outside.url}/heartbeat", "webhook_url": f"{self.outside.url}/alerts"}
        values = {
            "environment": self.stack,
            "secrets": self.secrets,
            "notifications": notifications,
            **ADAPTED,
        }
        return parse(values, file=f"Pulumi.{self.stack}.yaml")

    def _start_service(self) -> None:
        self.postgres, self.cache = PostgresServer(), RedisServer()
        self.servers += [self.postgres, self.cache]
        url = self.postgres.create_database(database.DATABASE)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {database.login(database.MONITOR, 0)} LOGIN IN ROLE pg_monitor")
        self.grant_monitor()
        self.service = RunningService(self.folder / "app", url, self.cache.url, workers=WORKERS)
        self.ports[app.WORKLOAD.name, app.PORT] = self.service.port
        self.service.start()
        self.user = self.service.user("gameday")

    def grant_monitor(self) -> None:
        """Redis forgets its users when it is killed; in the cluster they are in a file."""
        password = self.secrets["cache_monitor_password"]
        users = files_of(self.platform, "Secret", "cache-auth", self.namespaces["application"])["users.acl"]
        (line,) = [each for each in users.splitlines() if each.startswith("user monitor ")]
        assert f">{password}" in line
        client = redis.Redis.from_url(self.cache.url)
        client.execute_command("ACL", "SETUSER", *line.split()[1:])
        client.close()

    def _certificates(self) -> None:
        # Both stand-ins show it: what is asked of a kubelet is not verified.
        pair = self.secrets["grafana_certificate"]
        self.certificate, self.key = self.folder / "tls.crt", self.folder / "tls.key"
        self.certificate.write_text(pair["certificate"])
        self.key.write_text(pair["key"])
        self.authority = self.folder / "ca.crt"
        self.authority.write_text(self.secrets["authority"]["certificate"])

    def run(self, workload: str, replace: dict[str, str], *extra: str, container: int = 0, key: str = "") -> Process:
        """Starts a container of a workload."""
        process = container_process(self.platform, workload, self.folder / "pods", container=container, replace=replace)
        process.command += extra
        process.start()
        self.processes[key or workload] = process
        return process

    def _start_exporters(self) -> None:
        application = self.namespaces["application"]
        front, status = self.port("edge-nginx", edge.PORT), self.port("edge-nginx", 8081)
        exporter = self.port("edge-nginx", edge.METRICS.port)
        server = container_process(
            self.platform,
            "edge-nginx",
            self.folder / "pods",
            replace={
                "listen 8080": f"listen 127.0.0.1:{front}",
                "127.0.0.1:8081": f"127.0.0.1:{status}",
                f"{app.WORKLOAD.name}:{app.PORT}": f"127.0.0.1:{self.service.port}",
            },
        )
        server.command = [str(nginx()), *server.command[1:], "-g", "user root;"]
        server.start()
        self.processes["nginx"] = server
        self.run(
            "edge-nginx",
            {"127.0.0.1:8081": f"127.0.0.1:{status}", ":9113": f":{exporter}"},
            container=1,
            key="nginx-exporter",
        )
        self.run(
            "postgres-exporter",
            {
                ":9187": f":{self.port('postgres-exporter', 9187)}",
                f"database-postgres.{application}:5432": f"127.0.0.1:{self.postgres.port}",
                "sslmode=verify-full": "sslmode=disable",
            },
        )
        self.run(
            "redis-exporter",
            {
                ":9121": f":{self.port('redis-exporter', 9121)}",
                "rediss://": "redis://",
                f"cache-redis.{application}:6379": f"127.0.0.1:{self.cache.port}",
            },
        )
        self.run("blackbox-exporter", {":9115": f":{self.port('blackbox-exporter', 9115)}"})
        self.run("node-exporter", {":9100": f":{self.port('node-exporter', 9100)}", node_exporter.ROOT: "/"})
        kubeconfig = str(self.space.kubeconfig)
        self.run(
            "kube-state-metrics",
            {
                "--port=8443": f"--port={self.port('kube-state-metrics', 8443)}",
                "--telemetry-port=8444": f"--telemetry-port={free_port()}",
            },
            f"--kubeconfig={kubeconfig}",
        )
        self.kubelet = StandInKubelet(self.certificate, self.key, self._containers, self._volumes())
        self.servers.append(self.kubelet)
        self._stand_in("grafana", grafana.PORT, absent.grafana)
        backups, logs = backup_exporter.METRICS, elasticsearch_exporter.METRICS
        self._stand_in(backups.workload.name, backups.port, absent.BackedUp(self.settings).page)
        self._stand_in(logs.workload.name, logs.port, absent.elasticsearch)

    def _stand_in(self, workload: str, port: int, page: Callable[[], str]) -> None:
        pair = self.secrets[f"{workload.replace('-', '_')}_certificate"]
        certificate, key = self.folder / f"{workload}.crt", self.folder / f"{workload}.key"
        certificate.write_text(pair["certificate"])
        key.write_text(pair["key"])
        self.servers.append(StandIn(page, certificate, key, self.port(workload, port)))

    def _start_monitoring(self) -> None:
        manager, server = self.port("alertmanager", alertmanager.PORT), self.port("prometheus", prometheus.PORT)
        adapter = self.port("prometheus-adapter", prometheus_adapter.PORT)
        here = f"https://localhost:{server}"
        responder = self.port(incidents.WORKLOAD.name, incidents.PORT)
        own = f"{incidents.WORKLOAD.name}.{self.namespaces['observability']}:{incidents.PORT}"
        self.run("alertmanager", {f":{alertmanager.PORT}": f":{manager}", own: f"localhost:{responder}"})
        self._start_responder()
        self.run(
            "prometheus-adapter",
            {
                f"={prometheus_adapter.PORT}": f"={adapter}",
                f"https://prometheus.{self.namespaces['observability']}:{prometheus.PORT}": here,
            },
            *(f"--{what}-kubeconfig={self.space.kubeconfig}" for what in ("lister", "authentication", "authorization")),
        )
        process = container_process(
            self.platform, "prometheus", self.folder / "pods", replace={f":{prometheus.PORT}": f":{server}"}
        )
        config = Path(next(each for each in process.command if each.startswith("--config.file")).partition("=")[2])
        token = self.folder / "token"
        core: Any = deployment.client.CoreV1Api(deployment.reachable(self.space))
        request = core.create_namespaced_service_account_token(
            prometheus.WORKLOAD.name, self.namespaces["observability"], {"spec": {"expirationSeconds": 86400}}
        )
        self.token: str = request.status.token
        token.write_text(self.token)
        text = with_addresses(config.read_text(), self.targets(), self._names())
        config.write_text(text.replace("/var/run/secrets/kubernetes.io/serviceaccount/token", str(token)))
        process.start()
        self.processes["prometheus"] = process
        self.prometheus = httpx.Client(
            base_url=here,
            auth=("platform", self.secrets["monitoring_login"]["password"]),
            verify=ssl.create_default_context(cafile=str(self.authority)),
            timeout=10,
        )
        eventually(lambda: self.prometheus.get("/-/ready").status_code == 200, within=60)

    def _start_responder(self) -> None:
        """With a clock that can be put forward: nobody waits an hour to see that an hour is measured."""
        application, observability = self.namespaces["application"], self.namespaces["observability"]
        process = container_process(
            self.platform,
            incidents.WORKLOAD.name,
            self.folder / "pods",
            replace={
                "0.0.0.0": "127.0.0.1",  # noqa: S104 - here it must not
                str(incidents.PORT): str(self.port(incidents.WORKLOAD.name, incidents.PORT)),
                f"{app.WORKLOAD.name}.{application}:{app.PORT}": f"127.0.0.1:{self.service.port}",
                f"{database.WORKLOAD.name}.{application}": "127.0.0.1",
                str(database.PORT): str(self.postgres.port),
                **{
                    f"{name}.{observability}:{port}": f"localhost:{self.port(name, port)}"
                    for name, port in (("alertmanager", alertmanager.PORT), ("prometheus", prometheus.PORT))
                },
            },
        )
        self.forward = fastforward.Forward(self.folder / "forward")
        process.command = [sys.executable, "-m", fastforward.__name__]
        process.environment |= {
            "KUBECONFIG": str(self.space.kubeconfig),
            fastforward.FILE: str(self.forward.file),
            "MCOPS_RESPONDER_SLACK_TOKEN": TOKEN,
            "MCOPS_RESPONDER_SLACK_URL": f"{self.chat.url}/api",
        }
        process.start()
        self.processes[incidents.WORKLOAD.name] = process
        token = self.folder / "people-token"
        token.write_text(self.secrets["incidents_token"])
        self.people = ResponderClient(
            Where(
                responder_url=f"https://localhost:{self.port(incidents.WORKLOAD.name, incidents.PORT)}",
                token_file=token,
                authority_file=self.authority,
            )
        )

    def targets(self) -> dict[str, list[Target]]:
        """Where each job's targets are."""
        found = {}
        for metrics in scraping(self.settings).targets:
            workload = metrics.workload
            address = f"localhost:{self.port(workload.name, metrics.port)}"
            found[metrics.job] = [Target(address, self.namespaces[workload.space], self._pod(workload.name))]
        node = Target(self.kubelet.address)
        return {**found, "cadvisor": [node], "kubelet": [node]}

    def _names(self) -> dict[str, str]:
        names = {}
        for workload, port in list(self.ports):
            for namespace in self.namespaces.values():
                names[f"{workload}.{namespace}:{port}"] = f"localhost:{self.port(workload, port)}"
        # This Redis has no TLS: its exporter's certificate is as old.
        names[f"cache-redis.{self.namespaces['application']}:6379"] = f"localhost:{self.port('redis-exporter', 9121)}"
        return names

    def _pod(self, workload: str) -> str:
        """The name of a simulated pod of the workload."""
        core: Any = deployment.client.CoreV1Api(deployment.reachable(self.space))
        selector = f"app.kubernetes.io/name={workload}"
        return str(core.list_pod_for_all_namespaces(label_selector=selector).items[0].metadata.name)

    def _containers(self) -> list[tuple[dict[str, str], psutil.Process]]:
        application = self.namespaces["application"]
        running = {
            (app.WORKLOAD.name, "app"): self.service.process,
            ("database-postgres", "postgres"): self.postgres.process,
            ("cache-redis", "redis"): self.cache.process,
            ("edge-nginx", "nginx"): self.processes["nginx"].process,
        }
        if not hasattr(self, "_pods"):
            self._pods = {workload: self._pod(workload) for workload, _ in running}
        return [
            ({"namespace": application, "pod": self._pods[workload], "container": container}, psutil.Process(each.pid))
            for (workload, container), each in running.items()
            if each is not None and each.poll() is None
        ]

    def _volumes(self) -> dict[tuple[str, str], Path]:
        application, observability = self.namespaces["application"], self.namespaces["observability"]
        return {
            (application, "database-data"): self.folder,
            (application, "app-uploads"): self.folder,
            (observability, "data-prometheus-0"): self.folder,
            (observability, "data-alertmanager-0"): self.folder,
        }


class StandIn:
    """A page of metrics by TLS, in place of a program that cannot be had."""

    def __init__(self, page: Callable[[], str], certificate: Path, key: Path, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(page().encode())

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.server.server_close()


class Load:
    """Requests through nginx, for as long as it is open."""

    def __init__(self, surroundings: Surroundings, body: dict[str, Any], pause: float = 0.1) -> None:
        self.ended = threading.Event()
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{surroundings.port('edge-nginx', edge.PORT)}",
            headers=surroundings.user.headers,
            timeout=10,
        )
        self.body, self.pause = body, pause
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.ended.wait(self.pause):
            try:
                self.client.post("/cards", json=self.body)
                self.client.get("/cards")
                self.client.get("/docs")
            except httpx.HTTPError:
                time.sleep(self.pause)

    def close(self) -> None:
        """Ends it."""
        self.ended.set()
        self.thread.join()
        self.client.close()


def remove(folder: Path) -> None:
    """The folder of a game day."""
    shutil.rmtree(folder, ignore_errors=True)
