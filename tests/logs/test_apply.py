"""`mcops logs apply`: what it writes, that it may be done again, and what it says when it cannot be done."""

from __future__ import annotations

import base64

import httpx
import pytest
from typer.testing import CliRunner

from modelcard_ops.cli import app
from modelcard_ops.errors import UserError
from modelcard_ops.logs import streams
from modelcard_ops.logs.apply import apply
from modelcard_ops.logs.saved_objects import RECENT_ERRORS, SEARCHES
from modelcard_ops.logs.schema import CATCH_ALL, FIELDS
from tests.logs.conftest import TARGET, clients
from tests.logs.elasticsearch import KINDS, Stack, kind_of, known


@pytest.fixture
def again(applied, search):
    return Stack(search)


def plain(body):
    """A body as Elastic's types write it: without what says nothing, and with short forms written out."""
    if isinstance(body, dict):
        return {key: plain(value) for key, value in body.items() if value not in ({}, [], None)}
    if isinstance(body, list):
        return [plain(each) for each in body]
    return body


def missing(wanted, found, path=""):
    """What of a body did not come back."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if key in found:
                yield from missing(value, found[key], f"{path}.{key}")
            elif value not in ({}, [], None):
                yield f"{path}.{key}"
    elif isinstance(wanted, list) and isinstance(found, list):
        for position, (one, other) in enumerate(zip(wanted, found, strict=False)):
            yield from missing(one, other, f"{path}[{position}]")


def test_every_body_is_one_that_elasticsearch_knows(applied):
    bodies = [(path, body) for _, _, path, body in applied.written if kind_of(path) and body is not None]
    assert {kind_of(path) for path, _ in bodies} == set(KINDS.values())
    lost = [f"{path}{each}" for path, body in bodies for each in missing(body, known(kind_of(path), body))]
    assert lost == []


def test_the_types_do_notice_what_elasticsearch_does_not_know():
    policy = streams.lifecycle(7)
    policy["policy"]["phases"]["hot"]["actions"]["rollover"]["max_agee"] = "1d"
    assert list(missing(policy, known("lifecycle-policy", policy))) == [".policy.phases.hot.actions.rollover.max_agee"]


def test_done_again_it_changes_nothing(again, search):
    before = search.client.get("/_data_stream/logs-modelcard.*").json()
    told = []
    apply(TARGET, clients(again), told.append)
    assert search.client.get("/_data_stream/logs-modelcard.*").json() == before
    assert len([each for each in told if each.endswith("as it should be")]) == len(streams.STREAMS)


def test_new_fields_make_a_new_index(again, search, monkeypatch):
    from modelcard_ops.logs import schema

    def newest() -> str:
        (stream,) = search.client.get("/_data_stream/logs-modelcard.audit-test").json()["data_streams"]
        return stream["indices"][-1]["index_name"]

    before = newest()
    field = schema.Field(name="colour", ecs="modelcard.colour")
    monkeypatch.setattr(schema, "FIELDS", (*FIELDS, field))
    apply(TARGET, clients(again), lambda text: None)
    monkeypatch.undo()
    assert newest() != before
    mapping = search.client.get(f"/{newest()}/_mapping").json()[newest()]["mappings"]
    assert mapping["properties"]["modelcard"]["properties"]["colour"]["type"] == "keyword"
    apply(TARGET, clients(again), lambda text: None)


def test_snapshots_are_set_up_by_the_user_who_may_only_take_them(applied):
    (user,) = [user for user, _, path, _ in applied.written if path.startswith("/_slm/")]
    assert base64.b64decode(user.removeprefix("Basic ")).decode() == "log_snapshot:password-of-log_snapshot"


def test_without_a_bucket_there_are_no_snapshots(again):
    from dataclasses import replace

    apply(replace(TARGET, bucket=None), clients(again), lambda text: None)
    assert [path for _, _, path, _ in again.written if path.startswith(("/_slm", "/_snapshot"))] == []


def test_every_user_gets_his_password_and_one_role(applied):
    users = {
        path.rpartition("/")[2]: body for _, _, path, body in applied.written if path.startswith("/_security/user/")
    }
    assert {name: users[name]["roles"] for name in streams.USERS} == {
        name: [role] for name, role in streams.USERS.items()
    }
    assert users["_password"]["password"] == "password-of-kibana_system"


def test_roles_are_no_wider_than_what_they_are_for():
    writer, reader = streams.ROLES["modelcard_log_writer"], streams.ROLES["modelcard_log_reader"]
    assert writer["indices"][0]["privileges"] == ["create_doc", "auto_configure"]
    assert reader["indices"][0]["privileges"] == ["read", "view_index_metadata"]
    for name, role in streams.ROLES.items():
        privileges = {each for index in role["indices"] for each in index["privileges"]} | set(role["cluster"])
        assert privileges & {"all", "manage", "delete", "write", "superuser", "manage_security"} == set(), name


def test_saved_objects_lead_somewhere_and_ask_for_fields_that_there_are(applied):
    there = {(each["type"], each["id"]) for each in applied.imported}
    for each in applied.imported:
        assert {(ref["type"], ref["id"]) for ref in each["references"]} <= there
    assert ("search", RECENT_ERRORS) in there
    fields = {each.ecs for each in FIELDS} | {"kubernetes.pod.name", "error.message", CATCH_ALL}
    assert {column for search in SEARCHES for column in search.columns} <= fields


def test_it_waits_for_servers_that_are_starting(again, monkeypatch):
    monkeypatch.setattr("modelcard_ops.logs.apply.wait_exponential", lambda **_: lambda _: 0.0)
    again.failures = [
        httpx.ConnectError("refused"),
        httpx.Response(503, text="starting"),
        httpx.Response(408, text="red"),
    ]
    apply(TARGET, clients(again), lambda text: None)
    assert again.failures == []


def test_a_server_that_never_comes_is_said_in_one_line(again):
    again.failures = [httpx.ConnectError("refused")] * 1000
    with pytest.raises(UserError) as caught:
        apply(TARGET, clients(again), lambda text: None, patience=0)
    assert (
        str(caught.value) == "https://elasticsearch:9200: Elasticsearch is not well after 0 s (refused): see its pods"
    )


def test_a_refusal_says_what_to_do_and_no_password(again):
    url = "https://elasticsearch:9200/_cluster/health"
    again.failures = [httpx.Response(401, request=httpx.Request("GET", url), text="no")]
    with pytest.raises(UserError) as caught:
        apply(TARGET, clients(again), lambda text: None, patience=0)
    assert str(caught.value) == f"GET {url}: 401: the password is of another rotation: run `mcenv up`"


def test_kibana_that_refuses_is_said(again, search):
    class Refusing(Stack):
        def handle_request(self, request):
            if request.url.path.endswith("_import"):
                error = {"type": "search", "id": "x", "error": {"type": "missing_references"}}
                return httpx.Response(200, json={"success": False, "errors": [error]})
            return super().handle_request(request)

    refusing = Refusing(search)
    with pytest.raises(UserError, match="saved objects were refused .search x: missing_references."):
        apply(TARGET, clients(refusing), lambda text: None)


@pytest.mark.parametrize(
    ("lacks", "said"),
    [("passwords", "it must hold the password of the user"), ("authority", "authority's certificate")],
)
def test_what_the_job_lacks_is_said_without_a_traceback(tmp_path, lacks, said):
    for name in TARGET.passwords:
        (tmp_path / name).write_text("x")
    (tmp_path / "ca.crt").write_text("no certificate")
    passwords = tmp_path / "nowhere" if lacks == "passwords" else tmp_path
    retention = [f"--retention-{name}=7" for name in ("app", "audit", "security")]
    where = ["--elasticsearch=https://e:9200", "--kibana=https://k:5601", f"--authority={tmp_path}/ca.crt"]
    arguments = [*where, f"--passwords={passwords}", "--login=setup", "--stack=test", *retention]
    result = CliRunner().invoke(app, ["logs", "apply", *arguments])
    assert isinstance(result.exception, UserError)
    assert said in str(result.exception)
