"""The platform changes while it is used: nobody notices."""

from __future__ import annotations

import json
from collections import Counter

import httpx
import pytest

from infra.components import app
from infra.environments import secrets
from infra.environments.engine import DeploymentError
from tests.app.servers import eventually
from tests.app.service import description
from tests.e2e.entrance import Load, under_load
from tests.e2e.stack import Stack


def unnoticed(load: Load) -> bool:
    """Whether everything was answered, and enough was asked to tell."""
    assert load.failed == [], f"{len(load.failed)} of {load.sent} failed: {Counter(load.failed).most_common(5)}"
    return load.sent > 100


def evict(stack: Stack, space: str, pod: str) -> bool:
    """As a drain of its node does."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": space}}
    path = f"/api/v1/namespaces/{space}/pods/{pod}/eviction"
    return bool(stack.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body)))


def test_a_new_version_rolls_out(stack: Stack, user: httpx.Client) -> None:
    with under_load(user) as load:
        assert stack.up(app={"termination_grace": 46}).changed
    assert unnoticed(load)


def test_passwords_and_certificates_are_rotated(stack: Stack, user: httpx.Client) -> None:
    with under_load(user) as load:
        secrets.rotate(stack.space, stack.settings, authority=False)
        assert stack.up().changed
    assert unnoticed(load)


def test_pods_are_evicted_one_after_another(stack: Stack, user: httpx.Client) -> None:
    space = stack.namespaces["application"]
    selector = f"app.kubernetes.io/name={app.WORKLOAD.name}"
    with under_load(user) as load:
        for pod in stack.get("pods", space, "-l", selector):
            name = pod["metadata"]["name"]
            # Refused while it would leave too few.
            eventually(lambda name=name: evict(stack, space, name), within=180)
        stack.kubectl("-n", space, "rollout", "status", f"deployment/{app.WORKLOAD.name}", "--timeout=180s", within=200)
    assert unnoticed(load)


def test_an_image_that_does_not_start_leaves_the_old_pods_serving(stack: Stack, user: httpx.Client) -> None:
    with under_load(user) as load, pytest.raises(DeploymentError, match=app.WORKLOAD.name):
        stack.up(app={"image": str(stack.settings.database.image)}, rollout_deadline=60)
    assert unnoticed(load)
    stack.up()
    assert user.post("/cards", json=description()).status_code == 201
