"""Builds the command-line tools that no package registry carries, from the Go modules pinned in `tools/**/go.mod`.

Usage: `python tools/build.py [--json]`; `make tools` calls it. Everything lands in `.tools/bin`. A tool that PATH
already has at the pinned version is linked there instead of being built. Needs Go only, nothing from PyPI, because
it runs before there is a virtual environment. Interrupting it is safe: a binary appears whole or not at all, and Go's
build cache keeps what was compiled.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODULE = Path(__file__).resolve().parent
TARGET = MODULE.parent / ".tools"
GO_MINIMUM = (1, 24)
DISK_MINIMUM_GIB = 6  # a cold build leaves 4.4 GiB in Go's build cache and 0.9 GiB of binaries (du -sh)
PROVIDER_VERSION = "4.25.0"  # the release whose commit the pseudo-version in go.mod names
KUBERNETES = "k8s.io/kubernetes"


class BuildError(Exception):
    """A message for the person who started the build: what is wrong, where, what to do."""


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One binary: the Go package, the module that pins it, and how to ask an installed one for its version."""

    name: str
    package: str
    version: str
    version_command: tuple[str, ...]  # empty: it cannot tell
    flags: tuple[str, ...] = ()
    same_minor_is_enough: bool = False
    module: Path = MODULE


def pinned_versions(go_mod: str) -> dict[str, str]:
    """Module path to version (without the `v`) of the direct requirements in the text of a go.mod."""
    # What others require in their turn is marked `// indirect`.
    return dict(re.findall(r"^(?:\t|require )(\S+) v(\S+)$", go_mod, flags=re.MULTILINE))


def tools() -> list[Tool]:
    """The tools in build order; the versions are those of the go.mod files, so that they are written down once."""
    return [*_platform(), *_monitoring(), *_logging(), *_workflows()]


