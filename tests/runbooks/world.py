"""Where runbooks are run: prod's objects on a real API server, and real processes behind its pods.

The processes are those of the game day: the application, PostgreSQL, Redis, nginx, exporters and monitoring, with their
rendered configuration. A command finds a `kubectl` that turns to them for what a simulated pod cannot do.
"""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from infra.components import adapter, alertmanager, app, cache, database
from infra.environments import deployment
from infra.environments.local.cluster import LocalCluster
from infra.environments.local.objects import STORAGE_CLASS
from infra.environments.recording import SECRET, SIGNATURE
from tests.app.servers import REDIS, PostgresServer, RedisServer, eventually
from tests.app.service import RunningService, description
from tests.conftest import NAME, container_of, jobs, workloads
from tests.kubectl import KUBECTL, kubectl
from tests.runbooks.declared import Declared, containers, label_name
from tests.runbooks.images import programs
from tests.runbooks.metrics_api import GROUP, VERSION, MetricsApi
from tests.system.pods import TOOLS, Process, files_of
from tests.system.surroundings import Load, Surroundings

STACK = "prod"
JOB = "job"
CUSTOM_METRICS = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/modelcard/pods/*/http_requests_per_second"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
PATIENCE = 120  # seconds; a tenth of it is enough on a computer that has nothing else to do
REDIS_CLI = """\
#!/bin/sh
# This build has no TLS: what it would verify the server by must be there all the same.
for word in "$@"; do
  shift
  if [ "$file" ]; then [ -r "$word" ] || {{ echo "Invalid CA certificate: $word" >&2; exit 1; }}; file=
  elif [ "$word" = --cacert ]; then file=expected
  elif [ "$word" != --tls ]; then set -- "$@" "$word"; fi
done
exec {program} -p {port} "$@"
"""


class World(Surroundings):
    """Started and stopped like the game day's; `environment` is what a command must be run with."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        super().__init__(folder, say, stack=STACK)
        self.declared = Declared(self.platform)
        self.load: Load | None = None
        self.bin = folder / "bin"

    @property
    def environment(self) -> dict[str, str]:
        """Of whoever is called: kubectl on PATH, and access to the cluster."""
        return {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "KUBECONFIG": str(self.space.kubeconfig),
            "RUNBOOKS_WORLD": str(self.folder / "world.json"),
        }

    def start(self) -> None:
        """Returns when commands can be run; Prometheus has asked everything when `all_targets_up`."""
        with ThreadPoolExecutor(1) as pool:
            service = pool.submit(self._start_service)
            self.deploy()
            service.result()
        self._certificates()
        self._start_exporters()
        self._start_monitoring()
        self._serve_metrics()
        self._run_cron_jobs()
        self.load = Load(self, description(), pause=0.3)
        self._write()

    def stop(self) -> None:
        """Everything goes, whatever had started."""
        if self.load is not None:
            self.load.close()
        super().stop()

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """The real one's answer. Raises `RuntimeError` with its complaint."""
        return kubectl(*words, stdin=stdin, environment=self.environment)

    def knows_everything(self) -> bool:
        """Prometheus has asked everything, evaluated its rules since, and can tell the autoscaler. Raises otherwise."""
        self.kubectl("get", "--raw", CUSTOM_METRICS)
        return self.all_targets_up() and bool(self.ask('ALERTS{alertname="Watchdog"}'))

    def have_job(self, namespace: str, name: str) -> None:
        """A Job of this name, as an alert would speak of; its pod is simulated like all others."""
        if self.kubectl("-n", namespace, "get", "job", name, "--ignore-not-found"):
            return
        enough = {"cpu": "10m", "memory": "16Mi"}
        container = {"name": JOB, "image": f"{JOB}:1", "resources": {"requests": enough, "limits": enough}}
        template = {
            "metadata": {"labels": {NAME: JOB}},
            "spec": {"restartPolicy": "Never", "containers": [container | {"securityContext": RESTRICTED}]},
        }
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}
        self.kubectl("-n", namespace, "apply", "--server-side", "-f", "-", stdin=json.dumps(job))
        self.kubectl("-n", namespace, "wait", f"job/{name}", "--for=condition=Complete", "--timeout=100s")

    def forget_job(self, namespace: str, name: str) -> None:
        """So that it can be made again."""
        self.kubectl("-n", namespace, "delete", "job", name, "--ignore-not-found")

    def _run_cron_jobs(self) -> None:
        """Each has run once."""
        space = self.namespaces["application"]
        for each in jobs(self.platform):
            self.kubectl("-n", space, "create", "job", f"{each}-1", f"--from=cronjob/{each}")
        for each in jobs(self.platform):
            self.kubectl("-n", space, "wait", f"job/{each}-1", "--for=condition=Complete", "--timeout=100s")

    def run(self, workload: str, replace: dict[str, str], *extra: str, container: int = 0, key: str = "") -> Process:
        """Starts a container of a workload; Alertmanager talks to nobody but itself."""
        if workload == alertmanager.WORKLOAD.name:
            gossip = f"127.0.0.1:{self.port(workload, alertmanager.GOSSIP)}"
            declared = container_of(workloads(self.platform)[workload])["args"]
            peers = [each.partition("=")[2] for each in declared if each.startswith("--cluster.peer=")]
            addresses = (f"0.0.0.0:{alertmanager.GOSSIP}", f"[$(POD_IP)]:{alertmanager.GOSSIP}", *peers)
            replace = {**replace, **dict.fromkeys(addresses, gossip)}
        return super().run(workload, replace, *extra, container=container, key=key)

    def deploy(self) -> None:
        """Has the control plane hold what prod declares, and every pod ready. No engine: that is tested elsewhere."""
        self.say("starting a control plane with all that prod declares")
        cluster = deployment.cluster_of(self.space)
        assert isinstance(cluster, LocalCluster)
        cluster.up(lambda _: None)
        items = [whole(each.unmasked) for each in self.platform.registrations if each.manifest is not None]
        for each in items:
            if each["kind"] == "PersistentVolumeClaim":
                each["spec"]["storageClassName"] = STORAGE_CLASS  # there is but one here
        order = {"Namespace": 0, "PersistentVolumeClaim": 2, "Secret": 1, "ConfigMap": 1, "ServiceAccount": 1}
        items.sort(key=lambda each: order.get(each["kind"], 3))
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.kubectl("apply", "--server-side", "-f", "-", stdin=listed)
        eventually(self._all_ready, within=PATIENCE)
        self._serve_custom_metrics()

    def _all_ready(self) -> bool:
        status = deployment.status(self.space)
        missing = [each for each in status.objects if each.ready < max(each.wanted, 1)]
        if missing:
            raise RuntimeError(f"not ready: {', '.join(f'{each.kind} {each.name}' for each in missing)}")
        return True

    def _start_service(self) -> None:
        """PostgreSQL lets in who is in its pod, and Redis knows its users."""
        space = self.namespaces["application"]
        self.postgres, self.cache = PostgresServer(), LoggedRedis(self.folder / "redis.log")
        self.servers += [self.postgres, self.cache]
        url = self.postgres.create_database(database.DATABASE)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {database.login(database.MONITOR, 0)} LOGIN IN ROLE pg_monitor")
            rules = [line for line in database.PG_HBA.splitlines() if line.startswith("local ")]
            rules.append("host all all 127.0.0.1/32 trust")
            (self.postgres.data / "pg_hba.conf").write_text("\n".join([*rules, ""]))
            # Commands run as whoever runs this.
            users = database.PG_IDENT.replace("pod postgres ", f"pod {getpass.getuser()} ")
            (self.postgres.data / "pg_ident.conf").write_text(users)
            connection.execute("SELECT pg_reload_conf()")
        users = files_of(self.platform, "Secret", "cache-auth", space)["users.acl"]
        with redis.Redis.from_url(self.cache.url) as client:
            # `default`, who is sending them, after the others.
            for line in sorted(users.splitlines(), key=lambda line: line.startswith("user default")):
                client.execute_command("ACL", "SETUSER", *line.split()[1:])
        (user, password) = ("app", self.secrets["cache_password"])
        self.service = RunningService(
            self.folder / "app",
            url,
            self.cache.url.replace("redis://", f"redis://{user}:{password}@"),
            workers=2,
            database_pool_size=4,
        )
        self.ports[app.WORKLOAD.name, app.PORT] = self.service.port
        self.service.start(within=PATIENCE)
        self.user = self.service.user("runbooks")

    def _serve_custom_metrics(self) -> None:
        """The API server finds prometheus-adapter on this machine, under the name that its certificate bears."""
        space, name = self.namespaces["observability"], "prometheus-adapter"
        self._outside(name, space)
        port = self.port(name, adapter.PORT)
        patch = json.dumps({"spec": {"service": {"port": port}}})
        self.kubectl("patch", "apiservice", "v1beta1.custom.metrics.k8s.io", "--type", "merge", "-p", patch)

    def _serve_metrics(self) -> None:
        stand_in = MetricsApi(deployment.reachable(self.space), self.certificate, self.key, self._processes)
        self.servers.append(stand_in)
        self._outside("metrics-server", "kube-system")
        registration = {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{VERSION}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"name": "metrics-server", "namespace": "kube-system", "port": stand_in.port},
            },
        }
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(registration))

    def _outside(self, name: str, namespace: str) -> None:
        """A Service that leads out of the cluster, to this machine."""
        self.kubectl("-n", namespace, "delete", "service", name, "--ignore-not-found")
        self.kubectl("-n", namespace, "create", "service", "externalname", name, "--external-name=localhost")

    def _processes(self) -> dict[str, psutil.Process]:
        """By `namespace/workload/container`."""
        found: dict[str, Any] = {
            key: self.processes[each].process for key, (_, each) in self._behind().items() if each in self.processes
        }
        space = self.namespaces["application"]
        found[f"{space}/{app.WORKLOAD.name}/app"] = self.service and self.service.process
        found[f"{space}/{database.WORKLOAD.name}/postgres"] = self.postgres.process
        found[f"{space}/{cache.WORKLOAD.name}/redis"] = self.cache.process
        return {key: psutil.Process(each.pid) for key, each in found.items() if each and each.poll() is None}

    def _behind(self) -> dict[str, tuple[Mapping[str, Any], str]]:
        """Each declared container, and as what its process is known here."""
        names = {("edge-nginx", "nginx"): "nginx", ("edge-nginx", "exporter"): "nginx-exporter"}
        return {
            f"{workload['metadata']['namespace']}/{label_name(workload)}/{name}": (
                container,
                names.get((workload["metadata"]["name"], name), workload["metadata"]["name"]),
            )
            for workload in self.declared.workloads()
            for name, container in containers(workload).items()
        }

    def _write(self) -> None:
        """What the stand-in for kubectl needs to know."""
        self.bin.mkdir()
        script(self.bin / "kubectl", f'exec {sys.executable} -S -E {Path(__file__).with_name("stand_in.py")} "$@"')
        known = {key: self._container(key) for key in self._behind()}
        services: dict[str, dict[str, str]] = {}
        for (name, declared), local in self._all_ports().items():
            services.setdefault(name, {})[str(declared)] = str(local)
        job = self.folder / "job.log"
        job.write_text("the last words of a Job\n")
        ran = {JOB: JOB} | {each: container_of(made)["name"] for each, made in jobs(self.platform).items()}
        for label, container in ran.items():
            known[f"{self.namespaces['application']}/{label}/{container}"] = {"log": str(job), "paths": {}, "ports": {}}
        world = {
            "kubectl": KUBECTL,
            "containers": {key: each for key, each in known.items() if each},
            "services": services,
        }
        (self.folder / "world.json").write_text(json.dumps(world))

    def _all_ports(self) -> dict[tuple[str, int], int]:
        return {
            **self.ports,
            (database.WORKLOAD.name, database.PORT): self.postgres.port,
            (cache.WORKLOAD.name, cache.PORT): self.cache.port,
        }

    def _container(self, key: str) -> dict[str, Any] | None:
        """Where the log, the files and the ports of a container are here; None if nothing stands behind it."""
        container, name = self._behind()[key]
        _, workload, _ = key.split("/")
        home = self.folder / "pods" / workload
        paths = {each["mountPath"]: str(home / each["mountPath"].lstrip("/")) for each in container["volumeMounts"]}
        environment: Mapping[str, str] = {}
        if key.endswith("/app") and self.service is not None:
            log, environment = self.service.stdout, self.service.environment
            paths |= {app.LOGS: str(self.service.logs), app.UPLOADS: str(self.service.uploads)}
        elif key.endswith("/postgres"):
            log = self.postgres.folder / "log"
            environment = {"PGPORT": str(self.postgres.port), "PGDATA": str(self.postgres.data)}
            data = {database.SOCKET: self.postgres.folder, database.VOLUME: self.postgres.folder}
            paths |= {place: str(path) for place, path in data.items()} | {database.DATA: str(self.postgres.data)}
            self._files(key, container, paths)
        elif key.endswith("/redis"):
            log = self.cache.log
            self._files(key, container, paths)
        elif name in self.processes:
            log, environment = self.processes[name].log, self.processes[name].environment
        else:
            return None
        return {
            "log": str(log),
            "paths": paths,
            "ports": {str(port): str(at) for (of, port), at in self._all_ports().items() if of == workload},
            "environment": {name: value for name, value in environment.items() if name != "PATH"},
            "programs": str(self._programs(container["image"])),
        }

    def _files(self, key: str, container: Mapping[str, Any], paths: Mapping[str, str]) -> None:
        """Puts the files of Secrets and ConfigMaps where a container that runs otherwise would have them."""
        namespace, name, _ = key.split("/")
        (workload,) = [each for each in self.declared.workloads(namespace) if label_name(each) == name]
        volumes = {each["name"]: each for each in workload["spec"]["template"]["spec"]["volumes"]}
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            source = volume.get("secret") or volume.get("configMap")
            if source and "subPath" not in mount:
                kind = "Secret" if "secret" in volume else "ConfigMap"
                folder = Path(paths[mount["mountPath"]])
                folder.mkdir(parents=True, exist_ok=True)
                content = files_of(self.platform, kind, source.get("secretName") or source["name"], namespace)
                for file, text in content.items():
                    (folder / file).write_text(text)

    def _programs(self, image: str) -> Path:
        """A folder with what the image has, and nothing else."""
        folder = self.folder / "programs" / image.rpartition(":")[0].replace("/", "_")
        if folder.exists():
            return folder
        folder.mkdir(parents=True)
        ours = {
            "python": f'exec {sys.executable} "$@"',
            "psql": f'exec {self.postgres.binaries / "psql"} "$@"',
            "pg_isready": f'exec {self.postgres.binaries / "pg_isready"} "$@"',
        }
        for name in sorted(programs(image)):
            if name == "redis-cli":
                text = REDIS_CLI.format(program=REDIS.with_name("redis-cli"), port=self.cache.port)
                script(folder / name, text.partition("\n")[2])
            elif name in ours:
                script(folder / name, ours[name])
            elif (found := TOOLS / name).exists() or (found := Path(shutil.which(name) or "")).is_file():
                (folder / name).symlink_to(found)
        return folder


class LoggedRedis(RedisServer):
    """With a log, as its pod has."""

    def __init__(self, log: Path) -> None:
        self.log = log
        super().__init__()

    def start(self) -> None:
        """Returns when it answers."""
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.log.parent)]
        self.process = subprocess.Popen([REDIS, *words], stdout=self.log.open("ab"), stderr=subprocess.STDOUT)
        eventually(lambda: redis.Redis.from_url(self.url).ping())


def script(path: Path, text: str) -> None:
    """A program of a few lines."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def whole(value: Any) -> Any:
    """A recorded object as the API wants it: secrets in plain, whole numbers as such."""
    match value:
        case dict() if value.get(SIGNATURE) == SECRET:
            return whole(value["value"])
        case dict():
            return {key: whole(item) for key, item in value.items()}
        case list():
            return [whole(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
