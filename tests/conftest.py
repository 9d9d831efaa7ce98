"""What the tests share: settings without secrets, the recorded platform, and words to read manifests with."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import hypothesis
import pytest
from pulumi.runtime import config
from pulumi.runtime import settings as runtime

from infra.environments.preview.stack_preview import Rendered, rendered_from
from infra.environments.recording import Recording, record_platform
from infra.settings import Settings
from infra.settings_reading import parse, placeholder_secrets

STACKS = ("local", "dev", "prod")
NAME = "app.kubernetes.io/name"
Manifest = Mapping[str, Any]
# What a stack may have and prod has not, all of it at once, since nothing of it is about the rest.
EXTENDED: Mapping[str, Any] = {
    "recovery": "2026-01-31T02:00:00Z",
    "edge": {"tls_secret": "wildcard"},
    "logging": {"snapshots": {"access_key": "[secret]", "secret_key": "[secret]", "endpoint": "s3.example.com"}},
    "backup": {
        "storage": "s3-compatible", "identity_provider": None, "replica_region": None, "access_key": "key",
        "secret_key": "secret", "endpoint": "https://storage.example.com:9000", "endpoint_authority": "PEM",
        "objectives": {"rpo": 120},
    },
    "notifications": {
        "heartbeat_url": "https://heartbeat.example.com/token1",
        "webhook_url": "https://responder.example.com/token2",
        "slack_token": "xoxb-token3",
        "mail": {
            "host": "mail.example.com", "port": 587, "sender": "a@example.com",
            "recipients": ["b@example.com", "c@example.com"], "username": "ops", "password": "mail-secret",
        },
    },
    "incidents": {
        "heartbeat_url": "https://heartbeat.example.com/token",
        "status_page": {"page": "page1", "token": "page-secret"},
    },
}  # fmt: skip
# How long an example takes says how busy the computer is.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The engine's first: where two files run side by side, the longest must not be the last."""
    items.sort(key=lambda item: item.path.parent.name != "engine")


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays: no search for garbage needs to pass through it."""
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_engine() -> Iterator[None]:
    """Every test has an event loop of its own, and finds no monitor, output or configuration of another test."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    forget()
    yield
    forget()
    asyncio.set_event_loop(None)
    loop.close()


def forget() -> None:
    """Pulumi's settings look like context variables, but what a context sets first is every other one's default."""
    runtime.Settings(project="project", stack="stack")
    runtime.ROOT.set(None)
    contextvars.Context().run(lambda: config.CONFIG.get().clear())


def settings_of(stack: str = "prod", **overrides: Any) -> Settings:
    """The settings of a stack, with placeholders for secrets; overrides are nested as in the stack file."""
    values = {"environment": stack, "secrets": placeholder_secrets(), **overrides}
    return parse(values, file=f"Pulumi.{stack}.yaml")


def platform_of(stack: str, **overrides: Any) -> Recording:
    """What a stack declares with these overrides, for tests that only look."""
    return _recorded(settings_of(stack, **overrides), stack) if overrides else _as_it_is(stack)


@functools.cache
def _as_it_is(stack: str) -> Recording:
    """Without its settings being read again for each of thousands of tests."""
    return _recorded(settings_of(stack), stack)


@functools.cache
def _recorded(settings: Settings, stack: str) -> Recording:
    """Once for all tests of a process: each recording takes seconds."""
    return record_platform(settings, stack=stack)


def rendered_of(stack: str, **overrides: Any) -> Rendered:
    """The same as a preview has it."""
    return rendered_from(platform_of(stack, **overrides), stack, settings_of(stack, **overrides))


@pytest.fixture
def settings() -> Callable[..., Settings]:
    """`settings_of`, for a test that takes settings as its subject."""
    return settings_of


@pytest.fixture(scope="session")
def platform() -> Recording:
    """What prod declares."""
    return platform_of("prod")


@pytest.fixture(scope="session")
def extended() -> Recording:
    """What prod declares with all of `EXTENDED`."""
    return platform_of("prod", **EXTENDED)


@pytest.fixture(scope="session", params=STACKS)
def each_platform(request: pytest.FixtureRequest) -> Recording:
    """What each stack declares."""
    return platform_of(request.param)


def pod_of(workload: Manifest) -> Manifest:
    """The pod specification of a Deployment or StatefulSet."""
    return workload["spec"]["template"]["spec"]


def container_of(workload: Manifest) -> Manifest:
    """The container that the pod is about; others only serve it."""
    container: Manifest = pod_of(workload)["containers"][0]
    return container


def workloads(platform: Recording) -> dict[str, Manifest]:
    """All controllers of pods, by name."""
    return {each["metadata"]["name"]: each for each in platform.manifests() if "template" in each.get("spec", {})}


def jobs(platform: Recording) -> dict[str, Manifest]:
    """What each CronJob makes when its time has come, by name."""
    made = platform.all("batch/v1:CronJob")
    return {each.inputs["metadata"]["name"]: each.inputs["spec"]["jobTemplate"] for each in made}


def everything_that_runs(platform: Recording) -> dict[str, Manifest]:
    """What has a pod's template: controllers, and what CronJobs make; by name."""
    return workloads(platform) | jobs(platform)


def directives(text: str, separator: str = " ") -> dict[str, str]:
    """A configuration file of one `name value` a line."""
    pairs = (line.partition(separator) for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def peers(policy: Manifest) -> set[str]:
    """Who may connect (an ingress policy), or to whom its pods may (an egress policy)."""
    rules = [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
    return {peer_name(peer) for rule in rules for peer in (*rule.get("from", []), *rule.get("to", []))}


def peer_name(peer: Manifest) -> str:
    """`pod`, `namespace/`, `namespace/pod`, or an address range."""
    if "ipBlock" in peer:
        return str(peer["ipBlock"]["cidr"])
    namespace = peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name")
    labels = peer.get("podSelector", {}).get("matchLabels", {})
    pod = labels.get(NAME) or labels.get("k8s-app", "")
    return f"{namespace}/{pod}" if namespace else str(pod)
