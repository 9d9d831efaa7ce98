"""What a record says, and where it goes."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
import sys
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest
import uvicorn.config
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from modelcard_generator.logging import config, context, plain, redaction, tracebacks

LOGGERS = (None, "audit", "security", "py.warnings", *config.UVICORN)
SWITCHES = ("logThreads", "logMultiprocessing", "logProcesses")
FIELDS = ["timestamp", "level", "logger", "message", "module", "function", "line"]


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """Puts the process' logging back as it was."""
    before = [
        (logger, logger.handlers[:], logger.level, logger.propagate) for logger in map(logging.getLogger, LOGGERS)
    ]
    switches = {name: getattr(logging, name) for name in SWITCHES}
    yield
    logging.captureWarnings(False)
    for logger, handlers, level, propagate in before:
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate, logger.disabled = propagate, False
    for name, value in switches.items():
        setattr(logging, name, value)


def record(extra=(), **attributes) -> logging.LogRecord:
    """Of a logger, with extra fields."""
    own = {
        "name": "root",
        "levelname": "INFO",
        "msg": "message",
        "module": "m",
        "funcName": "f",
        "created": time.time(),
    }
    return logging.makeLogRecord({**own, **attributes, **dict(extra)})


def parsed(lines: str | bytes) -> list[dict]:
    """JSON, one object a line, each ended by a newline."""
    parts = lines.splitlines(keepends=True) if isinstance(lines, bytes) else lines.encode().splitlines(keepends=True)
    assert all(part.endswith(b"\n") for part in parts)
    return [json.loads(part) for part in parts]


def formatted(**attributes) -> dict:
    (result,) = parsed(config.StructuredFormatter().line(record(**attributes)))
    return result


def raised(act: Callable[[], object]) -> BaseException:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - it is what the test is about
        return error
    raise AssertionError("it did not fail")


def test_a_record_has_the_seeds_fields():
    result = formatted(msg="%s is %d", args=("x", 3), name="cards", lineno=12, funcName="write")
    assert list(result) == FIELDS
    assert (result["level"], result["logger"], result["message"]) == ("INFO", "cards", "x is 3")
    assert (result["function"], result["line"]) == ("write", 12)


def test_format_gives_the_line_without_its_newline():
    one = record(msg="x")
    formatter = config.StructuredFormatter()
    assert formatter.format(one) + "\n" == formatter.line(one).decode()


