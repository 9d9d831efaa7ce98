"""Tracebacks as the standard library writes them, several times as fast: a frame's lines are looked up once."""

from __future__ import annotations

import traceback
from types import CodeType, TracebackType

REMEMBERED = 4096  # frames; about 200 bytes each
RECURRENCES = 3  # of a frame in itself; more of them are left to the standard library, which leaves them out

_frames: dict[tuple[str, CodeType, int], str] = {}


def format_exception(error: BaseException) -> str:
    """What `traceback.format_exception` says, without the last newline."""
    chained = error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__)
    if chained or isinstance(error, BaseExceptionGroup) or error.__traceback__ is None:
        return "".join(traceback.format_exception(error)).removesuffix("\n")
    parts = ["Traceback (most recent call last):\n"]
    step: TracebackType | None = error.__traceback__
    recurrences, place = 0, None
    while step is not None:
        parts.append(_frame(step))
        before, place = place, (step.tb_frame.f_code, step.tb_lineno)
        recurrences = recurrences + 1 if place == before else 0
        if recurrences == RECURRENCES:
            return "".join(traceback.format_exception(error)).removesuffix("\n")
        step = step.tb_next
    parts += traceback.format_exception_only(error)
    return "".join(parts).removesuffix("\n")


def _frame(step: TracebackType) -> str:
    frame = step.tb_frame
    # Two functions of the same code are equal, even in different files.
    place = frame.f_code.co_filename, frame.f_code, step.tb_lasti
    lines = _frames.get(place)
    if lines is None:
        if len(_frames) >= REMEMBERED:
            _frames.clear()
        alone = TracebackType(None, frame, step.tb_lasti, step.tb_lineno)
        lines = _frames[place] = "".join(traceback.format_tb(alone))
    return lines
