"""100,000 lines of the real service, and whatever else a pod may write, into a real engine: none is refused."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from infra.environments.sizing import EXPANSION
from modelcard_ops.logs.schema import CATCH_ALL, FIELDS, LONGEST_KEYWORD
from tests.app.conftest import postgres, redis_server, service, users
from tests.logs.lines import FOREIGN, real_lines, shipped
from tests.logs.opensearch import OpenSearch

__all__ = ["postgres", "redis_server", "service", "users"]  # fixtures
COUNT = 100_000
EVERYTHING: dict[str, Any] = {"match_all": {}}
# ECS type to what OpenSearch calls it.
SAME = {"keyword": "keyword", "text": "match_only_text", "long": "long", "date": "date", "seconds": "long"}


@dataclass
class Sent:
    """What was written: streams of all lines, what the engine answered that is not 201, and bytes of all lines."""

    streams: Counter[str]
    refused: list[dict[str, Any]]
    size: int


@pytest.fixture(scope="module")
def sent(applied, search) -> Sent:
    lines = [(stream, line.decode().rstrip("\n")) for stream, line in real_lines(COUNT)]
    refused = search.bulk(shipped(lines))
    size = sum(len(line) for _, line in lines)
    search.client.post("/logs-modelcard.*/_refresh")
    return Sent(streams=Counter(stream for stream, _ in lines), refused=refused, size=size)


def found(
    search: OpenSearch, stream: str, query: dict[str, Any] = EVERYTHING, *, pod: str = "pod-1", **body: Any
) -> list[dict[str, Any]]:
    hits = search.search(f"logs-modelcard.{stream}-test", of_pod(query, pod), **body)["hits"]["hits"]
    return [each["_source"] for each in hits]


def how_many(search: OpenSearch, stream: str, query: dict[str, Any] = EVERYTHING, *, pod: str = "pod-1") -> int:
    hits = search.search(f"logs-modelcard.{stream}-test", of_pod(query, pod), size=0)["hits"]
    return int(hits["total"]["value"])


def of_pod(query: dict[str, Any], pod: str) -> dict[str, Any]:
    """Tests share the streams, so that each looks at what it sent."""
    return {"bool": {"filter": [{"term": {"kubernetes.pod.name": pod}}, query]}}


def test_every_line_is_there_once_and_none_was_refused(sent, search):
    assert sent.refused == []
    assert sum(sent.streams.values()) == COUNT
    query = {"exists": {"field": "http.request.id"}}
    assert {stream: how_many(search, stream, query) for stream in sent.streams} == sent.streams


def test_each_field_has_the_type_that_the_template_says(sent, search):
    wrong = []
    for stream in sent.streams:
        mapped = search.client.get(f"/logs-modelcard.{stream}-test/_field_caps?fields=*").json()["fields"]
        wrong += [(stream, each.ecs) for each in FIELDS if list(mapped.get(each.ecs, {})) != [SAME[each.kind]]]
    assert wrong == []


def test_what_people_look_for_is_found(sent, search):
    errors = how_many(search, "app", {"bool": {"filter": [{"term": {"log.level": "ERROR"}}]}})
    assert errors == COUNT // 20 + COUNT // 20_000
    failed = {"range": {"http.response.status_code": {"gte": 500}}}
    assert how_many(search, "app", failed) > COUNT / 20
    slow = {"range": {"event.duration": {"gt": 1_000_000_000}}}
    assert 0 < how_many(search, "app", slow) < COUNT / 10
    assert how_many(search, "audit", {"term": {"user.id": "user-0"}}) > 0
    assert how_many(search, "security", {"term": {"event.action": "failed_login"}}) == COUNT // 20
    traceback = {"match_phrase": {"error.stack_trace": "raise ValueError"}}
    assert how_many(search, "app", traceback) == COUNT // 20


def test_a_duration_is_in_nanoseconds(sent, search):
    query = {"bool": {"filter": [{"term": {"modelcard.query_name": "cards_of_user"}}]}}
    (one,) = found(search, "app", {"bool": {"must": [query, {"term": {"http.request.id": f"{25:032x}"}}]}})
    assert one["event"]["duration"] == round(25 / 7 * 1e9)


def test_a_clock_that_is_off_is_kept_beside_the_time_of_the_node(sent, search):
    (off,) = found(search, "app", {"range": {"@timestamp": {"lt": "1971-01-01"}}}, size=1)
    assert off["event"]["created"].startswith("2026-11-25T10:")
    assert how_many(search, "app", {"range": {"@timestamp": {"gt": "2027-06-01"}}}) > 0


def test_a_message_of_a_megabyte_is_kept_whole(sent, search):
    (long,) = found(search, "app", {"exists": {"field": "modelcard.stack"}}, size=1)
    assert long["message"] == "x" * 1_000_000


def test_what_nobody_foresaw_is_in_the_catch_all_and_can_be_found(sent, search):
    assert how_many(search, "app", {"term": {f"{CATCH_ALL}.status": "no number"}}) == COUNT // 20
    (one,) = found(search, "app", {"term": {f"{CATCH_ALL}.nobody.knows.this": "6"}}, size=1)
    assert one["modelcard"]["unmapped"] == {"status": "no number", "nobody": {"knows": ["1", {"this": "6"}]}}


def test_a_second_copy_of_a_line_is_recognised(sent, search):
    lines = [(stream, line.decode().rstrip("\n")) for stream, line in real_lines(1000)]
    copies = list(shipped(lines, pod="pod-2"))
    assert search.bulk(copies) == []
    before = {stream: search.count(f"logs-modelcard.{stream}-test") for stream in sent.streams}
    assert [each["status"] for each in search.bulk(copies)] == [409] * 1000
    assert {stream: search.count(f"logs-modelcard.{stream}-test") for stream in sent.streams} == before


def test_what_a_pod_of_ours_never_wrote_is_kept_as_well(applied, search):
    documents = list(shipped([("app", line) for line in FOREIGN], pod="foreign"))
    assert search.bulk(documents) == []
    search.count("logs-modelcard.app-test")
    kept = {each["log"]["offset"]: each for each in found(search, "app", pod="foreign", size=100)}
    assert len(kept) == len(FOREIGN)
    unreadable = [line for line in FOREIGN if not _is_record(line)]
    for _, _, document in documents:
        if document["message"] in unreadable:
            assert kept[document["log"]["offset"]]["message"] == document["message"]


def _is_record(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        # What comes after an object, OpenSearch's parser does not see; Elasticsearch's is strict.
        return line.startswith('{"message":"whole"}')


def test_a_pod_cannot_say_that_it_is_another(applied, search):
    claim = {"kubernetes": {"pod": {"name": "somebody-else"}}, "@timestamp": "2000-01-01T00:00:00Z", "tags": ["x"]}
    forged = json.dumps({**claim, "message": "it"})
    assert search.bulk(shipped([("app", forged)], pod="forger")) == []
    search.count("logs-modelcard.app-test")
    (kept,) = found(search, "app", pod="forger")
    assert kept["modelcard"]["unmapped"]["kubernetes"] == {"pod": {"name": "somebody-else"}}
    assert kept["@timestamp"].startswith("2026-11-25")


def test_what_shippers_add_does_not_matter(applied, search):
    ((stream, identity, document),) = shipped([("app", "plain")], pod="chatty")
    document |= {"agent": {"name": "x", "id": "y"}, "@version": "1", "log": {**document["log"], "flags": ["multiline"]}}
    assert search.bulk([(stream, identity, document)]) == []
    search.count("logs-modelcard.app-test")
    (kept,) = found(search, "app", pod="chatty")
    unmapped = {"agent.name": "x", "agent.id": "y", "@version": "1", "log.flags": ["multiline"]}
    assert kept["modelcard"]["unmapped"] == unmapped


def test_a_long_keyword_is_kept_and_not_searched(applied, search):
    line = json.dumps({"message": "long", "user_id": "u" * 40_000})
    assert search.bulk(shipped([("app", line)], pod="long")) == []
    search.count("logs-modelcard.app-test")
    (kept,) = found(search, "app", pod="long")
    assert len(kept["user"]["id"]) == 40_000 > LONGEST_KEYWORD


def test_the_service_itself_writes_nothing_that_is_not_mapped(service, users, applied, search):
    alice, bob = users
    created = alice.post("/cards", json={"format": "huggingface"})
    for answer in (
        created,
        alice.get("/cards"),
        bob.get("/nowhere"),
        alice.get("/cards", headers={"Authorization": "x"}),
    ):
        assert answer.status_code
    lines = [line for line in service.stdout.read_text().splitlines() if line]
    assert len(lines) > 4
    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert search.bulk(shipped([(each.get("log", "app"), json.dumps(each)) for each in records], pod="service")) == []
    search.client.post("/logs-modelcard.*/_refresh")
    streams = ("app", "audit", "security")
    assert sum(how_many(search, stream, pod="service") for stream in streams) == len(records)
    unmapped = {"exists": {"field": CATCH_ALL}}
    assert [how_many(search, stream, unmapped, pod="service") for stream in streams] == [0, 0, 0]


def test_the_sizing_formula_knows_what_a_line_takes_on_disk(sent, search):
    search.client.post("/logs-modelcard.*/_forcemerge?max_num_segments=1&flush=true", timeout=120)
    stats = search.client.get("/logs-modelcard.*/_stats/store,docs").json()["_all"]["primaries"]
    ratio = stats["store"]["size_in_bytes"] / sent.size
    assert EXPANSION / 2 < ratio < EXPANSION
