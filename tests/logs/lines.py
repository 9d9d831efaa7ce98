"""Lines as the real service's logging writes them, many and odd ones, and what the shippers make of a line."""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from modelcard_generator.logging import config, context

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC).timestamp()
UNICODE = (
    "Größe",
    "模型卡",
    "🧪🏴‍☠️",
    "a\u202eb",
    "\ufeffbom",
    "e\u0301",
    "nul\x00nul",
    "\udc80 half",
    "\x1b[31mred",
    "\u2028",
)
PATHS = ("/cards", "/cards/7f3e", "/docs", "/cards/%F0%9F%A7%AA", "/" + "x" * 2000)


class Collector(logging.Handler):
    """Keeps what the service's formatter makes of each record."""

    def __init__(self, log: str | None = None) -> None:
        super().__init__()
        self.formatter = config.StructuredFormatter()
        self.lines: list[bytes] = []
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        """As the handlers of the service do."""
        # Clocks of pods differ, and one is years off.
        skew = (0, 0, 0, 0, -3600, 300, 86_400 * 400, -NOW)[len(self.lines) % 8]
        record.created = NOW + len(self.lines) / 100 + skew
        assert isinstance(self.formatter, config.StructuredFormatter)
        self.lines.append(self.formatter.line(record, log=self.log))


def real_lines(count: int) -> Iterator[tuple[str, bytes]]:
    """Stream and line, by the real loggers, events and contexts of the service."""
    collectors = {"app": Collector(), **{name: Collector(name) for name in config.LOGS}}
    loggers = {name: logging.getLogger("lines" if name == "app" else name) for name in collectors}
    before = [(logger, list(logger.handlers), logger.level, logger.propagate) for logger in loggers.values()]
    for name, logger in loggers.items():
        logger.handlers, logger.propagate = [collectors[name]], False
        logger.setLevel(logging.INFO)
    try:
        for number in range(count):
            _write(number, loggers["app"])
        for name, collector in collectors.items():
            yield from ((name, line) for line in collector.lines)
    finally:
        for logger, handlers, level, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)


def _write(number: int, log: logging.Logger) -> None:
    choose = random.Random(number)  # noqa: S311 - the same lines each time
    with context.request_context(request_id=f"{number:032x}"):
        match number % 20:
            case 0:
                config.log_card_generation(f"user-{number % 97}", f"card-{number}", "huggingface")
            case 1:
                config.failed_login("unknown or revoked token", f"10.0.{number % 250}.7")
            case 2:
                config.input_rejected(choose.choice(UNICODE), path=choose.choice(PATHS))
            case 3:
                try:
                    raise ValueError(choose.choice(UNICODE) * 50)  # noqa: TRY301 - a traceback of somebody's
                except ValueError:
                    log.exception("Unhandled error")
            case 4 if number % 20_000 == 4:
                log.error("x" * 1_000_000, stack_info=True)
            case 5:
                log.warning("Slow query", extra={"query_name": "cards_of_user", "duration": number / 7})
            case 6:
                log.info("odd", extra={"status": "no number", "nobody": {"knows": [1, {"this": number}]}, "n": None})
            case _:
                fields = {
                    "method": choose.choice(("GET", "POST")),
                    "path": choose.choice(PATHS),
                    "status": choose.choice((200, 201, 404, 500)),
                    "duration": choose.random(),
                }
                log.info("Request", extra=fields)


# Nothing of ours writes these, but a pod of ours may: every one is kept, as it is if need be.
FOREIGN = (
    "",
    " ",
    "plain words",
    "{broken",
    '{"message":"torn',
    '{"message":"whole"} and more',
    "[1,2,3]",
    "123",
    "null",
    '"text"',
    "{}",
    '{"message":null,"level":null}',
    '{"message":{"not":"text"},"level":["INFO"],"line":"seven","duration":"long","status":1.5}',
    '{"timestamp":"yesterday","message":"when?"}',
    '{"timestamp":"+999999999-01-01T00:00:00Z","message":"far"}',
    '{"timestamp":1764064800,"message":"number"}',
    '{"a.b":{"c":1},"a":{"b":{"c":2}},"":"no name",".":"dot","..":"dots","x\\u0000y":"v\\u0000w"}',
    '{"line":1' + "0" * 40 + "}",
    '{"\\ud800":"\\udfff","message":"\\ud83d"}',
    '{"deep":' + "[" * 500 + "]" * 500 + "}",
    '{"deep":' + '{"a":' * 200 + "1" + "}" * 200 + "}",
    "{" + ",".join(f'"key{number}":{number}' for number in range(3000)) + "}",
    '{"level":"' + "l" * 40_000 + '","message":"' + "ä" * 300_000 + '"}',
    '{"_id":"mine","_index":"other","@timestamp":"x","kubernetes":"forged","event":{"ingested":"x"}}',
    "\u0000\u0001\u001f",
    "\ufffd" * 100,
)


def shipped(lines: Iterable[tuple[str, str]], *, pod: str = "pod-1", container: str = "app") -> Iterator[Any]:
    """(stream, id, document) of each (stream, line), as Filebeat and Logstash make them."""
    offset = 0
    for stream, line in lines:
        seen = datetime.fromtimestamp(NOW + offset / 1e6, UTC).isoformat(timespec="milliseconds")
        document = {
            "@timestamp": seen,
            "message": line,
            "stream": "stdout",
            "log": {"offset": offset, "file": {"path": f"/var/log/pods/modelcard_{pod}_uid/{container}/0.log"}},
            "kubernetes": {
                "namespace": "modelcard",
                "pod": {"name": pod, "uid": f"uid-of-{pod}"},
                "container": {"name": container},
            },
        }
        identity = hashlib.sha256(json.dumps([pod, container, offset, seen, line]).encode()).hexdigest()
        yield f"logs-modelcard.{stream}-test", identity, document
        offset += len(line) + 1
