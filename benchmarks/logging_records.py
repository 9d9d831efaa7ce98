"""How many records a second the service writes, as a ratio to other formatters that write the same fields.

Usage: `python benchmarks/logging_records.py`. Everything goes to a standard output that is /dev/null. Ours redacts, the
others do not. `structlog` is set up as its documentation, "Performance", says is fastest, and adds the call site.
"""

from __future__ import annotations

import gc
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import ecs_logging
import orjson
import structlog
from pythonjsonlogger.orjson import OrjsonFormatter
from structlog.processors import CallsiteParameter, CallsiteParameterAdder

from modelcard_generator.logging import context
from modelcard_generator.logging.config import StructuredFormatter, setup_logging
from modelcard_generator.logging.handlers import StdoutHandler

ROUNDS = 200  # short ones, so that most of them are not interrupted
RECORDS = {"plain": 200, "exception": 20}  # in each round
MESSAGE = "Model card generated"
REQUEST_ID = "0c6a2f0bb0a5419f9ed0a6f3d0d0f3a1"
EXTRA = {
    "user_id": "ada",
    "card_id": "8d9b2f6e-7a57-4f2f-9a60-0a1f6f0b9d11",
    "format": "huggingface",
    "event_type": "card_generation",
}
# What each calls a field that ours writes.
NAMES = {
    "python-json-logger": {"level": "levelname", "logger": "name", "function": "funcName", "line": "lineno"},
    "ecs-logging": {
        "timestamp": "@timestamp", "level": "log.level", "logger": "log.logger", "function": "log.origin.function",
        "line": "log.origin.file.line", "module": "log.origin.file.name", "exception": "error.stack_trace",
    },
    "structlog": {"function": "func_name", "line": "lineno"},
}  # fmt: skip
NAMES["python-json-logger"]["exception"] = "exc_info"
Log = Callable[..., None]

request_id: ContextVar[str] = ContextVar("request_id")


def with_request_id(record: logging.LogRecord) -> bool:
    """The Logging Cookbook's way to add what a context variable says ("Use of contextvars")."""
    record.request_id = request_id.get()
    return True


def standard(name: str, handler: logging.Handler) -> logging.Logger:
    """A logger of the standard library with one handler."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    return logger


def peer(name: str, formatter: logging.Formatter) -> logging.Logger:
    """A formatter of somebody else's, on the standard library's handler."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    handler.addFilter(with_request_id)
    return standard(name, handler)


def fast_structlog() -> Any:
    """Bytes from orjson to standard output, without the standard library's logging."""
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            CallsiteParameterAdder({CallsiteParameter.MODULE, CallsiteParameter.FUNC_NAME, CallsiteParameter.LINENO}),
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=sys.stdout.buffer),
    )
    return structlog.get_logger().bind(logger="structlog")


def contenders() -> dict[str, tuple[Log, Log]]:
    """For each how it writes the record, and the record with an exception."""
    ours = standard("ours", StdoutHandler(StructuredFormatter()))
    fields = "%(timestamp)s %(levelname)s %(name)s %(message)s %(module)s %(funcName)s %(lineno)d"
    python_json_logger = peer("python-json-logger", OrjsonFormatter(fields, timestamp=True))
    unwanted = ["process", "ecs", "log.original"]
    ecs = peer("ecs-logging", ecs_logging.StdlibFormatter(exclude_fields=unwanted, ensure_ascii=False))
    fast = fast_structlog()
    result: dict[str, tuple[Log, Log]] = {}
    for logger in (ours, python_json_logger, ecs):
        info, failed = (
            partial(logger.info, MESSAGE, extra=EXTRA),
            partial(logger.error, MESSAGE, extra=EXTRA, exc_info=True),
        )
        result[logger.name] = info, failed
    result["structlog"] = partial(fast.info, MESSAGE, **EXTRA), partial(fast.error, MESSAGE, **EXTRA, exc_info=True)
    return result


