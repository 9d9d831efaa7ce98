"""Requests are counted by route, and nobody outside can make up a label."""

import asyncio

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Mount, Route

from modelcard_generator.monitoring import metrics
from modelcard_generator.monitoring.middleware import RequestMetrics, expect_routes
from tests.app.test_metrics import value

router = APIRouter(prefix="/cards")


@router.get("/{card_id}", responses={401: {"description": "…"}})
async def read(card_id: int) -> dict[str, int]:
    return {"id": card_id}


@router.post("", status_code=201)
async def create() -> None:
    return None


@router.get("/broken/now")
async def broken() -> None:
    raise ValueError


@router.get("/slow/after")
async def background(tasks: BackgroundTasks) -> None:
    tasks.add_task(asyncio.sleep, 0.2)


@router.get("/broken/midway")
async def midway() -> StreamingResponse:
    async def parts():
        yield b"x"
        raise ValueError

    return StreamingResponse(parts())


async def plain(request: Request) -> PlainTextResponse:
    return PlainTextResponse("x")


router.add_route("/plain/{name}", plain)
api = FastAPI()
for version in ("v1", "v2"):
    api.include_router(router, prefix=f"/{version}")
api.add_route("/plain/{name}", plain)
api.mount("/mounted", PlainTextResponse("x"))


def counted():
    """How often each method, endpoint and status was counted; those that were not are left out."""
    samples = metrics.http_requests_total.collect()[0].samples
    return {tuple(each.labels[name] for name in ("method", "endpoint", "status")): each.value for each in samples}


def after(*requests, app=api):
    """What the requests (method, path) added to the counters."""

    async def ask():
        transport = httpx.ASGITransport(RequestMetrics(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            for method, path in requests:
                await client.request(method, path)

    before = counted()
    asyncio.run(ask())
    return {key: count - before.get(key, 0) for key, count in counted().items() if count != before.get(key, 0)}


def asked_by_hand(app, *received, method="GET", **options):
    """What one request adds when the server hands over these messages; and what the application raised."""

    async def receive():
        return messages.pop(0)

    async def send(message):
        pass

    messages = list(received)
    before, raised = counted(), None
    try:
        asyncio.run(RequestMetrics(app, **options)({"type": "http", "method": method, "path": "/x"}, receive, send))
    except BaseException as error:  # noqa: BLE001 - returned
        raised = error
    return {key: count - before.get(key, 0) for key, count in counted().items() if count != before.get(key, 0)}, raised


@pytest.mark.parametrize(
    ("path", "endpoint", "status"),
    [
        ("/v1/cards/1", "/v1/cards/{card_id}", "200"),
        ("/v2/cards/1?x=1", "/v2/cards/{card_id}", "200"),
        ("/v1/cards/x", "/v1/cards/{card_id}", "422"),
        ("/v1/plain/7", "/v1/plain/{name}", "200"),
        ("/plain/7", "/plain/{name}", "200"),
        ("/openapi.json", "/openapi.json", "200"),
        ("/mounted/etc/passwd", "/mounted", "200"),
        ("/v1/cards/1/", "unmatched", "307"),
        ("/made/up", "unmatched", "404"),
        ("/v1/cards/broken/now", "/v1/cards/broken/now", "500"),
    ],
)
def test_the_endpoint_is_the_routes_template(path, endpoint, status):
    assert after(("GET", path)) == {("GET", endpoint, status): 1}


@pytest.mark.parametrize(
    ("path", "endpoint"), [("/cards/1", "/cards/{card_id}"), ("/files/1/x", "/files"), ("/other", "unmatched")]
)
def test_starlettes_own_routes_are_known_too(path, endpoint):
    app = Starlette(routes=[Route("/cards/{card_id}", plain), Mount("/files", PlainTextResponse("x"))])
    assert {each[1] for each in after(("GET", path), app=app)} == {endpoint}


def test_every_request_counts():
    assert after(*[("GET", f"/v1/cards/{number}") for number in range(20)], ("POST", "/v1/cards")) == {
        ("GET", "/v1/cards/{card_id}", "200"): 20,
        ("POST", "/v1/cards", "201"): 1,
    }


def test_made_up_methods_and_paths_make_two_series():
    after(("GET", "/made/up"), ("M0", "/made/up"))
    before = set(counted())
    assert after(*[(f"M{number}", f"/made/up/{number}") for number in range(50)]) == {("OTHER", "unmatched", "404"): 50}
    assert set(counted()) == before


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "M0"])
def test_methods_that_a_route_does_not_take_make_one_series(method):
    assert after((method, "/v1/cards")) == {("OTHER", "/v1/cards", "405"): 1}


