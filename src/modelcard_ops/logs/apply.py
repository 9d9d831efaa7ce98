"""Tells Elasticsearch and Kibana what we log. Every step may be done again: what is there already stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from modelcard_ops.errors import UserError
from modelcard_ops.logs import ingest, streams
from modelcard_ops.logs.saved_objects import as_lines, saved_objects
from modelcard_ops.logs.streams import Retention

PATIENCE = 300  # seconds for a server to come up: a first start makes its indices
REQUEST = httpx.Timeout(60, connect=5)
# An answer that a server gives while it starts, or while its own users are not there yet.
NOT_YET = frozenset({429, 502, 503, 504})
Say = Callable[[str], None]


class NotYetError(Exception):
    """What was asked may answer better in a while."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is set up, for which stack, and by which passwords (user to password)."""

    stack: str
    retention: Retention
    passwords: Mapping[str, str]
    bucket: str | None


@dataclass(frozen=True, kw_only=True)
class Clients:
    """Elasticsearch and Kibana as the superuser of the setup, and Elasticsearch as the user who takes snapshots."""

    elasticsearch: httpx.Client
    kibana: httpx.Client
    snapshots: httpx.Client


def apply(target: Target, clients: Clients, say: Say, *, patience: float = PATIENCE) -> None:
    """Everything, in the order in which one thing needs another. Raises `UserError` at the first that is refused."""
    search = clients.elasticsearch
    wait_for(search, "/_cluster/health?wait_for_status=yellow&timeout=30s", "Elasticsearch", patience=patience)
    # Its password is what Kibana waits for.
    _users(target, search, say)
    put(search, f"/_ingest/pipeline/{ingest.NAME}", ingest.pipeline())
    put(search, f"/_component_template/{streams.SETTINGS}", streams.settings())
    _policies(target, search, say)
    _streams(target, search, say)
    if target.bucket is not None:
        put(search, f"/_snapshot/{streams.REPOSITORY}", streams.repository(target.bucket, target.stack))
        policy = streams.snapshot_policy(target.retention)
        put(clients.snapshots, f"/_slm/policy/{streams.SNAPSHOTS}", policy)
        say(f"snapshots go to {target.bucket}, every night")
    wait_for(clients.kibana, "/api/status", "Kibana", patience=patience)
    _saved_objects(clients.kibana, say)


def wait_for(client: httpx.Client, path: str, name: str, *, patience: float) -> None:
    """Until the server answers well."""

    def ask() -> None:
        answer = client.get(path)
        if answer.status_code in NOT_YET or answer.status_code == httpx.codes.REQUEST_TIMEOUT:
            raise NotYetError(f"{answer.status_code} {answer.text[:200]}")
        _accepted(answer)

    try:
        for attempt in Retrying(
            stop=stop_after_delay(patience),
            wait=wait_exponential(multiplier=0.5, max=10),
            retry=retry_if_exception_type((httpx.TransportError, NotYetError)),
            reraise=True,
        ):
            with attempt:
                ask()
    except (httpx.TransportError, NotYetError) as error:
        message = f"{client.base_url}: {name} is not well after {patience:.0f} s ({error}): see its pods"
        raise UserError(message) from error


def put(client: httpx.Client, path: str, body: Mapping[str, Any]) -> None:
    """Writes one thing, which then is as it says."""
    _accepted(_send(client, "PUT", path, json=body))


def _users(target: Target, search: httpx.Client, say: Say) -> None:
    for name, role in streams.ROLES.items():
        put(search, f"/_security/role/{name}", role)
    for name, granted in streams.USERS.items():
        put(search, f"/_security/user/{name}", {"password": target.passwords[name], "roles": [granted]})
    for name in streams.BUILT_IN:
        body = {"password": target.passwords[name]}
        _accepted(_send(search, "PUT", f"/_security/user/{name}/_password", json=body))
    say(f"{len(streams.ROLES)} roles, {len(streams.USERS) + len(streams.BUILT_IN)} users")


def _policies(target: Target, search: httpx.Client, say: Say) -> None:
    for name in streams.STREAMS:
        put(search, f"/_ilm/policy/modelcard-{name}", streams.lifecycle(target.retention.of(name)))
    kept = ", ".join(f"{name} {target.retention.of(name)} days" for name in streams.STREAMS)
    say(f"kept: {kept}")


def _streams(target: Target, search: httpx.Client, say: Say) -> None:
    path = f"/_component_template/{streams.MAPPINGS}"
    changed = _version(_send(search, "GET", path)) not in {None, streams.mappings()["_meta"]["version"]}
    put(search, path, streams.mappings())
    for name in streams.STREAMS:
        put(search, f"/_index_template/modelcard-{name}", streams.index_template(name))
        stream = streams.stream(name, target.stack)
        there = _send(search, "GET", f"/_data_stream/{stream}")
        if there.status_code == httpx.codes.NOT_FOUND:
            _accepted(_send(search, "PUT", f"/_data_stream/{stream}"))
            say(f"{stream}: made")
        elif _accepted(there) and changed:
            # An index keeps the fields that it was made with.
            _accepted(_send(search, "POST", f"/{stream}/_rollover"))
            say(f"{stream}: rolled over, for its fields have changed")
        else:
            say(f"{stream}: as it should be")


def _version(answer: httpx.Response) -> str | None:
    """Of the mappings that are there; None if there are none."""
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    (template,) = _accepted(answer).json()["component_templates"]
    return str(template["component_template"].get("_meta", {}).get("version"))


def _saved_objects(kibana: httpx.Client, say: Say) -> None:
    objects = saved_objects()
    answer = _send(
        kibana,
        "POST",
        "/api/saved_objects/_import?overwrite=true",
        headers={"kbn-xsrf": "true"},
        files={"file": ("modelcard.ndjson", as_lines(objects), "application/ndjson")},
    )
    outcome = _accepted(answer).json()
    if not outcome.get("success"):
        wrong = ", ".join(f"{each['type']} {each['id']}: {each['error']['type']}" for each in outcome.get("errors", []))
        raise UserError(f"{kibana.base_url}: saved objects were refused ({wrong}): see src/modelcard_ops/logs")
    say(f"{len(objects)} saved objects")


def _send(client: httpx.Client, method: str, path: str, **content: Any) -> httpx.Response:
    try:
        return client.request(method, path, **content)
    except httpx.TransportError as error:
        raise UserError(f"{client.base_url}: {method} {path.partition('?')[0]}: {error}: run the same again") from error


def _accepted(answer: httpx.Response) -> httpx.Response:
    """The answer, unless it says no. What was sent is not told: there may be a password in it."""
    if answer.is_success:
        return answer
    request = answer.request
    remedies: dict[int, str] = {
        httpx.codes.UNAUTHORIZED: "the password is of another rotation: run `mcenv up`",
        httpx.codes.FORBIDDEN: "this user may not do that",
    }
    remedy = remedies.get(answer.status_code, answer.text[:300])
    raise UserError(f"{request.method} {request.url.copy_with(query=None)}: {answer.status_code}: {remedy}")
