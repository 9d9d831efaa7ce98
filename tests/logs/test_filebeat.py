"""A real Filebeat with the real configuration ships files as a kubelet writes them; nothing is lost on the way."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.components.logstash import component_file
from infra.environments.secrets import generate
from infra.environments.workspace import ROOT
from tests.app.servers import eventually
from tests.conftest import settings_of
from tests.logs.beats import Receiver

FILEBEAT = ROOT / ".tools" / "bin" / "filebeat"
START = datetime(2026, 11, 25, 10, tzinfo=UTC)
# Ten lines a second, as dev writes them, for an hour.
HOUR = 36_000
PATIENCE = 60
# Of a file that is shorter than 64 bytes, Filebeat waits for more (filebeat.yml).
ENOUGH = "and long enough to tell a file by"


class Container:
    """The log of one container, as containerd writes it and the kubelet rotates it: five files, old ones compressed."""

    def __init__(self, pods: Path, *, namespace: str = "modelcard", pod: str = "app-1", name: str = "app") -> None:
        self.folder = pods / f"{namespace}_{pod}_0000-{pod}" / name
        self.folder.mkdir(parents=True)
        self.file = self.folder / "0.log"
        self.written: list[str] = []
        self.rotations = 0

    def write(self, *messages: str) -> None:
        """Lines; what is longer than 16 KiB in pieces."""
        with self.file.open("ab") as file:
            for message in messages:
                moment = (START + timedelta(microseconds=len(self.written))).isoformat(timespec="microseconds")
                stamp = f"{moment.removesuffix('+00:00')}000Z stdout"
                pieces = [message[begin : begin + 16_384] for begin in range(0, len(message), 16_384)] or [""]
                for position, piece in enumerate(pieces):
                    tag = "F" if position == len(pieces) - 1 else "P"
                    file.write(f"{stamp} {tag} {piece}\n".encode())
                self.written.append(message)

    def rotate(self) -> None:
        """Renames; compresses what was renamed before; keeps five."""
        self.rotations += 1
        for old in sorted(self.folder.glob("0.log.2*")):
            if old.suffix != ".gz":
                with gzip.open(f"{old}.gz", "wb", compresslevel=1) as compressed:
                    compressed.write(old.read_bytes())
                old.unlink()
        self.file.rename(self.folder / f"0.log.20261125-{self.rotations:06d}")
        for outdated in sorted(self.folder.glob("*.gz"))[:-3]:
            outdated.unlink()


class Filebeat:
    """The program, with our configuration for other paths and less patience."""

    def __init__(self, folder: Path, receiver: Receiver, tls: Path) -> None:
        self.pods, self.data = folder / "pods", folder / "data"
        config = component_file("filebeat.yml").replace("/var/log/pods", str(self.pods))
        config = config.replace("check_interval: 5s", "check_interval: 200ms").replace(
            "backoff.max: 30s", "backoff.max: 1s"
        )
        self.config = folder / "filebeat.yml"
        self.config.write_text(config)
        self.config.chmod(0o600)
        self.output = folder / "output"
        self.environment = {
            "PATH": os.environ["PATH"],
            "NAMESPACE": "modelcard",
            "LOGSTASH": f"localhost:{receiver.port}",
            "TLS": str(tls),
            "DATA": str(self.data),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        home = str(self.config.parent)
        return [str(FILEBEAT), *arguments, f"--path.config={home}", f"--path.home={home}", "-c", "filebeat.yml"]

    def start(self) -> None:
        assert FILEBEAT.exists(), f"{FILEBEAT} is missing: run `make tools`"
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self.command("--environment=container"), env=self.environment, stdout=output, stderr=output
            )

    def end(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(timeout=30)


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> Path:
    """The stack's own certificates."""
    folder = tmp_path_factory.mktemp("tls")
    secrets = generate(settings_of("dev"), authority=None)
    for name, pair in (("tls", "filebeat_certificate"), ("server", "logstash_certificate")):
        (folder / f"{name}.crt").write_text(secrets[pair]["certificate"])
        (folder / f"{name}.key").write_text(secrets[pair]["key"])
    (folder / "ca.crt").write_text(secrets["authority"]["certificate"])
    return folder


@pytest.fixture
def receiver(tls) -> Iterator[Receiver]:
    each = Receiver(tls)
    each.start()
    yield each
    each.gate.set()
    each.stop()


@pytest.fixture
def filebeat(tmp_path, receiver, tls) -> Iterator[Filebeat]:
    each = Filebeat(tmp_path, receiver, tls)
    each.pods.mkdir()
    yield each
    if each.process is not None and each.process.poll() is None:
        each.process.kill()
        each.process.wait()


def all_of(*containers: Container) -> Counter[str]:
    return Counter(message for each in containers for message in each.written)


def arrived(receiver: Receiver, expected: Counter[str]) -> bool:
    return not expected - Counter(receiver.messages())