def test_the_duration_ends_with_the_answer():
    labels = {"method": "GET", "endpoint": "/v1/cards/slow/after"}
    before = value(metrics.http_request_duration, "_sum", **labels)
    after(("GET", "/v1/cards/slow/after"))
    assert 0 < value(metrics.http_request_duration, "_sum", **labels) - before < 0.2


def test_an_answer_that_breaks_off_counts_as_what_it_began_as():
    assert after(("GET", "/v1/cards/broken/midway")) == {("GET", "/v1/cards/broken/midway", "200"): 1}


async def patient(scope, receive, send):
    """Reads the body before it answers, as every route with a body does."""
    if (await receive())["type"] == "http.disconnect":
        raise ClientDisconnect


async def answering(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
    await receive()


async def hanging(scope, receive, send):
    raise asyncio.CancelledError


async def silent(scope, receive, send):
    """Answers nothing, which servers turn into a 500."""


@pytest.mark.parametrize(
    ("app", "status", "raised"),
    [
        (patient, "499", ClientDisconnect),
        (answering, "200", type(None)),
        (hanging, "500", asyncio.CancelledError),
        (silent, "500", type(None)),
    ],
)
def test_how_a_request_without_an_answer_counts(app, status, raised):
    added, error = asked_by_hand(app, {"type": "http.disconnect"})
    assert (added, type(error)) == ({("GET", "unmatched", status): 1}, raised)


def test_a_client_that_left_is_no_error_though_the_framework_answers_one():
    async def posted(request):
        return PlainTextResponse(await request.body())

    app = Starlette(routes=[Route("/x", posted, methods=["POST"])])

    def whole(scope, receive, send):
        return app(scope | {"headers": [], "query_string": b"", "root_path": ""}, receive, send)

    added, error = asked_by_hand(whole, {"type": "http.disconnect"}, method="POST")
    assert (list(added), type(error)) == ([("POST", "unmatched", "499")], ClientDisconnect)


def test_what_is_done_is_told():
    told = []
    asked_by_hand(
        answering,
        {"type": "http.disconnect"},
        on_done=lambda scope, status, seconds: told.append((scope["path"], status, seconds > 0)),
    )
    assert told == [("/x", 200, True)]


def test_what_is_not_http_passes_through():
    async def lifespan(scope, receive, send):
        scope["seen"] = True

    scope = {"type": "lifespan"}
    asyncio.run(RequestMetrics(lifespan)(scope, None, None))
    assert scope["seen"]


def test_what_routes_may_answer_is_exposed_before_the_first_request():
    app = FastAPI(openapi_url=None, responses={403: {"description": "…"}, "4XX": {"description": "…"}})
    app.include_router(router, prefix="/expected")
    expect_routes(app)
    expected = {key[1:] for key in counted() if key[1].startswith("/expected") and key[0] == "GET"}
    assert {status for endpoint, status in expected if endpoint == "/expected/cards/{card_id}"} == {
        "200", "401", "403", "404", "422", "500", "503",
    }  # fmt: skip
    assert ("POST", "/expected/cards", "201") in counted()
    timed = {each.labels["endpoint"] for each in metrics.http_request_duration.collect()[0].samples}
    assert {endpoint for endpoint, _ in expected} <= timed