def fail(depth: int) -> None:
    """Through as many frames as a request that fails in a query goes."""
    if depth:
        fail_deeper(depth - 1)
    raise ValueError("no such template")


def fail_deeper(depth: int) -> None:
    """Takes turns: the standard library leaves out a frame that recurs."""
    fail(depth)


def in_exception(log: Log, count: int) -> float:
    """Seconds for `count` records while one exception is handled."""
    try:
        fail(8)
    except ValueError:
        return repeated(log, count)
    raise AssertionError


def repeated(log: Log, count: int) -> float:
    """Seconds for `count` records."""
    began = time.perf_counter()
    for _ in range(count):
        log()
    return time.perf_counter() - began


def written(log: Callable[[], object]) -> dict[str, Any]:
    """The one line that comes to standard output, parsed."""
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        log()
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        file.seek(0)
        (line,) = file.read().splitlines()
    result: dict[str, Any] = orjson.loads(line)
    return result


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"log": {"level": …}}` as `{"log.level": …}`."""
    result: dict[str, Any] = {}
    for name, each in value.items():
        result |= flat(each, f"{prefix}{name}.") if isinstance(each, dict) else {prefix + name: each}
    return result


def check(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """That a contender writes our fields, all and only these, and the same in them where that can be compared."""
    names = NAMES[name]
    expected = {names.get(field, field): value for field, value in ours.items()}
    rest = {"error.type", "error.message"} if name == "ecs-logging" and "exception" in ours else set()
    same = {"message", "request_id", *EXTRA, names.get("function", "function")}
    problems = (
        sorted(set(theirs) - rest ^ set(expected)),
        [field for field in same if theirs[field] != expected[field]],
        not theirs[names.get("timestamp", "timestamp")].endswith(("Z", "+00:00")),
        Path(theirs[names.get("module", "module")]).stem != ours["module"],
        "exception" in ours and "in fail" not in theirs[names.get("exception", "exception")],
    )
    if any(problems):
        raise SystemExit(f"{name} does not write the same fields: {problems}")


def main() -> int:
    """Interleaves the rounds, so that a noisy machine is noisy for all. 1 if ours is slower than one of the others."""
    setup_logging(Path(tempfile.gettempdir()))  # its switches hold for all that use the standard library's logging
    request_id.set(REQUEST_ID)
    structlog.contextvars.bind_contextvars(request_id=REQUEST_ID)
    slower = 0
    with context.request_context(request_id=REQUEST_ID):
        pairs = contenders()
        for which, (kind, run) in enumerate({"plain": repeated, "exception": in_exception}.items()):
            logs = {name: pair[which] for name, pair in pairs.items()}
            lines = {name: flat(written(partial(run, log, 1))) for name, log in logs.items()}
            for name in NAMES:
                check(name, lines["ours"], lines[name])
            times = measure(logs, run, RECORDS[kind])
            print(f"{kind}: {', '.join(sorted(lines['ours']))}")
            for name, rounds in times.items():
                ratio = statistics.median(peer / own for peer, own in zip(rounds, times["ours"], strict=True))
                rate = RECORDS[kind] / statistics.median(rounds)
                print(f"  {name:20} {rate:9,.0f} records/s; ours is {ratio:5.2f} times as fast")
                slower += name != "ours" and ratio <= 1
    return 1 if slower else 0


def measure(logs: dict[str, Log], run: Callable[[Log, int], float], count: int) -> dict[str, list[float]]:
    """Seconds of every round, with standard output at /dev/null."""
    times: dict[str, list[float]] = {name: [] for name in logs}
    sys.stdout.flush()
    kept = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    gc.collect()
    gc.disable()
    for _ in range(ROUNDS + 1):
        for name, log in logs.items():
            times[name].append(run(log, count))
    gc.enable()
    sys.stdout.flush()
    os.dup2(kept, 1)
    os.close(null)
    os.close(kept)
    return {name: rounds[1:] for name, rounds in times.items()}  # the first is for warming up


if __name__ == "__main__":
    sys.exit(main())