def identity(event: dict) -> str:
    """What Logstash makes of an event, by logstash.conf."""
    kubernetes = event["kubernetes"]
    parts = (kubernetes["pod"]["uid"], kubernetes["container"]["name"], event["log"]["offset"], event["@timestamp"])
    return hashlib.sha256(repr((*parts, event.get("message"))).encode()).hexdigest()


def test_it_accepts_its_configuration(filebeat):
    done = subprocess.run(
        filebeat.command("test", "config"), env=filebeat.environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "Config OK"), done.stderr


def test_it_finds_the_receiver_by_its_certificate(filebeat):
    done = subprocess.run(
        filebeat.command("test", "output"), env=filebeat.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_tells_nothing_to_who_is_not_of_the_stack(filebeat, tls, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tls, other)
    (other / "ca.crt").write_text(generate(settings_of("dev"), authority=None)["authority"]["certificate"])
    environment = {**filebeat.environment, "TLS": str(other)}
    done = subprocess.run(
        filebeat.command("test", "output"), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "certificate signed by unknown authority" in done.stdout + done.stderr


def test_lines_arrive_through_rotation_truncation_restarts_and_late_acknowledgements(filebeat, receiver):
    app, nginx = Container(filebeat.pods), Container(filebeat.pods, pod="edge-1", name="nginx")
    other = Container(filebeat.pods, namespace="somebody-elses")
    other.write("not ours")
    app.write(*(f"before {number}" for number in range(500)), "long " + "x" * 100_000, "", "unicode 🧪 Größe")
    nginx.write(*(f"request {number}" for number in range(500)))
    filebeat.start()
    expected = all_of(app, nginx)
    eventually(lambda: arrived(receiver, expected), within=PATIENCE)

    # The kubelet renames while it is being read, and the receiver says nothing for a while.
    receiver.gate.clear()
    for round_ in range(3):
        app.write(*(f"rotated {round_} {number}" for number in range(300)))
        eventually(lambda: opened_by(filebeat, app.file), within=PATIENCE)
        app.rotate()
    app.write("after the last rotation, " + ENOUGH)
    eventually(lambda: receiver.unacknowledged > 0, within=PATIENCE)
    receiver.gate.set()
    eventually(lambda: arrived(receiver, expected | all_of(app)), within=PATIENCE)

    # It dies in the middle, and begins again where it was.
    app.write(*(f"around a kill {number}" for number in range(1000)))
    filebeat.end(signal.SIGKILL)
    app.write(*(f"while it is dead {number}" for number in range(300)))
    app.rotate()
    app.write("in the new file, " + ENOUGH)
    filebeat.start()
    eventually(lambda: arrived(receiver, all_of(app)), within=PATIENCE)

    # Somebody empties a file by hand.
    nginx.file.write_bytes(b"")
    nginx.write(*(f"after truncation {number}" for number in range(300)))
    eventually(lambda: arrived(receiver, all_of(nginx)), within=PATIENCE)

    assert "not ours" not in receiver.messages()
    events = receiver.events
    copies = Counter(identity(event) for event in events)
    # Every copy of a line has the same name, so that Elasticsearch keeps one.
    assert len(copies) == sum(all_of(app, nginx).values())
    (one,) = [event for event in events if event.get("message") == "after the last rotation, " + ENOUGH][:1]
    assert one["kubernetes"] == {
        "namespace": "modelcard",
        "pod": {"name": "app-1", "uid": "0000-app-1"},
        "container": {"name": "app"},
    }
    assert {"agent", "ecs", "host", "input"} & set(one) == set()


def test_an_hour_without_a_receiver_loses_nothing(filebeat, receiver):
    app = Container(filebeat.pods)
    app.write("first, " + ENOUGH)
    filebeat.start()
    eventually(lambda: arrived(receiver, all_of(app)), within=PATIENCE)
    receiver.stop()
    # The kubelet rotates twelve times meanwhile, and removes all but the last five files.
    for part in range(12):
        app.write(*(f"line {part} {number}" for number in range(HOUR // 12)))
        eventually(lambda: opened_by(filebeat, app.file), within=PATIENCE)
        app.rotate()
    app.write("last, " + ENOUGH)
    assert len(list(app.folder.iterdir())) < 12
    receiver.start()
    eventually(lambda: arrived(receiver, all_of(app)), within=PATIENCE)
    messages = Counter(receiver.messages())
    assert set(messages) == set(app.written)
    duplicates = sum(messages.values()) - len(app.written)
    print(f"\n{len(app.written)} lines in, {len(messages)} out, {duplicates} of them twice")
    assert len({identity(event) for event in receiver.events}) == len(app.written)


def opened_by(filebeat: Filebeat, path: Path) -> bool:
    """Whether it holds the file that is there now: what it holds, it delivers, whatever the kubelet does with it."""
    assert filebeat.process is not None
    inode = path.stat().st_ino
    return any(
        each.stat().st_ino == inode for each in Path(f"/proc/{filebeat.process.pid}/fd").iterdir() if each.exists()
    )