def _platform() -> list[Tool]:
    """The engine, the local control plane, and its judge."""
    pinned = pinned_versions((MODULE / "go.mod").read_text())
    kubernetes = pinned[KUBERNETES]
    major, minor, _ = kubernetes.split(".")
    # Without these, clients cannot parse the server's version (k8s.io/component-base/version).
    stamp = {"gitVersion": f"v{kubernetes}", "gitMajor": major, "gitMinor": minor}
    kubernetes_flags = tuple(
        f"-X {package}.{key}={value}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for key, value in stamp.items()
    )
    pulumi, kwok = pinned["github.com/pulumi/pulumi/pkg/v3"], pinned["sigs.k8s.io/kwok"]
    kwok_flags = (f"-X sigs.k8s.io/kwok/pkg/consts.Version=v{kwok}",)
    return [
        Tool(
            name="etcd",
            package="./cmd/etcd",
            version=pinned["go.etcd.io/etcd/server/v3"],
            version_command=("--version",),
        ),
        *(
            Tool(
                name=name,
                package=f"{KUBERNETES}/cmd/{name}",
                version=kubernetes,
                version_command=("--version",),
                flags=kubernetes_flags,
            )
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
        ),
        Tool(
            name="kubectl",
            package=f"{KUBERNETES}/cmd/kubectl",
            version=kubernetes,
            version_command=("version", "--client"),
            flags=kubernetes_flags,
            same_minor_is_enough=True,
        ),
        Tool(
            name="pulumi",
            package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            version=pulumi,
            version_command=("version",),
            # The Automation API refuses a CLI that cannot tell its version.
            flags=(f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={pulumi}",),
        ),
        Tool(
            name="pulumi-resource-kubernetes",
            package="./cmd/pulumi-resource-kubernetes",
            version=PROVIDER_VERSION,
            version_command=("-version",),
            flags=(f"-X github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version.Version=v{PROVIDER_VERSION}",),
        ),
        *(
            Tool(
                name=name,
                package=f"sigs.k8s.io/kwok/cmd/{name}",
                version=kwok,
                version_command=("--version",),
                flags=kwok_flags,
            )
            for name in ("kwok", "kwokctl")
        ),
        Tool(
            name="kube-score",
            package="github.com/zegl/kube-score/cmd/kube-score",
            version=pinned["github.com/zegl/kube-score"],
            version_command=("version",),
            flags=(f"-X main.version={pinned['github.com/zegl/kube-score']}",),
        ),
    ]


def _monitoring() -> list[Tool]:
    """What monitors; Alertmanager and the adapter need older libraries than Prometheus, hence two modules."""
    pinned = {
        folder: pinned_versions((MODULE / folder / "go.mod").read_text()) for folder in ("monitoring", "alerting")
    }

    def tool(
        folder: str,
        name: str,
        package: str,
        version_command: tuple[str, ...] = ("--version",),
        stamp: str = "github.com/prometheus/common/version.Version=",
    ) -> Tool:
        version = release(pinned[folder][package.partition("/cmd/")[0]])
        return Tool(
            name=name,
            package=package,
            version=version,
            version_command=version_command,
            flags=(f"-X {stamp}{version}",),
            module=MODULE / folder,
        )

    return [
        # Without the tag builtinassets: Prometheus' pages would have to be built by npm.
        tool("monitoring", "promtool", "github.com/prometheus/prometheus/cmd/promtool"),
        tool("monitoring", "prometheus", "github.com/prometheus/prometheus/cmd/prometheus"),
        tool("alerting", "amtool", "github.com/prometheus/alertmanager/cmd/amtool"),
        tool("alerting", "alertmanager", "github.com/prometheus/alertmanager/cmd/alertmanager"),
        tool("monitoring", "node_exporter", "github.com/prometheus/node_exporter"),
        tool("monitoring", "blackbox_exporter", "github.com/prometheus/blackbox_exporter"),
        tool(
            "monitoring",
            "postgres_exporter",
            "github.com/prometheus-community/postgres_exporter/cmd/postgres_exporter",
        ),
        tool("monitoring", "redis_exporter", "github.com/oliver006/redis_exporter", stamp="main.BuildVersion="),
        tool("monitoring", "nginx-prometheus-exporter", "github.com/nginx/nginx-prometheus-exporter"),
        tool("monitoring", "kube-state-metrics", "k8s.io/kube-state-metrics/v2", version_command=("version",)),
        tool(
            "alerting",
            "prometheus-adapter",
            "sigs.k8s.io/prometheus-adapter/cmd/adapter",
            version_command=(),
            stamp="k8s.io/component-base/version.gitVersion=v",  # without the `v` it panics as it starts
        ),
    ]


def _workflows() -> list[Tool]:
    """What judges the workflows of the hosted CI."""
    pinned = pinned_versions((MODULE / "actions" / "go.mod").read_text())["github.com/rhysd/actionlint"]
    return [
        Tool(
            name="actionlint",
            package="github.com/rhysd/actionlint/cmd/actionlint",
            version=pinned,
            version_command=("-version",),
            flags=(f"-X github.com/rhysd/actionlint.version={pinned}",),
            module=MODULE / "actions",
        )
    ]


def _logging() -> list[Tool]:
    """What ships logs, and what judges and measures where they arrive."""
    shipping = pinned_versions((MODULE / "logging" / "go.mod").read_text())
    search = pinned_versions((MODULE / "search" / "go.mod").read_text())
    exporter = "github.com/prometheus-community/elasticsearch_exporter"
    return [
        Tool(
            name="filebeat",
            package="github.com/elastic/beats/v7/filebeat",
            version=shipping["github.com/elastic/beats/v7"],
            version_command=("version",),
            module=MODULE / "logging",
        ),
        Tool(
            name="elasticsearch_exporter",
            package=exporter,
            version=search[exporter],
            version_command=("--version",),
            flags=(f"-X github.com/prometheus/common/version.Version={search[exporter]}",),
            module=MODULE / "search",
        ),
        Tool(
            name="elasticsearch-schema",
            package="./cmd/elasticsearch-schema",
            version=search["github.com/elastic/go-elasticsearch/v8"],
            version_command=(),
            module=MODULE / "search",
        ),
        Tool(
            name="logstash-lint",
            package="./cmd/logstash-lint",
            version=search["github.com/breml/logstash-config"],
            version_command=(),
            module=MODULE / "search",
        ),
    ]


def release(version: str) -> str:
    """The release that a module version stands for: Prometheus tags its v3.5.0 as v0.305.0 for Go."""
    match = re.fullmatch(r"0\.(\d)(\d\d)\.(\d+)", version)
    return f"{match[1]}.{int(match[2])}.{match[3]}" if match else version


def pins_digest(tool: Tool) -> str:
    """Changes when anything that goes into the binary does: pins, our own main, linker flags."""
    digest = hashlib.sha256(repr((tool.package, tool.flags)).encode())
    sources = [tool.module / "go.mod", tool.module / "go.sum"]
    if tool.package.startswith("./"):
        sources += sorted((tool.module / tool.package).glob("*.go"))
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def installed(tool: Tool) -> Path | None:
    """Where PATH has this tool at the pinned version (for kubectl: any patch release of the pinned minor)."""
    if not tool.version_command:
        return None
    path = os.pathsep.join(
        entry for entry in os.environ.get("PATH", "").split(os.pathsep) if Path(entry) != TARGET / "bin"
    )
    found = shutil.which(tool.name, path=path)
    if not found:
        return None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        run = subprocess.run(
            [found, *tool.version_command],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        wanted = re.escape(tool.version)
        if tool.same_minor_is_enough:
            wanted = re.escape(tool.version.rsplit(".", 1)[0]) + r"\.\d+"
        if re.search(rf"(?<![\w.])v?{wanted}(?![\d.]*\d)", run.stdout + run.stderr):
            return Path(found)
    return None


def go_command() -> str:
    """The go command, or an error that says which one is needed."""
    wanted = ".".join(map(str, GO_MINIMUM))
    go = shutil.which("go")
    if not go:
        raise BuildError(f"Go {wanted} or newer is needed to build the tools, and there is no `go` on PATH: install Go")
    text = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"go(\d+)\.(\d+)", text)
    if not match or (int(match[1]), int(match[2])) < GO_MINIMUM:
        raise BuildError(
            f"Go {wanted} or newer is needed to build the tools, {go} is {text.strip() or 'not Go'}: upgrade it"
        )
    return go


def check_disk(go: str) -> None:
    """Refuses to start a build that cannot end."""
    answer = subprocess.run([go, "env", "GOCACHE", "GOTMPDIR"], capture_output=True, text=True, check=True).stdout
    cache, temporary = answer.splitlines()
    for folder in (cache, temporary or tempfile.gettempdir(), str(TARGET)):
        existing = next(p for p in (Path(folder), *Path(folder).parents) if p.exists())
        free = shutil.disk_usage(existing).free / 2**30
        if free < DISK_MINIMUM_GIB and not any(TARGET.glob("bin/*")):
            raise BuildError(
                f"{folder}: {free:.1f} GiB free, a build from nothing needs {DISK_MINIMUM_GIB}: free some, or point "
                "GOCACHE and GOTMPDIR at a larger disk, and run again"
            )


class Progress:
    """Says what is being built, for how long, and what is left; one line in place on a terminal."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.started = total, 0, time.monotonic()
        self.current, self.packages = "", 0
        self.terminal = sys.stderr.isatty()
        self._stop = threading.Event()

    def say(self, text: str) -> None:
        """Prints a line above the one that moves."""
        sys.stderr.write(f"\r\033[K{text}\n" if self.terminal else f"{text}\n")
        sys.stderr.flush()

    def _line(self) -> str:
        elapsed = clock(time.monotonic() - self.started)
        left = self.total - self.done
        return f"  {elapsed}  {self.current}: {self.packages} packages compiled; {left} of {self.total} tools left"

    def _tick(self) -> None:
        while not self._stop.wait(1 if self.terminal else 30):
            if self.terminal:
                sys.stderr.write(f"\r\033[K{self._line()}")
                sys.stderr.flush()
            else:
                self.say(self._line())

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Keeps the line moving while the block runs."""
        ticker = threading.Thread(target=self._tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            self._stop.set()
            ticker.join()
            if self.terminal:
                sys.stderr.write("\r\033[K")


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def compile_tool(go: str, tool: Tool, progress: Progress) -> None:
    """Builds into a scratch folder and renames, so that `.tools/bin` never holds half a binary."""
    scratch = TARGET / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    output = scratch / tool.name
    linker = " ".join(("-s", "-w", *tool.flags))
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    command = [go, "build", "-v", "-trimpath", "-ldflags", linker, "-o", str(output), tool.package]
    complaints: list[str] = []
    with subprocess.Popen(command, cwd=tool.module, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr or ():
                if re.fullmatch(r"[\w.~+-]+(/[\w.~+-]+)*\n", line):
                    progress.packages += 1
                elif not line.startswith("go: downloading"):
                    complaints.append(line.rstrip())
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        full = next((line for line in complaints if "no space left on device" in line), None)
        if full:
            raise BuildError(f"{tool.name}: {full.strip()}: free some space and run again, finished work is kept")
        raise BuildError(
            f"{tool.name}: `go build {tool.package}` failed in {tool.module}:\n  " + "\n  ".join(complaints[-15:])
        )
    (TARGET / "bin").mkdir(exist_ok=True)
    output.replace(TARGET / "bin" / tool.name)


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """One build at a time in a checkout; a second one waits for the first."""
    TARGET.mkdir(exist_ok=True)
    with (TARGET / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def link(tool: Tool, found: Path) -> None:
    """Makes an installed tool stand in `.tools/bin`."""
    target = TARGET / "bin" / tool.name
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(found)


def build_all() -> dict[str, str]:
    """Name of each tool to what was done for it: `built in 1:23`, `on PATH: …` or `up to date`."""
    outcome: dict[str, str] = {}
    missing: list[Tool] = []
    stamps = TARGET / "stamps"
    stamps.mkdir(exist_ok=True)
    for tool in tools():
        stamp = stamps / tool.name
        if (TARGET / "bin" / tool.name).exists() and stamp.exists() and stamp.read_text() == pins_digest(tool):
            outcome[tool.name] = "up to date"
        elif found := installed(tool):
            link(tool, found)
            stamp.write_text(pins_digest(tool))
            outcome[tool.name] = f"on PATH: {found}"
        else:
            missing.append(tool)
    if not missing:
        return outcome
    go = go_command()
    check_disk(go)
    progress = Progress(len(missing))
    progress.say(
        f"Building {len(missing)} tools into {TARGET / 'bin'} (about 25 minutes on 2 cores when nothing is cached)"
    )
    with progress.shown():
        for tool in missing:
            progress.current, progress.packages = tool.name, 0
            began = time.monotonic()
            compile_tool(go, tool, progress)
            (stamps / tool.name).write_text(pins_digest(tool))
            progress.done += 1
            outcome[tool.name] = f"built in {clock(time.monotonic() - began)}"
            progress.say(f"  {tool.name} {tool.version}: {outcome[tool.name]}")
    shutil.rmtree(TARGET / "scratch", ignore_errors=True)
    return outcome


def main() -> int:
    """Builds; a mistake that a person can mend is told in one line."""
    parser = argparse.ArgumentParser(description="Build the pinned command-line tools into .tools/bin.")
    parser.add_argument("--json", action="store_true", help="print the outcome per tool as JSON on standard output")
    arguments = parser.parse_args()
    try:
        with exclusive():
            outcome = build_all()
    except BuildError as error:
        print(f"tools: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"tools: {error.filename or TARGET}: {error.strerror}: free space or fix permissions, then run again",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("tools: interrupted; run `make tools` to go on from here", file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(outcome, indent=2))
    else:
        for name, done in outcome.items():
            if done.startswith("on PATH"):
                print(f"  {name}: used {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
