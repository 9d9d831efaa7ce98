"""What users get, by HTTP, from the service as it runs in a pod."""

import re
import uuid

import httpx
import pytest

from modelcard_generator.cards.formats import FORMATS, TEMPLATES
from tests.app.service import description


def sections(answer: httpx.Response) -> set[str]:
    return set(answer.json()["errors"])


@pytest.mark.parametrize("format_type", FORMATS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_card_is_created_and_read_in_every_output(users, format_type, template):
    alice, _ = users
    request = description(format_type, template)

    created = alice.post("/cards", json=request)

    assert (created.status_code, created.json()["format"], created.json()["template"]) == (201, format_type, template)
    url = created.headers["location"]
    markdown, page, data = (alice.get(url, params={"output": output}) for output in ("markdown", "html", "json"))
    assert markdown.text == created.json()["content"]
    assert page.text.startswith("<!DOCTYPE html>")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert data.json().items() >= {}.items()
    assert [each.headers["content-type"].partition(";")[0] for each in (markdown, page, data)] == [
        "text/markdown", "text/html", "application/json",
    ]  # fmt: skip


def test_pages_of_cards_hold_each_card_once_newest_first(users):
    _, bob = users
    created = [bob.post("/cards", json=description()).json()["id"] for _ in range(5)]

    listed, after = [], None
    while True:
        page = bob.get("/cards", params={"limit": 2, **({"after": after} if after else {})}).json()
        listed += [card["id"] for card in page["cards"]]
        after = page["next"]
        if after is None:
            break

    assert listed[:5] == created[::-1]
    assert len(set(listed)) == len(listed)


def test_a_deleted_card_is_gone_from_everywhere(users):
    alice, _ = users
    card = alice.post("/cards", json=description()).json()["id"]
    assert alice.get(f"/cards/{card}").status_code == 200

    assert alice.delete(f"/cards/{card}").status_code == 204

    assert alice.get(f"/cards/{card}").status_code == 404
    assert card not in {each["id"] for each in alice.get("/cards?limit=100").json()["cards"]}


def test_a_file_comes_back_as_it_went_and_is_never_shown_in_place(users, service):
    alice, _ = users
    card = alice.post("/cards", json=description()).json()["id"]
    content = bytes(range(256)) * 9000

    created = alice.post(
        f"/cards/{card}/files", params={"name": "Bericht ä.pdf"}, content=content, headers={"Content-Type": "text/html"}
    )

    assert (created.status_code, created.json()["size"]) == (201, len(content))
    fetched = alice.get(created.headers["location"])
    assert fetched.content == content
    assert fetched.headers["content-disposition"].startswith("attachment")
    assert alice.get(f"/cards/{card}/files").json() == [created.json()]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "a/b", "a\\b", "a\0b", "a\nb", "", "x" * 201, "\u202egpj.exe"]
)
def test_a_file_name_that_is_a_path_is_refused_and_nothing_is_stored(users, service, name):
    alice, _ = users
    card = alice.post("/cards", json=description()).json()["id"]
    before = {path for path in service.uploads.rglob("*") if path.is_file()}

    answer = alice.post(f"/cards/{card}/files", params={"name": name}, content=b"x")

    assert (answer.status_code, answer.json()["title"]) == (422, "Invalid input")
    assert {path for path in service.uploads.rglob("*") if path.is_file()} == before
    assert alice.get(f"/cards/{card}/files").json() == []


def test_what_belongs_to_somebody_else_is_refused_and_noted(users, service):
    alice, bob = users
    card = alice.post("/cards", json=description()).json()["id"]
    file = alice.post(f"/cards/{card}/files", params={"name": "a"}, content=b"x").json()["id"]

    answers = [
        bob.get(f"/cards/{card}"), bob.delete(f"/cards/{card}"), bob.get(f"/files/{file}"),
        bob.get(f"/cards/{card}/files"), bob.post(f"/cards/{card}/files", params={"name": "a"}, content=b"x"),
    ]  # fmt: skip

    assert [answer.status_code for answer in answers] == [403] * 5
    assert alice.get(f"/cards/{card}").status_code == 200
    noted = (service.logs / "security.log").read_text()
    assert noted.count(f'"{answers[0].headers["x-request-id"]}"') == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer mcg_wrong"}, {"Authorization": "Basic YTpi"}])
def test_without_a_valid_token_nothing_is_answered_and_the_failure_is_noted(service, headers):
    answer = httpx.get(f"{service.address}/cards", headers=headers)

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    noted = (service.logs / "security.log").read_text().splitlines()
    (line,) = [line for line in noted if answer.headers["x-request-id"] in line]
    assert '"event_type":"failed_login"' in line
    assert "mcg_wrong" not in line


