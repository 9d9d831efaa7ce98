"""What the exporter tells is what the catalogue says, which is what the rules are checked against."""

from __future__ import annotations

import subprocess
import sys

import httpx
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infra.environments.workspace import ROOT
from modelcard_ops.backup import metrics
from modelcard_ops.backup.exporter import BackupCollector
from tests.app.servers import eventually, free_port
from tests.ops.backup.certificates import Certificates
from tests.ops.backup.world import World


def told(world: World, **changed: object) -> dict[str, dict[tuple[str, ...], float]]:
    registry = CollectorRegistry()
    registry.register(BackupCollector(world.settings(**changed)))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples} for family in families
    }


def test_the_rules_know_exactly_these_metrics() -> None:
    recorded = yaml.safe_load((ROOT / "rules" / "metrics" / "backup.yml").read_text())
    assert recorded == {each.name: {"type": each.type, "labels": list(each.labels)} for each in metrics.CATALOGUE}


def test_every_metric_is_told_with_its_labels(world: World) -> None:
    found = told(world)
    assert found.keys() == {each.name for each in metrics.CATALOGUE}
    newest = world.tools().catalog.newest()
    assert newest is not None
    assert newest.manifest is not None
    assert newest.verification is not None
    assert found[metrics.LAST_SUCCESS.name] == {(): newest.manifest.finished.timestamp()}
    assert found[metrics.LAST_VERIFIED.name] == {(): newest.verification.at.timestamp()}
    assert found[metrics.SETS.name][("verified",)] == 1
    assert found[metrics.SIZE.name][("database",)] == newest.manifest.database.size


def test_without_any_set_all_are_told_as_never(world: World) -> None:
    found = told(world, prefix="nobody")
    assert found.keys() == {each.name for each in metrics.CATALOGUE}
    assert found[metrics.LAST_SUCCESS.name] == {(): 0}
    assert found[metrics.READABLE.name] == {(): 1}


def test_a_bucket_that_cannot_be_read_is_told_and_nothing_old_is(world: World) -> None:
    assert told(world, bucket="not-there") == {metrics.READABLE.name: {(): 0}}


def test_it_serves_by_tls_and_is_alive_without_the_bucket(world: World, certificates: Certificates) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", "from modelcard_ops.cli import main; main()", "backup", "exporter"],
        env=world.environment(
            port=port, certificate_file=certificates.certificate, key_file=certificates.key, bucket="not-there"
        ),
        stdout=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(verify=str(certificates.authority), base_url=f"https://localhost:{port}") as client:
            eventually(lambda: client.get("/health").status_code == 200)
            assert f"{metrics.READABLE.name} 0.0" in client.get("/metrics").text
    finally:
        process.terminate()
        process.wait()
