"""A responder on a database of its own, with a clock that is wound by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.environments.secrets import generate
from modelcard_ops.incidents import webhook
from modelcard_ops.incidents.responder import Responder
from modelcard_ops.incidents.store import Store
from tests.conftest import settings_of
from tests.ops.incidents.parts import AUDIENCE, WoundClock, body


@dataclass(frozen=True)
class Files:
    """Of a server's TLS, as a stack issues it, and the secrets that come with it."""

    authority: Path
    certificate: Path
    key: Path
    secrets: dict[str, Any]


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    secrets = generate(settings_of("prod"), authority=None)
    texts = {
        "authority": secrets["authority"]["certificate"],
        "certificate": secrets["incidents_certificate"]["certificate"],
        "key": secrets["incidents_certificate"]["key"],
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return Files(**{name: folder / name for name in texts}, secrets=secrets)


@pytest.fixture
def clock() -> WoundClock:
    return WoundClock()


@pytest.fixture
def responder(tmp_path, clock):
    store = Store(tmp_path / "incidents.sqlite3")
    yield Responder(store, audience=AUDIENCE, clock=clock)
    store.close()


@pytest.fixture
def receive(responder):
    """Takes a message about these alerts."""

    def take(*alerts: dict[str, Any], **more: Any):
        return responder.receive(webhook.read(body(*alerts, **more)))

    return take


@pytest.fixture
def told(responder):
    """Targets of the messages of a kind that are in the outbox."""

    def targets(kind: str, field: str = "target") -> list[str]:
        rows = responder.store.all("SELECT sink, target, message FROM outbox ORDER BY id")
        return [row[field] for row in rows if json.loads(row["message"])["kind"] == kind]

    return targets