def test_a_revoked_token_opens_nothing(service):
    client = service.user("carol")
    service.operate("revoke", "carol")
    assert client.get("/cards").status_code == 401


def test_a_card_leaves_one_line_in_the_audit_log_with_user_request_and_card(users, service):
    alice, _ = users
    answer = alice.post("/cards", json=description(), headers={"X-Request-ID": "audit-me.1"})

    assert answer.headers["x-request-id"] == "audit-me.1"
    (line,) = [line for line in (service.logs / "audit.log").read_text().splitlines() if '"audit-me.1"' in line]
    for part in ('"user_id":"alice"', f'"card_id":"{answer.json()["id"]}"', '"event_type":"card_generation"'):
        assert part in line


@pytest.mark.parametrize("sent", ["a b", "x" * 200, "ä", "<script>"])
def test_an_odd_request_id_is_replaced(service, sent):
    answer = httpx.get(f"{service.address}/health", headers={"X-Request-ID": sent.encode()})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_mistakes_are_told_by_section(users):
    alice, _ = users
    request = description("google")
    request["description"] = {**request["description"], "model_details": {}, "surprise": 1}

    answer = alice.post("/cards", json=request)

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert "model_details" in sections(answer)


HOSTILE = {
    "not json": b"{",
    "nothing": b"",
    "invalid UTF-8": b'{"format": "google", "template": "\xff\xfe"}',
    "10 MB of nesting": b"[" * 5_000_000 + b"]" * 5_000_000,
    "nesting within the limit": b'{"format":"google","description":' + b"[" * 400_000 + b"]" * 400_000 + b"}",
    "a list": b"[]",
    "an unknown format": b'{"format": "pdf", "description": {}}',
    "NUL": b'{"format": "google", "template": "standard\\u0000", "description": {}}',
    "a lone surrogate": b'{"format": "google", "description": {"model_details": {"name": "\\ud800"}}}',
    "template": b'{"format": "google", "description": {"model_details": {"name": "{{ 7 * 7 }}"}}}',
    "a huge number": b'{"format": "google", "description": ' + b"9" * 100_000 + b"}",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_input_is_refused_in_one_sentence_and_nothing_is_stored(users, service, body):
    alice, _ = users
    before = alice.get("/cards?limit=1").json()

    answer = alice.post("/cards", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in {413, 422}
    detail = answer.json()["detail"]
    assert 10 < len(detail) < 300
    assert "\n" not in detail
    assert alice.get("/cards?limit=1").json() == before
    assert answer.headers["x-request-id"] in (service.logs / "security.log").read_text()


@pytest.mark.parametrize(
    "path", ["/cards/..%2f..%2fetc", f"/cards/{uuid.UUID(int=1)}x", "/files/none", "/cards?limit=0", "/cards?after=%00"]
)
def test_parameters_that_cannot_be_are_refused(users, path):
    alice, _ = users
    assert alice.get(path).status_code in {404, 422}


def test_what_is_not_there_is_not_found(users):
    alice, _ = users
    answers = [alice.get(path) for path in (f"/cards/{uuid.uuid4()}", f"/files/{uuid.uuid4()}", "/nothing")]
    assert [(answer.status_code, answer.headers["content-type"]) for answer in answers] == [
        (404, "application/problem+json")
    ] * 3


def test_metrics_name_routes_and_never_paths(users, service):
    alice, _ = users
    card = alice.post("/cards", json=description()).json()["id"]
    before = service.metric("http_requests_total", method="GET", endpoint="/cards/{card_id}", status="200")

    alice.get(f"/cards/{card}")
    alice.get("/nothing/like/this")

    assert service.metric("http_requests_total", method="GET", endpoint="/cards/{card_id}", status="200") == before + 1
    exposed = httpx.get(f"{service.address}/metrics").text
    assert (card in exposed, "/nothing" in exposed) == (False, False)


def test_active_users_are_counted_once_over_all_workers(users, service):
    for _ in range(20):
        for user in users:
            user.get("/cards?limit=1")
    from tests.app.servers import eventually

    eventually(lambda: service.metric("modelcard_active_users") >= 2, within=15)
    assert service.metric("modelcard_active_users") <= 3


def test_health_carries_the_whole_report(service):
    answer = httpx.get(f"{service.address}/health")
    assert answer.status_code == 200
    assert set(answer.json()["checks"]) == {"database", "redis", "external_apis", "disk_space", "memory", "templates"}


def test_every_line_of_output_is_a_record(users, service):
    alice, _ = users
    alice.get("/cards")
    assert {record["level"] for record in service.records()} <= {"INFO", "WARNING"}
