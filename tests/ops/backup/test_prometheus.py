"""A snapshot of a real Prometheus leaves its pod through the sidecar, and nothing of it stays behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest

from infra.environments.workspace import ROOT
from modelcard_ops.backup import files
from modelcard_ops.backup import restore as restores
from modelcard_ops.backup import run as runs
from modelcard_ops.backup.errors import BackupError
from modelcard_ops.backup.prometheus import Prometheus
from modelcard_ops.backup.restore import Request
from tests.app.servers import eventually, free_port
from tests.ops.backup.certificates import Certificates
from tests.ops.backup.s3 import STARTS
from tests.ops.backup.world import World

USER, PASSWORD = "platform", "prometheus-password"


class Pod:
    """Prometheus and the sidecar, by TLS with one login."""

    def __init__(self, folder: Path, certificates: Certificates, world: World) -> None:
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        port, sidecar = free_port(), free_port()
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        tls = f"tls_server_config: {{cert_file: {certificates.certificate}, key_file: {certificates.key}}}\n"
        (folder / "web.yml").write_text(f"{tls}basic_auth_users: {{{USER}: '{hashed}'}}\n")
        login = f"basic_auth: {{username: {USER}, password: {PASSWORD}}}"
        (folder / "prometheus.yml").write_text(
            f"scrape_configs: [{{job_name: self, scrape_interval: 1s, scheme: https, {login}, "
            f"tls_config: {{insecure_skip_verify: true}}, static_configs: [{{targets: ['localhost:{port}']}}]}}]\n"
        )
        self.settings: dict[str, Any] = {
            "prometheus_url": f"https://localhost:{port}", "snapshots_url": f"https://localhost:{sidecar}",
            "prometheus_user": USER, "prometheus_password": PASSWORD, "authority_file": str(certificates.authority),
            "snapshots_dir": str(self.data / "snapshots"), "port": sidecar,
            "certificate_file": str(certificates.certificate), "key_file": str(certificates.key),
        }  # fmt: skip
        self.prometheus = subprocess.Popen(
            [
                ROOT / ".tools" / "bin" / "prometheus", f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.data}", f"--web.config.file={folder / 'web.yml'}",
                f"--web.listen-address=127.0.0.1:{port}", "--web.enable-admin-api", "--log.level=error",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.sidecar = subprocess.Popen(
            [sys.executable, "-c", "from modelcard_ops.cli import main; main()", "backup", "snapshots"],
            env=world.environment(**self.settings),
        )
        self.client = httpx.Client(
            base_url=self.settings["snapshots_url"], verify=str(certificates.authority), auth=(USER, PASSWORD)
        )
        ready = f"https://localhost:{port}/api/v1/query?query=count(prometheus_build_info)"
        eventually(lambda: self.client.get("/health").status_code == 200, within=STARTS)
        eventually(lambda: self.client.get(ready).json()["data"]["result"], within=STARTS)

    def snapshots(self) -> list[str]:
        return sorted(path.name for path in (self.data / "snapshots").glob("*"))

    def close(self) -> None:
        for process in (self.prometheus, self.sidecar):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, shared: World) -> Iterator[Pod]:
    started = Pod(tmp_path_factory.mktemp("prometheus"), certificates, shared)
    yield started
    started.close()


def test_a_set_holds_prometheus_data_and_brings_them_back(quick: World, pod: Pod) -> None:
    settings = quick.settings(**pod.settings)
    made = runs.run(settings, quick.told.append)
    assert made.missing == {}
    assert made.prometheus is not None
    assert made.prometheus.files > 0
    assert pod.snapshots() == []
    target = quick.folder / "tsdb"
    request = Request(set_id=made.id, prometheus=target)
    restores.execute(settings, restores.plan(settings, request, quick.told.append), quick.told.append)
    listed = [path for path in files.scan(target) if path.name == "index"]
    assert listed, "there is a block, or the head's"


def test_what_a_killed_run_has_left_is_removed_by_the_next(quick: World, pod: Pod) -> None:
    prometheus = Prometheus(quick.settings(**pod.settings))
    left = prometheus._ask("POST", f"{pod.settings['prometheus_url']}/api/v1/admin/tsdb/snapshot")["data"]["name"]
    assert pod.snapshots() == [left]
    runs.run(quick.settings(**pod.settings), quick.told.append)
    assert pod.snapshots() == []


def test_a_snapshot_is_removed_when_the_upload_fails(quick: World, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise BackupError("injected")

    monkeypatch.setattr(Prometheus, "store", fails)
    made = runs.run(quick.settings(**pod.settings), quick.told.append)
    assert made.missing == {"prometheus": "injected"}
    assert pod.snapshots() == []


def test_a_listing_that_leads_out_of_its_folder_is_refused(
    quick: World, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    prometheus = Prometheus(quick.settings(**pod.settings))
    evil = [{"path": "../../etc/passwd", "size": 1, "sha256": "0" * 64}]
    monkeypatch.setattr(prometheus, "_ask", lambda *_: evil)
    with pytest.raises(BackupError, match="not a path below its folder"):
        prometheus.store("20260131T000000Z-00", quick.tools().blobs, files.Known())


@pytest.mark.parametrize("path", ["/snapshots/..", "/snapshots/%2e%2e/wal", "/snapshots/20260131T000000Z-00/../../wal"])
def test_the_sidecar_serves_nothing_else_of_the_disk(pod: Pod, path: str) -> None:
    assert pod.client.get(path).status_code == 404


def test_the_sidecar_wants_the_login(pod: Pod) -> None:
    for auth in (None, (USER, "guess"), ("x", PASSWORD)):
        answer = pod.client.get("/snapshots", auth=auth or httpx.Auth())
        assert answer.status_code == 401
