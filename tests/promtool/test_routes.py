"""Every alert reaches exactly the receiver of the table, asked of amtool with the configuration of a stack."""

import subprocess

import pytest

from infra.kube.files import as_yaml
from infra.monitoring.routing import HEARTBEAT, ROUTES, WATCHDOG, alertmanager_config, expected
from tests.system.pods import TOOLS
from tests.unit.test_routing import ALERTS, ALL, NIGHT, notifications

SETTINGS = {
    "nobody": notifications(),
    "everybody": notifications(**ALL),
    "maintenance": notifications(**ALL, maintenance=(NIGHT, {**NIGHT, "start": "22:00", "end": "02:00"})),
}


def amtool(*arguments: str) -> str:
    """What it prints; raises with what it complains about, and if there is none."""
    program = TOOLS / "amtool"
    if not program.exists():
        raise FileNotFoundError(f"{program} is missing: run `make tools`")
    run = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module", params=SETTINGS)
def settings(request):
    return SETTINGS[request.param]


@pytest.fixture(scope="module")
def config(settings, tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "alertmanager.yml"
    path.write_text(as_yaml(alertmanager_config(settings)))
    return str(path)


def receivers(config, **labels) -> list[str]:
    """All that an alert of these labels is routed to."""
    pairs = [f'{name}="{value}"' for name, value in labels.items()]
    return amtool("config", "routes", "test", f"--config.file={config}", *pairs).strip().split(",")


def test_alertmanager_accepts_it(config):
    assert "5 receivers" in amtool("check-config", config)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda each: f"{each.name}-{each.line}")
def test_an_alert_reaches_the_receiver_of_its_priority(alert, config, settings):
    labels = {"alertname": alert.name, "environment": "prod", **alert.labels}
    receiver = HEARTBEAT if alert.name == WATCHDOG else expected(alert.labels["priority"], settings).receiver
    assert receivers(config, **labels) == [receiver]


@pytest.mark.parametrize("priority", ROUTES)
@pytest.mark.parametrize("severity", ["critical", "warning", "info"])
def test_the_priority_decides_and_not_the_severity(priority, severity, config, settings):
    found = receivers(config, alertname="Any", priority=priority, severity=severity)
    assert found == [expected(priority, settings).receiver]


@pytest.mark.parametrize("labels", [{}, {"severity": "warning"}, {"priority": "P9"}, {"priority": "p3"}])
def test_an_alert_of_unknown_priority_is_told_as_p1_is(labels, config, settings):
    assert receivers(config, alertname="Any", **labels) == [expected(None, settings).receiver] == ["p1"]


def test_the_watchdog_is_the_heartbeat_whatever_priority_it_has(config):
    assert receivers(config, alertname=WATCHDOG, priority="P0") == [HEARTBEAT]
