"""A real Alertmanager, as prod declares it but for addresses and waits, delivers to the real responder."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import pytest

from infra.components.incidents import webhook
from infra.environments.secrets import generate
from infra.kube.identity import namespace_names
from tests.app.servers import eventually
from tests.conftest import settings_of
from tests.ops.incidents.parts import alert, body
from tests.ops.incidents.running import PATIENCE, TOKEN
from tests.ops.incidents.running import Running as Responder
from tests.promtool.test_delivery import Running as Alertmanager


@pytest.fixture(scope="module")
def delivering(tmp_path_factory):
    """Both, with the certificates and tokens of one stack."""
    folder = tmp_path_factory.mktemp("responder")
    settings = settings_of("prod")
    secrets = generate(settings, authority=None)
    files = SimpleNamespace(authority=folder / "ca", certificate=folder / "crt", key=folder / "key")
    files.authority.write_text(secrets["authority"]["certificate"])
    files.certificate.write_text(secrets["incidents_certificate"]["certificate"])
    files.key.write_text(secrets["incidents_certificate"]["key"])
    with contextlib.ExitStack() as stack:
        responder = Responder(folder, files, webhook_token=secrets["incidents_webhook_token"])
        stack.enter_context(contextlib.closing(responder))
        declared = webhook(namespace_names(settings)["observability"])
        alertmanager = Alertmanager(
            tmp_path_factory.mktemp("alertmanager"), secrets, addresses={declared: f"{responder.url}/alerts"}
        )
        stack.enter_context(contextlib.closing(alertmanager))
        # It asks Alertmanager of what looks like a replay.
        responder.kill()
        responder.environment |= {
            "MCOPS_RESPONDER_ALERTMANAGER_URL": str(alertmanager.client.base_url).partition("/api")[0],
            "MCOPS_RESPONDER_MONITORING_PASSWORD": secrets["monitoring_login"]["password"],
            "MCOPS_RESPONDER_AUTHORITY_FILE": str(files.authority),
        }
        responder.start()
        yield alertmanager, responder


def of(responder, name):
    return [each for each in responder.incidents(every="true") if each["title"].startswith(name)]


@pytest.mark.parametrize("priority", ["P0", "P1", "P2", "P3", None])
def test_every_alert_becomes_one_incident_of_its_priority(priority, delivering):
    alertmanager, responder = delivering
    name = f"Becomes{priority}"
    labels = {"priority": priority} if priority else {}
    alertmanager.post({"alertname": name, "pod": "a", **labels}, {"alertname": name, "pod": "b", **labels})
    eventually(lambda: of(responder, name), within=PATIENCE)
    assert [each["severity"] for each in of(responder, name)] == [priority or "P1"]


def test_the_end_of_an_alert_arrives_and_what_is_sent_again_then_is_a_replay(delivering):
    alertmanager, responder = delivering
    labels = {"alertname": "Ends", "priority": "P0"}
    alertmanager.post(labels)
    eventually(lambda: of(responder, "Ends"), within=PATIENCE)
    (message,) = alertmanager.until(lambda: alertmanager.told("Ends"))
    alertmanager.post(labels, ended=True)
    alertmanager.until(lambda: not alertmanager.known(**labels))
    (found,) = of(responder, "Ends")
    headers = {"Authorization": f"Bearer {TOKEN}"}
    # The groups of P0 are looked at each minute; what they will say is said here.
    (first,) = message["alerts"]
    end = {**first, "status": "resolved", "endsAt": "2099-01-01T00:00:00Z"}
    token = responder.environment["MCOPS_RESPONDER_WEBHOOK_TOKEN"]
    assert responder.webhook(_written({**message, "status": "resolved", "alerts": [end]}), token).status_code == 200
    replayed = responder.webhook(_written(message), token)
    assert (replayed.status_code, responder.security()[-1]["reason"]) == (409, "webhook: replayed")
    incident = responder.client.get(f"/api/incidents/{found['incident']}", headers=headers).json()
    assert incident["state"] == "monitoring"


def test_what_alertmanager_confirms_is_no_replay(delivering):
    alertmanager, responder = delivering
    alertmanager.post({"alertname": "Confirmed", "priority": "P0"})
    eventually(lambda: of(responder, "Confirmed"), within=PATIENCE)
    (message,) = alertmanager.until(lambda: alertmanager.told("Confirmed"))
    (first,) = message["alerts"]
    token = responder.environment["MCOPS_RESPONDER_WEBHOOK_TOKEN"]
    end = {**first, "status": "resolved", "endsAt": "2099-01-01T00:00:00Z"}
    responder.webhook(_written({**message, "status": "resolved", "alerts": [end]}), token)
    assert responder.webhook(_written(message), token).status_code == 200
    assert [each["state"] for each in of(responder, "Confirmed")] == ["investigating"]


def _written(message) -> bytes:

    return json.dumps(message).encode()


def test_these_messages_are_like_those_of_the_other_tests(delivering):
    alertmanager, responder = delivering
    alertmanager.post({"alertname": "Alike", "priority": "P0"})
    eventually(lambda: of(responder, "Alike"), within=PATIENCE)
    (message,) = alertmanager.until(lambda: alertmanager.told("Alike"))

    ours = json.loads(body(alert("Alike", 0, priority="P0")))
    assert set(ours) == set(message)
    assert set(ours["alerts"][0]) == set(message["alerts"][0])
