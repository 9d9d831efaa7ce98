"""What the service writes down: one JSON object a line, to standard output, and `audit` and `security` to files too.

No record is lost for what is in it: what cannot be serialised is written as text, and what is too long is cut. Secrets
are taken out of messages, extra fields and exceptions alike.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from modelcard_generator.logging import context, redaction, tracebacks
from modelcard_generator.logging.files import BACKUPS, MAX_BYTES, SharedFile
from modelcard_generator.logging.handlers import FileHandler, StdoutHandler
from modelcard_generator.logging.plain import fit, plain, text, unknown
from modelcard_generator.monitoring import metrics

MAX_LINE = 1024 * 1024  # bytes; Filebeat drops what is beyond 10 MiB (filestream, `message_max_bytes`)
LOGS = {"audit": logging.INFO, "security": logging.WARNING}
UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")

# What a record has beside its extra fields. Uvicorn's `color_message` is its message again, with escape sequences.
RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
FIRST_EXTRA = len(vars(logging.makeLogRecord({})))  # extra fields come after what every record has
# What the formatter adds to these; an extra field of the same name must not forge it.
ADDED_FIELDS = frozenset({"timestamp", "level", "logger", "function", "line", "exception", "stack", "log", "truncated"})
KEPT_FIELDS = ("message", "exception", "stack", "log")
TAKEN = RECORD_ATTRIBUTES | ADDED_FIELDS


class StructuredFormatter(logging.Formatter):
    """One line of JSON: timestamp (UTC, RFC 3339, microseconds), level, logger, message, module, function, line.

    Then what the context says (`user_id`, `request_id`, `card_id`, …) and every extra field of the record, which wins
    over the context; `exception` and `stack`, if there are any. An extra field that is called like one of the record's
    own becomes `extra_NAME`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Without a newline."""
        return self.line(record)[:-1].decode()

    def line(self, record: logging.LogRecord, *, log: str | None = None) -> bytes:
        """As UTF-8, with a newline. Never raises, whatever is in the record; `log` becomes a field."""
        fields = self._fields(record)
        if log is not None:
            fields["log"] = log
        try:
            line = orjson.dumps(fields, default=unknown, option=orjson.OPT_APPEND_NEWLINE)
        except Exception:  # noqa: BLE001 - whatever it is, the record is written
            line = orjson.dumps(plain(fields), option=orjson.OPT_APPEND_NEWLINE)
        if len(line) <= MAX_LINE and not redaction.suspicious(line):
            return line
        return _careful(line)

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - arguments that do not fit, or an object without words
            message = f"{text(record.msg)} (arguments: {text(record.args)})" if record.args else text(record.msg)
        fields: dict[str, Any] = {
            "timestamp": timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
            "module": record.module,
            "function": record.funcName,
            "line": record.lineno,
            **context.fields(),
        }
        for name, value in islice(vars(record).items(), FIRST_EXTRA, None):
            if name not in TAKEN:
                fields[name] = value
            elif name in ADDED_FIELDS:
                fields[f"extra_{name}"] = value
        # Only the text of an exception comes from another process.
        exception = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        if exception:
            fields["exception"] = exception
        if record.stack_info:
            fields["stack"] = record.stack_info
        return fields

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is the standard library's
        """Its traceback, "" for no exception; never raises, whatever the exception says of itself."""
        try:
            return "" if ei[1] is None else tracebacks.format_exception(ei[1])
        except Exception:  # noqa: BLE001 - an exception of somebody's own
            return text(ei)


def timestamp(created: float) -> datetime | str:
    """Seconds since the epoch as `orjson` writes them as UTC, RFC 3339 with microseconds."""
    try:
        moment = datetime.fromtimestamp(created, UTC)
    except (OSError, OverflowError, TypeError, ValueError):  # no time at all
        moment = datetime.now(UTC)
    # It leaves out microseconds that are 0.
    return moment if moment.microsecond else moment.isoformat(timespec="microseconds")


def _careful(line: bytes) -> bytes:
    """The same line without secrets, and not longer than `MAX_LINE`: then `truncated` says how many bytes it had."""
    fields = orjson.loads(line)
    if redaction.suspicious(line):
        fields = redaction.redact(fields)
    if len(line) > MAX_LINE:
        # 4 x 1/8 + 48 x 1/128 of it at most, and the names; most of the record's own fields come first.
        fields = {
            name[:128]: fit(value, MAX_LINE // (8 if name in KEPT_FIELDS else 128))
            for name, value in (*islice(fields.items(), 48), *_kept(fields), ("truncated", len(line)))
        }
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _kept(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, fields[name]) for name in KEPT_FIELDS if name in fields)


def setup_logging(log_dir: Path, *, level: str = "INFO", max_bytes: int = MAX_BYTES, backups: int = BACKUPS) -> None:
    """Root and uvicorn to standard output; `audit` and `security` there and to `log_dir`/NAME.log, with `log`: NAME.

    Files are rotated at `max_bytes` and `backups` old ones are kept. What is set up before is replaced. Raises
    `ValueError` for an unknown level; a folder that is missing is no error: see `FileHandler`.
    """
    # Nothing writes them, and each costs a call for every record (Logging HOWTO, "Optimization").
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    formatter = StructuredFormatter()
    root = logging.getLogger()
    root.setLevel(level.upper())
    _replace(root, StdoutHandler(formatter))
    metrics.expect(metrics.log_records_lost_total, log=LOGS)
    for name, threshold in LOGS.items():
        logger = logging.getLogger(name)
        logger.setLevel(threshold)
        logger.propagate = False
        file = SharedFile(log_dir / f"{name}.log", max_bytes=max_bytes, backups=backups)
        _replace(logger, FileHandler(name, file, formatter))
    for name in UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        # The service writes a line of its own for each request; uvicorn then does not even make one.
        logger.propagate = name != "uvicorn.access"
    logging.captureWarnings(capture=True)


def _replace(logger: logging.Logger, handler: logging.Handler) -> None:
    for old in list(logger.handlers):
        if isinstance(old, StdoutHandler | FileHandler):
            logger.removeHandler(old)
            old.close()
    logger.addHandler(handler)


def log_card_generation(user_id: str, card_id: str, format_type: str) -> None:
    """Logs that a model card was generated."""
    _event(
        "audit", logging.INFO, "card_generation", "Model card generated",
        {"user_id": user_id, "card_id": card_id, "format": format_type},
    )  # fmt: skip


def audit_event(event_type: str, message: str, /, **fields: Any) -> None:
    """Logs what somebody did, for who asks later."""
    _event("audit", logging.INFO, event_type, message, fields)


def failed_login(reason: str, client: str | None) -> None:
    """Logs that somebody could not be let in; `client` is an address."""
    _event("security", logging.WARNING, "failed_login", "Login failed", {"reason": reason, "client": client})


def access_denied(user_id: str | None, what: str) -> None:
    """Logs that somebody asked for what belongs to somebody else."""
    _event("security", logging.WARNING, "access_denied", "Access denied", {"user_id": user_id, "what": what})


def input_rejected(reason: str, /, **fields: Any) -> None:
    """Logs that what was sent broke a rule."""
    _event("security", logging.WARNING, "input_rejected", "Input rejected", {"reason": reason, **fields})


def _event(log: str, level: int, event_type: str, message: str, fields: dict[str, Any]) -> None:
    # `logging` refuses an extra field that is called like an attribute of its records.
    extra = {f"extra_{name}" if name in RECORD_ATTRIBUTES else name: value for name, value in fields.items()}
    # Says which function made the event, not this one.
    logging.getLogger(log).log(level, message, extra={**extra, "event_type": event_type}, stacklevel=3)
