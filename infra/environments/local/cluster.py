"""The embedded local cluster: start it, repair it, look at it, remove it without a trace.

`kwokctl` lays out certificates, configuration and command lines of a real etcd, API server, scheduler and controller
manager, and starts them; kwok plays the kubelets. Everything lives in one folder and listens on 127.0.0.1 only.
"""

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import urllib3
import yaml
from kubernetes import client, config

from . import objects, processes
from .cloud import LocalCloud
from .failures import LocalClusterError, check_space, failure_in_log
from .waiting import POLL_INTERVAL, wait_until

Outcome = Literal["running", "restarted", "created"]

NAME = "local"
TOOLS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kwokctl", "kubectl")
CORE = ("etcd", "kube-apiserver")
COMPONENTS = (*CORE, "kube-controller-manager", "kube-scheduler", "kwok-controller")
PORTS = {  # as kwokctl's options call them
    "etcdPort": "etcd",
    "etcdPeerPort": "etcd",
    "kubeApiserverPort": "kube-apiserver",
    "kubeControllerManagerPort": "kube-controller-manager",
    "kubeSchedulerPort": "kube-scheduler",
    "kwokControllerPort": "kwok-controller",
}
PORT_RANGE = range(20000, 30000)  # below what Linux and macOS give to outgoing connections
STAGES = Path(__file__).with_name("stages.yaml")
SPACE_NEEDED = 512 * 2**20  # etcd's log takes 128 MiB before it holds anything
START_TIMEOUT = 90.0  # 5 s when the computer has nothing else to do
SETTLE_TIMEOUT = 60.0
PORTS_TIMEOUT = 2.0
NO_ANSWER = (client.ApiException, urllib3.exceptions.HTTPError, config.ConfigException)


@dataclass(frozen=True, kw_only=True)
class ComponentStatus:
    """One process of the control plane; `pid` is None when it does not run."""

    name: str
    pid: int | None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.pid is not None


@dataclass(frozen=True, kw_only=True)
class ClusterStatus:
    """What there is of a local cluster; `running` means that it answers and that every component is there."""

    running: bool
    components: tuple[ComponentStatus, ...]
    nodes_ready: int
    server: str | None