def test_a_timestamp_is_utc_wherever_the_service_runs(monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        moment = datetime.fromisoformat(formatted()["timestamp"])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert moment.utcoffset() == timedelta(0)
    assert abs(moment - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.parametrize(("created", "expected"), [
    (0.0, "1970-01-01T00:00:00.000000+00:00"),
    (1700000000.25, "2023-11-14T22:13:20.250000+00:00"),
    (1700000000.0, "2023-11-14T22:13:20.000000+00:00"),
])  # fmt: skip
def test_a_timestamp_always_has_microseconds(created, expected):
    assert formatted(created=created)["timestamp"] == expected


@pytest.mark.parametrize("created", [float("nan"), float("inf"), -1e30, 1e18, None, "now"])
def test_a_record_without_a_time_gets_one(created):
    assert abs(datetime.fromisoformat(formatted(created=created)["timestamp"]) - datetime.now(UTC)).total_seconds() < 10


def test_an_exception_is_in_the_one_line():
    error = raised(lambda: 1 / 0)
    result = formatted(exc_info=(type(error), error, error.__traceback__))
    assert result["exception"].startswith("Traceback (most recent call last):\n")
    assert result["exception"].endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize("exc_info", [(1,), (1, 2, 3), True, "x"])
def test_what_is_no_exception_loses_no_record(exc_info):
    assert formatted(msg="kept", exc_info=exc_info)["message"] == "kept"


@pytest.mark.parametrize("exc_info", [None, (None, None, None)])
def test_no_exception_is_no_field(exc_info):
    assert "exception" not in formatted(exc_info=exc_info)


def test_what_another_process_wrote_of_its_exception_is_kept():
    assert formatted(exc_text="Traceback …")["exception"] == "Traceback …"


def test_a_stack_is_a_field():
    assert formatted(stack_info="Stack (most recent call last): …")["stack"].startswith("Stack")


def test_every_extra_field_is_written():
    extra = {"user_id": "ada", "status": 200, "none": None, "at": date(2024, 1, 2), "ids": {1}, "at_all": (1.5, True)}
    result = formatted(**extra)
    assert {name: result[name] for name in extra} == {**extra, "at": "2024-01-02", "ids": [1], "at_all": [1.5, True]}


def test_an_extra_field_forges_none_of_the_records_own():
    result = formatted(level="DEBUG", timestamp="never", logger="x", log="audit", function="f", line=0)
    assert (result["level"], result["extra_level"], result["extra_timestamp"]) == ("INFO", "DEBUG", "never")
    assert "log" not in result


class Unprintable:
    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


class BadFloat(float):
    def __float__(self):
        raise RuntimeError("no number")


CYCLE: list = []
CYCLE += [CYCLE] * 10


@pytest.mark.parametrize(("value", "expected"), [
    (b"\xff\x00a", "\\xff\x00a"),
    (2**64, "18446744073709551616"),
    pytest.param(10**5000, "<unprintable int>", id="int without a text"),
    (float("nan"), None),
    ("\udc80x", "\\udc80x"),
    ({"\ud800": 1, 2: "two"}, {"\\ud800": 1, "2": "two"}),
    (Unprintable(), "<unprintable Unprintable>"),
    ([Unprintable(), 2**70, uuid.UUID(int=0)], ["<unprintable Unprintable>", str(2**70), str(uuid.UUID(int=0))]),
    (MappingProxyType({"a": frozenset({1})}), {"a": [1]}),
    (Path("/a"), "/a"),
    (ValueError("x"), "x"),
])  # fmt: skip
def test_what_json_has_not_is_written_as_text(value, expected):
    assert formatted(value=value)["value"] == expected


@pytest.mark.parametrize("value", [CYCLE, {"self": CYCLE}, BadFloat(1), type("T", (), {})(), lambda: 1])
def test_what_has_no_end_or_no_form_loses_no_record(value):
    assert formatted(msg="kept", value=value)["message"] == "kept"


def test_a_value_that_is_very_deep_is_written():
    deep: object = "end"
    for _ in range(600):
        deep = [deep]
    assert "value" in formatted(value=deep)


@pytest.mark.parametrize(("msg", "args", "expected"), [
    ("%d items", ("many",), "%d items (arguments: ('many',))"),
    ("%s and %s", ("one",), "%s and %s (arguments: ('one',))"),
    ("100 %", ("x",), "100 % (arguments: ('x',))"),
    ("%s", (Unprintable(),), "%s (arguments: <unprintable tuple>)"),
    (Unprintable(), (), "<unprintable Unprintable>"),
    ({"a": 1}, (), "{'a': 1}"),
    ("100 %", (), "100 %"),
])  # fmt: skip
def test_arguments_that_do_not_fit_lose_no_message(msg, args, expected):
    assert formatted(msg=msg, args=args)["message"] == expected


def test_an_exception_without_words_loses_no_record():
    class WordlessError(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    error = raised(lambda: (_ for _ in ()).throw(WordlessError()))
    assert "Wordless" in formatted(exc_info=(type(error), error, error.__traceback__))["exception"]


@pytest.mark.parametrize("extra", [
    {"msg": "x" * 3_000_000},
    {"msg": "\x00" * 1_000_000},
    {"value": ["y" * 1000] * 3000},
    {"value": {str(number): "z" * 100_000 for number in range(50)}},
    {f"field{number}": "z" * 100_000 for number in range(50)},
    {"exc_text": "x" * 2_000_000},
    {f"field{number}": "\x00" * 10_000 for number in range(1000)},
    {"n" * 2_000_000: 1},
])  # fmt: skip
def test_a_long_record_is_cut_and_says_so(extra):
    line = config.StructuredFormatter().line(record(**{"msg": "begins", **extra}))
    (result,) = parsed(line)
    assert len(line) <= config.MAX_LINE
    assert result["truncated"] > config.MAX_LINE
    assert result["message"].startswith(str(extra.get("msg", "begins"))[:100])
    assert set(FIELDS) <= set(result)


def test_a_record_that_fits_is_whole():
    message = "x" * (config.MAX_LINE - 1000)
    assert formatted(msg=message)["message"] == message


ANY_TEXT = st.text(st.characters(exclude_categories=()))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ANYTHING = st.recursive(
    JSON | ANY_TEXT | st.binary() | st.integers() | st.floats() | st.complex_numbers() | st.datetimes() | st.uuids()
    | st.builds(Unprintable) | st.just(Unprintable) | st.sets(st.integers()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers() | ANY_TEXT, inner) | st.tuples(inner),
    max_leaves=8,
)  # fmt: skip


@given(message=ANY_TEXT)
def test_any_message_is_one_line_and_comes_back(message):
    assert formatted(msg=message)["message"] == redaction.redact_text(plain.text(message))


@given(
    extra=st.dictionaries(ANY_TEXT.filter(lambda name: name not in config.TAKEN), ANYTHING), args=st.tuples(ANYTHING)
)
def test_any_extra_is_one_line(extra, args):
    assert set(FIELDS) <= set(formatted(msg="%s", args=args))
    assert {plain.text(name) for name in extra} <= set(formatted(extra=extra))


@given(value=JSON)
def test_a_value_that_json_has_comes_back(value):
    if redaction.redact(value) == value:
        assert formatted(value=value)["value"] == value


def fall(depth: int) -> None:
    if depth:
        fall(depth - 1)
    raise ValueError("deep")


def fail_from(cause: BaseException | None) -> None:
    raise KeyError("x") from cause


def with_note() -> None:
    error = ValueError("x")
    error.add_note("a note")
    raise error


def fail_in_handler() -> None:
    try:
        fall(1)
    except ValueError:
        json.loads("{")


@pytest.mark.parametrize("act", [
    lambda: fall(0), lambda: fall(2), lambda: fall(3), lambda: fall(4), lambda: fall(5), lambda: fall(300), with_note,
    fail_in_handler, lambda: fail_from(ValueError("y")),
    lambda: fail_from(None), lambda: compile("a b", "x", "exec"), lambda: sys.exit(3),
    lambda: (_ for _ in ()).throw(ExceptionGroup("g", [ValueError("x"), KeyError("y")])),
])  # fmt: skip
def test_a_traceback_reads_like_the_standard_librarys(act):
    for _ in range(2):  # what is remembered the second time is the same
        error = raised(act)
        assert tracebacks.format_exception(error) == "".join(traceback.format_exception(error)).removesuffix("\n")


def test_an_exception_that_was_not_raised_is_written():
    assert tracebacks.format_exception(ValueError("x")) == "ValueError: x"


def test_the_same_code_in_two_files_is_told_apart():
    for name in ("one.py", "two.py"):
        error = raised(lambda name=name: exec(compile("1 / 0", name, "exec"), {}))  # noqa: S102
        assert f'File "{name}", line 1' in tracebacks.format_exception(error)


def test_the_frames_that_are_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(tracebacks, "REMEMBERED", 5)
    for depth in range(8):
        error = raised(lambda depth=depth: fall(depth))
        assert "in fall" in tracebacks.format_exception(error)
    assert len(tracebacks._frames) <= 5


def test_a_request_is_in_every_record_on_its_way():
    with context.request_context(request_id="r", user_id=None, card_id="c"):
        result = formatted()
        assert (result["request_id"], result["card_id"], "user_id" in result) == ("r", "c", False)
        assert context.request_id() == "r"
    assert not {"request_id", "card_id"} & set(formatted())


def test_an_extra_field_wins_over_the_context():
    with context.request_context(user_id="ada"), context.bind(step=1):
        assert formatted(user_id=None)["user_id"] is None
        result = formatted(user_id="eve", step=2)
    assert (result["user_id"], result["step"]) == ("eve", 2)


def test_what_is_bound_ends_with_its_block():
    with context.bind(a=1):
        with context.bind(b=2):
            context_inside = formatted()
        assert "b" not in formatted()
    assert (context_inside["a"], context_inside["b"]) == (1, 2)
    assert "a" not in formatted()


def test_a_user_found_in_a_thread_is_known_in_the_request():
    async def request() -> dict:
        with context.request_context(request_id="r"):
            with context.bind(step="login"):
                await asyncio.to_thread(context.set_user, "ada")
            await asyncio.create_task(set_card())
            return await asyncio.to_thread(formatted)

    async def set_card() -> None:
        context.set_card("c")

    result = asyncio.run(request())
    assert (result["request_id"], result["user_id"], result["card_id"]) == ("r", "ada", "c")
    assert context.user() is None


def test_requests_at_the_same_time_do_not_mix():
    async def request(number: int) -> tuple:
        with context.request_context(request_id=str(number)):
            await asyncio.sleep(0)
            context.set_user(f"user{number}")
            await asyncio.sleep(0.001 * (number % 3))
            result = await asyncio.to_thread(formatted)
            return result["request_id"], result["user_id"]

    async def all_of_them() -> list:
        return await asyncio.gather(*map(request, range(20)))

    assert asyncio.run(all_of_them()) == [(str(number), f"user{number}") for number in range(20)]


def test_outside_of_a_request_a_user_is_known_to_its_own_task():
    async def job(name: str) -> str:
        context.set_user(name)
        await asyncio.sleep(0)
        return str(formatted()["user_id"])

    async def both() -> list:
        return await asyncio.gather(job("a"), job("b"))

    assert asyncio.run(both()) == ["a", "b"]


def test_a_context_that_ends_in_another_thread_breaks_nothing():
    manager = context.request_context(request_id="r")
    threading.Thread(target=manager.__enter__).start()
    assert manager.__exit__(None, None, None) is False


@pytest.mark.parametrize("header", ["abc", b"A-1_b.2", "x" * 128])
def test_a_sane_request_id_is_kept(header):
    assert context.request_id_from(header) == (header.decode() if isinstance(header, bytes) else header)


@pytest.mark.parametrize("header", [None, "", b"", "x" * 129, "a b", "a\n", b"\xff", "é", '"}', "a/b"])
def test_any_other_request_id_is_made_anew(header):
    made = context.request_id_from(header)
    assert uuid.UUID(made).hex == made


def test_records_go_to_standard_output_once(tmp_path, quiet_logging, capfd):
    config.setup_logging(tmp_path)
    config.setup_logging(tmp_path)
    logging.getLogger("any.thing").info("hello", extra={"n": 1})
    logging.getLogger("any.thing").debug("not this")
    (line,) = parsed(capfd.readouterr().out)
    assert (line["logger"], line["message"], line["n"]) == ("any.thing", "hello", 1)


def test_a_level_can_be_said_in_any_case(tmp_path, quiet_logging):
    config.setup_logging(tmp_path, level="debug")
    assert logging.getLogger().level == logging.DEBUG
    with pytest.raises(ValueError, match="Unknown level"):
        config.setup_logging(tmp_path, level="loud")


def test_an_event_exists_once(tmp_path, quiet_logging, capfd):
    config.setup_logging(tmp_path)
    config.log_card_generation("ada", "card1", "huggingface")
    config.failed_login("unknown token", "10.0.0.1")
    logging.getLogger("security").info("below the level")
    (audit,) = parsed((tmp_path / "audit.log").read_bytes())
    (security,) = parsed((tmp_path / "security.log").read_bytes())
    expected = {"user_id": "ada", "card_id": "card1", "format": "huggingface", "event_type": "card_generation"}
    assert audit | expected | {"logger": "audit", "level": "INFO", "message": "Model card generated"} == audit
    assert security | {"reason": "unknown token", "client": "10.0.0.1", "event_type": "failed_login"} == security
    out, err = capfd.readouterr()
    assert parsed(out) == [audit, security], "and once for the shipper"
    assert ([audit["log"], security["log"]], err) == (["audit", "security"], "")


def test_security_events_are_warnings_of_their_type(tmp_path, quiet_logging):
    config.setup_logging(tmp_path)
    config.failed_login("no token", None)
    config.access_denied("eve", "/cards/1")
    config.input_rejected("too long", path="/cards", name="x")
    lines = parsed((tmp_path / "security.log").read_bytes())
    assert [line["event_type"] for line in lines] == ["failed_login", "access_denied", "input_rejected"]
    assert {line["level"] for line in lines} == {"WARNING"}
    assert lines[1] | {"user_id": "eve", "what": "/cards/1"} == lines[1]
    assert lines[2] | {"reason": "too long", "path": "/cards", "extra_name": "x"} == lines[2]


def test_an_event_names_the_function_that_made_it(tmp_path, quiet_logging):
    config.setup_logging(tmp_path)
    config.audit_event("card_deletion", "Model card deleted", card_id="c", module="m")
    config.log_card_generation("u", "c", "google")
    for line in parsed((tmp_path / "audit.log").read_bytes()):
        assert (line["module"], line["function"]) == ("test_logging", "test_an_event_names_the_function_that_made_it")


def test_uvicorn_speaks_through_the_service(tmp_path, quiet_logging, capfd):
    logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
    config.setup_logging(tmp_path)
    uvicorn.Config("x:y", log_config=None)
    logging.getLogger("uvicorn.error").info("Started [%d]", 1, extra={"color_message": "\x1b[36mStarted\x1b[0m"})
    logging.getLogger("uvicorn.access").info('%s - "%s"', "127.0.0.1", "GET /")
    out, err = capfd.readouterr()
    (line,) = parsed(out)
    assert (line["logger"], line["message"], "color_message" in line, err) == (
        "uvicorn.error",
        "Started [1]",
        False,
        "",
    )
    assert not logging.getLogger("uvicorn.access").hasHandlers()  # then uvicorn does not make one


def test_warnings_are_records(tmp_path, quiet_logging, capfd):
    config.setup_logging(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = parsed(capfd.readouterr().out)
    assert line["logger"] == "py.warnings"
    assert "DeprecationWarning: old" in line["message"]


def test_lost_records_are_counted_from_the_start(tmp_path, quiet_logging):
    config.setup_logging(tmp_path)
    for log in ("audit", "security"):
        assert REGISTRY.get_sample_value("modelcard_log_records_lost_total", {"log": log}) is not None