class LocalCluster:
    """A control plane in `folder`, made of the programs in the folder `tools`, and a `cloud` beside it."""

    def __init__(self, folder: Path, tools: Path) -> None:
        self.folder = folder.resolve()
        self.tools = tools.resolve()
        self._workdir = self.folder / "clusters" / NAME
        self._programs = self._workdir / "bin"
        self._settings = self.folder / "settings.yaml"
        self.cloud = LocalCloud(self.folder / "cloud")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, readable by its owner only."""
        return self._workdir / "kubeconfig.yaml"

    def up(self, progress: Callable[[str], None]) -> Outcome:
        """Have the cluster run, whatever there is of it now; `created` means that it is empty."""
        self._check_tools()
        try:
            with self._alone():
                check_space(self.folder, SPACE_NEEDED)
                try:
                    outcome = self._have_control_plane(progress)
                    self.cloud.start()
                    self._settle(progress)
                    self.cloud.wait()
                except LocalClusterError:
                    self._stop()  # half a cluster is of no use; its folder stays, for its logs and its data
                    raise
        except OSError as error:
            raise LocalClusterError(f"cannot write {error.filename or self.folder}: {error.strerror}") from error
        return outcome

    def down(self) -> None:
        """Stop everything and remove the folder."""
        with self._alone():
            self._stop()  # also when somebody removed the folder without it
            self.cloud.stop()
            shutil.rmtree(self.folder)

    def status(self) -> ClusterStatus:
        """What runs now."""
        pids = processes.running(self._programs)
        ports = self._stored_ports()
        return ClusterStatus(
            running=ports is not None and self._healthy(),
            components=tuple(ComponentStatus(name=name, pid=pids.get(name)) for name in COMPONENTS),
            nodes_ready=self._ready_nodes() if pids.keys() >= set(CORE) else 0,
            server=f"https://127.0.0.1:{ports['kubeApiserverPort']}" if ports else None,
        )

    # --- Starting ------------------------------------------------------------------------------------------------

    def _have_control_plane(self, progress: Callable[[str], None]) -> Outcome:
        ports = self._stored_ports()
        if ports is None:
            return self._create(progress)
        if self._healthy():
            return "running"
        return self._restart(ports, progress)

    def _create(self, progress: Callable[[str], None]) -> Outcome:
        progress("creating the local control plane")
        self._stop()
        self.cloud.stop()
        for left_over in self.folder.iterdir():
            shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
        self._settings.write_text(self._render_settings(_free_ports()))
        self._kwokctl("--config", str(self._settings), "create", "cluster", "--kubeconfig", "")
        return "created"

    def _restart(self, ports: dict[str, int], progress: Callable[[str], None]) -> Outcome:
        missing = [name for name in COMPONENTS if name not in processes.running(self._programs)]
        progress(f"restarting the local control plane ({', '.join(missing) or 'it'} did not answer)")
        self._stop()
        for option, port in ports.items():
            if not _is_free(port):
                raise LocalClusterError(
                    f"port {port}, which {PORTS[option]} of the cluster in {self.folder} uses, is taken by another"
                    f" program: stop that, or give the cluster another port with `make down` and `make up`"
                )
        try:
            self._kwokctl("start", "cluster")
        except LocalClusterError as error:
            if not error.data_is_lost:
                raise
            progress(f"{error}; what the cluster held cannot be saved")
            return self._create(progress)
        return "restarted"

    def _kwokctl(self, *arguments: str) -> None:
        """Let kwokctl start the components that do not run, and return when the API server is ready."""
        alive = processes.running(self._programs)
        for pid_file in (self._workdir / "pids").glob("*.pid"):
            if pid_file.stem not in alive:
                pid_file.unlink()  # kwokctl would believe it, even when the number is another program's by now
        environment = {
            "PATH": os.defpath,
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "KWOK_WORKDIR": str(self.folder),
        }
        log = self.folder / "kwokctl.log"
        deadline = time.monotonic() + START_TIMEOUT
        with log.open("wb") as output, ExitStack() as cleanup:
            process = subprocess.Popen(
                [self.tools / "kwokctl", "--name", NAME, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            cleanup.callback(_end_group, process)  # before the components are stopped, for it would start more
            while process.poll() is None or not self._answers():
                if process.returncode:
                    raise failure_in_log("kwokctl", log)
                self._check_alive(CORE)
                if time.monotonic() > deadline:
                    raise LocalClusterError(
                        f"the API server is not ready after {START_TIMEOUT:.0f} s: try again, or start anew with"
                        f" `make down` and `make up` (log: {self._log('kube-apiserver')})"
                    )
                time.sleep(POLL_INTERVAL)
        self.kubeconfig.chmod(0o600)

    def _settle(self, progress: Callable[[str], None]) -> None:
        """Have nodes and volumes, and know that every controller works."""
        if not self._healthy():  # on a busy computer the others may give up before the API server is ready
            self._kwokctl("start", "cluster")
        api = self._api()
        try:
            objects.create_missing(api)
            if not (objects.volumes_offered(api) and objects.ready_nodes(api) == len(objects.ZONES)):
                progress("waiting for nodes and volumes")

            def settled() -> bool:
                self._check_alive(COMPONENTS)
                return objects.ready_nodes(api) >= len(objects.ZONES) and objects.volumes_offered(api)

            if not wait_until(settled, SETTLE_TIMEOUT):
                raise LocalClusterError(
                    f"nodes and volumes are not ready after {SETTLE_TIMEOUT:.0f} s"
                    f" (logs: {self._log('kwok-controller')}, {self._log('kube-controller-manager')})"
                )
        except NO_ANSWER as error:
            self._check_alive(COMPONENTS)
            raise LocalClusterError(
                f"the API server failed: {' '.join(str(error).split())} (log: {self._log('kube-apiserver')})"
            ) from error

    # --- What there is -------------------------------------------------------------------------------------------

    def _healthy(self) -> bool:
        return processes.running(self._programs).keys() >= set(COMPONENTS) and self._answers()

    def _answers(self) -> bool:
        try:
            return self.kubeconfig.exists() and objects.is_ready(self._api())
        except NO_ANSWER:
            return False

    def _ready_nodes(self) -> int:
        try:
            return objects.ready_nodes(self._api())
        except NO_ANSWER:
            return 0

    def _stop(self) -> None:
        """End every process of the control plane; its ports are free a moment later."""
        processes.kill(self._programs)
        ports = self._stored_ports() or {}
        wait_until(lambda: all(_is_free(port) for port in ports.values()), PORTS_TIMEOUT)

    def _check_alive(self, names: tuple[str, ...]) -> None:
        """Raise when one of the components was started and is gone."""
        started = [name for name in names if (self._workdir / "pids" / f"{name}.pid").exists()]
        alive = processes.running(self._programs)
        for name in started:
            if name not in alive:
                raise failure_in_log(name, self._log(name))

    def _api(self) -> client.ApiClient:
        configuration = client.Configuration(retries=0, proxy="", no_proxy="")
        config.load_kube_config(str(self.kubeconfig), client_configuration=configuration, persist_config=False)
        return client.ApiClient(configuration)

    def _log(self, component: str) -> Path:
        return self._workdir / "logs" / f"{component}.log"

    def _stored_ports(self) -> dict[str, int] | None:
        """The ports of a cluster that was wholly laid out with today's settings, else None."""
        try:
            stored = self._settings.read_text()
            options = next(yaml.safe_load_all(stored))["options"]
            ports = {option: int(options[option]) for option in PORTS}
            components = next(yaml.safe_load_all((self._workdir / "kwok.yaml").read_text()))["components"]
        except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError, StopIteration):
            return None
        complete = {component["name"] for component in components} >= set(COMPONENTS) and self.kubeconfig.exists()
        return ports if complete and stored == self._render_settings(ports) else None

    def _render_settings(self, ports: dict[str, int]) -> str:
        settings = {
            "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
            "kind": "KwokctlConfiguration",
            "options": {
                "runtime": "binary",
                "bindAddress": "127.0.0.1",
                "components": list(COMPONENTS),
                "disableQPSLimits": True,
                "etcdBinary": str(self.tools / "etcd"),
                "kubeApiserverBinary": str(self.tools / "kube-apiserver"),
                "kubeControllerManagerBinary": str(self.tools / "kube-controller-manager"),
                "kubeSchedulerBinary": str(self.tools / "kube-scheduler"),
                "kwokControllerBinary": str(self.tools / "kwok"),
                "kubectlBinary": str(self.tools / "kubectl"),
                **ports,
            },
            # There is one of each: after a crash it need not wait for its predecessor's lease to run out.
            "componentsPatches": [
                {"name": name, "extraArgs": [{"key": "leader-elect", "value": "false"}]}
                for name in ("kube-controller-manager", "kube-scheduler")
            ],
        }
        return f"{yaml.safe_dump(settings)}---\n{STAGES.read_text()}"

    def _check_tools(self) -> None:
        missing = [tool for tool in TOOLS if not os.access(self.tools / tool, os.X_OK)]
        if missing:
            raise LocalClusterError(f"{', '.join(missing)} not found in {self.tools}: run `make tools`")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from changing the same cluster; the lock is on the folder, so nothing is left of it."""
        while True:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds the administrator's key
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self.folder.exists() and os.path.samestat(os.fstat(descriptor), self.folder.stat()):
                    yield
                    return
            finally:
                os.close(descriptor)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)  # with the kubectl that it may be running
        process.wait()


def _free_ports() -> dict[str, int]:
    """A free port for each purpose, at random: clusters that start at the same moment do not choose the same."""
    candidates = iter(random.sample(PORT_RANGE, len(PORT_RANGE)))
    return {option: next(port for port in candidates if _is_free(port)) for option in PORTS}


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
