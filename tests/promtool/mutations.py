"""Small changes to a rule that its tests must notice. Pure: no promtool, no files.

promql_parser keeps no positions, so changes are edits of tokens, placed by the brackets that they stand in; it then
decides whether the result is an expression at all.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    MatrixSelector,
    NumberLiteral,
    VectorSelector,
)

from infra.monitoring import promql
from infra.monitoring.promql import PromQLError
from infra.monitoring.rules import Rule

DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
TOKEN = re.compile(
    rf"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    |(?P<duration>{DURATION})(?![\w.])
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    |(?P<word>[a-zA-Z_](?:\w|:(?=\w))*)
    |(?P<sign>=~|!~|==|!=|>=|<=|[-><=+*/%^(){{}}\[\],:@])""",
    re.VERBOSE,
)
COMPARISONS = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "!=", "!=": "=="}
BOUNDARIES = {">": ">=", "<": "<=", ">=": ">", "<=": "<"}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*"}
MATCHING = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
SETS = ("and", "unless", "or")
AGGREGATIONS = {
    "sum": "max",
    "max": "min",
    "min": "max",
    "avg": "sum",
    "count": "sum",
    "topk": "bottomk",
    "bottomk": "topk",
    "avg_over_time": "max_over_time",
    "max_over_time": "min_over_time",
    "min_over_time": "max_over_time",
    "sum_over_time": "max_over_time",
}
CLAUSES = ("by", "without", "on", "ignoring", "group_left", "group_right")
COUNTS = {
    *("count", "group", "changes", "resets", "count_over_time", "present_over_time"),
    *("absent", "absent_over_time", "ceil", "floor"),
}
MEASURED = re.compile(r"(_seconds|_bytes|_ratio|_percent|_celsius|_timestamp)(_|$)|:")
OTHER_LABEL = {
    "critical": "warning",
    "warning": "critical",
    "info": "warning",
    "none": "info",
    "P0": "P1",
    "P1": "P2",
    "P2": "P1",
    "P3": "P2",
}
# What whole numbers remain whole through.
KEEP_WHOLE = {
    *("sum", "min", "max", "max_over_time", "min_over_time", "last_over_time", "sum_over_time"),
    *("+", "-", "and", "unless", "or", *COMPARISONS),
}
SMALL = 20  # up to here an integer compared with a count moves by one, as a tenth of it would change nothing

Kind = Literal["stricter", "looser", "sooner", "later", "wider", "other"]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A changed rule. `change` says what was changed, once per rule; `kind` hints at the test that should notice."""

    change: str
    rule: Rule
    kind: Kind = "other"


@dataclass(eq=False)
class Frame:
    """A pair of brackets: what opened it, and which word stood before."""

    bracket: str
    word: str
    parent: Frame | None
    tokens: list[int] = field(default_factory=list)  # those directly within, commas included


@dataclass(frozen=True, kw_only=True)
class Token:
    """A piece of an expression; `frame` is the innermost pair of brackets around it."""

    kind: str
    text: str
    start: int
    end: int
    frame: Frame


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What replaces a stretch of the expression."""

    start: int
    end: int
    text: str
    change: str
    kind: Kind = "other"


def mutations(rule: Rule, whole: frozenset[str] = frozenset()) -> list[Mutation]:
    """All of a rule, each once. `whole` are recorded names whose values can only be whole numbers."""
    found = [*_of_expression(rule, whole), *_of_durations(rule), *_of_labels(rule)]
    seen: Counter[str] = Counter()
    named = []
    for each in found:
        seen[each.change] += 1
        again = seen[each.change]
        named.append(each if again == 1 else replace(each, change=f"{each.change} ({again})"))
    return named


def _of_expression(rule: Rule, whole: frozenset[str]) -> Iterator[Mutation]:
    mutated = set()
    for edit in Edits(rule.expr, whole).all():
        expr = rule.expr[: edit.start] + edit.text + rule.expr[edit.end :]
        try:
            parsed = promql.parse(expr).prettify()
        except PromQLError:
            continue  # it would not load either
        if parsed not in mutated and parsed != promql.parse(rule.expr).prettify():
            mutated.add(parsed)
            yield Mutation(change=edit.change, rule=replace(rule, expr=expr), kind=edit.kind)


def _of_durations(rule: Rule) -> Iterator[Mutation]:
    if rule.hold and promql.seconds(rule.hold) > 0:
        for change, text, kind in _stretched(rule.hold, "for", longer="later", shorter="sooner"):
            yield Mutation(change=change, rule=replace(rule, hold=text), kind=kind)
        yield Mutation(change=f"for: {rule.hold} removed", rule=replace(rule, hold=None), kind="sooner")
    if rule.keep_firing_for and promql.seconds(rule.keep_firing_for) > 0:
        for change, text, _ in _stretched(rule.keep_firing_for, "keep_firing_for", longer="later", shorter="sooner"):
            yield Mutation(change=change, rule=replace(rule, keep_firing_for=text))
        change = f"keep_firing_for: {rule.keep_firing_for} removed"
        yield Mutation(change=change, rule=replace(rule, keep_firing_for=None))


def _stretched(duration: str, what: str, *, longer: Kind, shorter: Kind) -> Iterator[tuple[str, str, Kind]]:
    for factor, kind in ((0.5, shorter), (2, longer)):
        text = f"{promql.seconds(duration) * factor * 1000:.0f}ms"
        shown = f"{promql.seconds(duration) * factor:g}s"
        yield f"{what}: {duration} -> {shown}", text, kind


def _of_labels(rule: Rule) -> Iterator[Mutation]:
    for label, value in rule.labels.items():
        other = OTHER_LABEL.get(value, f"{value}-other")
        yield Mutation(
            change=f"label {label}: {value} -> {other}", rule=replace(rule, labels={**rule.labels, label: other})
        )


class Edits:
    """All changes to one expression."""

    def __init__(self, text: str, whole: frozenset[str]) -> None:
        self.text, self.whole = text, whole
        self.top = Frame("", "", None)
        self.tokens: list[Token] = []
        self.frames = [self.top]
        self._tokenise()

    def all(self) -> Iterator[Edit]:
        """Tokens first, then brackets, each in the order in which they are written."""
        for index, token in enumerate(self.tokens):
            if token.frame.bracket != "{" and token.frame.word not in CLAUSES:
                yield from self._token(index, token)
        for frame in self.frames:
            if frame.bracket == "{":
                yield from self._matchers(frame)
            elif frame.word in CLAUSES:
                yield from self._clause(frame)
            elif frame.bracket != "[":
                yield from self._operands(frame)

    def _token(self, index: int, token: Token) -> Iterator[Edit]:
        if token.frame.bracket == "[" or self._follows(index, "offset"):
            yield from self._window(index, token)
        elif token.kind in {"number", "duration"}:
            yield from self._number(index, token)
        elif token.kind == "sign":
            yield from self._operator(index, token)
        elif token.text in AGGREGATIONS and self._is_called(index):
            yield self._aggregation(index, token)

    # Reading.

    def _tokenise(self) -> None:
        frame, position = self.top, 0
        while position < len(self.text):
            match = TOKEN.match(self.text, position)
            if match is None or match.lastgroup is None:
                raise ValueError(f"no PromQL from {self.text[position:]!r} on")
            position = match.end()
            if match.lastgroup == "space":
                continue
            sign = match.group() if match.lastgroup == "sign" else ""
            if sign in {")", "}", "]"} and frame.parent is not None:
                frame = frame.parent
            index = len(self.tokens)
            self.tokens.append(
                Token(kind=match.lastgroup, text=match.group(), start=match.start(), end=match.end(), frame=frame)
            )
            frame.tokens.append(index)
            if sign and sign in "({[":
                before = self.tokens[index - 1] if index else None
                word = before.text if before and before.kind == "word" and before.text not in {*SETS, "bool"} else ""
                frame = Frame(sign, word, frame)
                self.frames.append(frame)

    def _is_called(self, index: int) -> bool:
        """`sum (`, `sum by (`: not a metric of that name."""
        following = self.tokens[index + 1].text if index + 1 < len(self.tokens) else ""
        return following in {"(", "by", "without"}

    def _follows(self, index: int, word: str) -> bool:
        return index > 0 and self.tokens[index - 1].text == word

    def _is_binary(self, index: int) -> bool:
        """Whether a sign has something before it to apply to."""
        before = self.tokens[index - 1] if index else None
        if before is None or before.frame is not self.tokens[index].frame:
            return False
        return before.text in {")", "}", "]"} or (before.kind != "sign" and before.text not in {*SETS, "bool"})

    def _arguments(self, frame: Frame) -> list[list[int]]:
        """Its tokens, by the commas between them."""
        arguments: list[list[int]] = [[]]
        for index in frame.tokens:
            if self.tokens[index].text == ",":
                arguments.append([])
            else:
                arguments[-1].append(index)
        return [each for each in arguments if each]

    def _span(self, indices: list[int]) -> tuple[int, int]:
        return self.tokens[indices[0]].start, self.tokens[indices[-1]].end

    def _written(self, indices: list[int]) -> str:
        start, end = self._span(indices)
        return " ".join(self.text[start:end].split())

    # Changing.

    def _window(self, index: int, token: Token) -> Iterator[Edit]:
        """A range or an offset, halved and doubled; not the step of a subquery."""
        if token.kind == "duration" and not self._follows(index, ":"):
            what = "offset" if self._follows(index, "offset") else "range"
            for change, text, kind in _stretched(token.text, what, longer="wider", shorter="wider"):
                yield Edit(start=token.start, end=token.end, text=text, change=change, kind=kind)

    def _number(self, index: int, token: Token) -> Iterator[Edit]:
        value = promql.seconds(token.text) if token.kind == "duration" else float(token.text)
        if self._scales_a_number(index - 1):
            return  # 26 * 3600 is one number
        where = self._context(index)
        for other in self._others(index, value):
            text = f"{other:.12g}"
            op = self._comparison_before(index)
            harder = (other > value) == (op in {">", ">="})
            kind: Kind = "other" if not op else "stricter" if harder else "looser"
            change = f"{where} -> {text}" if where == token.text else f"{where}: {token.text} -> {text}"
            yield Edit(start=token.start, end=token.end, text=text, change=change, kind=kind)

    def _scales_a_number(self, index: int) -> bool:
        """Whether a sign multiplies or divides one literal by another."""
        if not 0 < index < len(self.tokens) - 1 or self.tokens[index].text not in {"*", "/"}:
            return False
        around = (self.tokens[index - 1], self.tokens[index + 1])
        return all(each.kind in {"number", "duration"} for each in around)

    def _others(self, index: int, value: float) -> list[float]:
        """What stands in for a number."""
        frame = self.tokens[index].frame
        function, position = frame.word, self._position(index)
        if (function in {"histogram_quantile", "quantile", "quantile_over_time"}) and position == 0:
            return [1 - (1 - value) * 2, 1 - (1 - value) / 2]
        if function == "predict_linear" and position == 1:
            return [value / 2, value * 2]
        if function in {"topk", "bottomk"} and position == 0:
            return [value + 1]
        op = self._comparison_before(index)
        if value == 0:
            # A forecast may be just below 0 or far below: nothing lies between.
            return [] if op in {"<", "<="} else [1]
        if op and value.is_integer() and value <= SMALL and self._counts_before(index):
            return [value - 1, value + 1]
        return [value * 1.1, value * 0.9]

    def _position(self, index: int) -> int:
        frame = self.tokens[index].frame
        return sum(self.tokens[each].text == "," for each in frame.tokens if each < index)

    def _context(self, index: int) -> str:
        """The number with the operator before or behind it."""
        before = index - 1 - (index > 0 and self._follows(index, "bool"))
        if before >= 0 and self.tokens[before].text in {*ARITHMETIC, *COMPARISONS}:
            return f"{self.tokens[before].text} {self.tokens[index].text}"
        following = self.tokens[index + 1].text if index + 1 < len(self.tokens) else ""
        if following in {*ARITHMETIC, *COMPARISONS}:
            return f"{self.tokens[index].text} {following}"
        return self.tokens[index].text

    def _comparison_before(self, index: int) -> str:
        """The comparison that a number is the right side of; empty if it is not."""
        back = index - 1 - (index > 0 and self.tokens[index - 1].text == "bool")
        before = self.tokens[back] if back >= 0 else None
        inside = before is not None and before.frame is self.tokens[index].frame
        return before.text if before is not None and inside and before.text in COMPARISONS else ""

    def _left(self, index: int) -> list[int]:
        """The tokens of the left side of a comparison, back to the next looser operator."""
        found: list[int] = []
        frame = self.tokens[index].frame
        for each in reversed([each for each in frame.tokens if each < index]):
            token = self.tokens[each]
            if token.text in {*COMPARISONS, *SETS, ","}:
                break
            found.insert(0, each)
        while found and self.tokens[found[0]].text in {"on", "ignoring", "group_left", "group_right"}:
            found = found[3:]
        return found

    def _counts_before(self, index: int) -> bool:
        """Whether what is compared with a number can only be whole."""
        back = index - 1 - (self.tokens[index - 1].text == "bool")
        return self._counts(self._left(back))

    def _counts(self, indices: list[int]) -> bool:
        if not indices:
            return False
        start, end = self._span(indices)
        try:
            return counts(promql.parse(self.text[start:end]), self.whole)
        except PromQLError:
            return False

    def _operator(self, index: int, token: Token) -> Iterator[Edit]:
        if not self._is_binary(index):
            return
        if token.text in COMPARISONS:
            others = [COMPARISONS[token.text]]
            if self._tells_equality(index, token):
                others.append(BOUNDARIES[token.text])
            for other in others:
                where = f"{token.text} {self._right_word(index)}"
                yield Edit(start=token.start, end=token.end, text=other, change=f"{where}: {token.text} -> {other}")
        elif token.text in ARITHMETIC and not self._scales_a_number(index):
            other = ARITHMETIC[token.text]
            where = f"{token.text} {self._right_word(index)}"
            yield Edit(start=token.start, end=token.end, text=other, change=f"{where}: {token.text} -> {other}")

    def _tells_equality(self, index: int, token: Token) -> bool:
        """Zero is a value that series have; so is any that both sides count. A share of something is hit by chance."""
        if token.text not in BOUNDARIES or index + 1 >= len(self.tokens):
            return False
        right = self.tokens[index + 1]
        if right.kind in {"number", "duration"}:
            return right.text == "0" and token.text in {">", ">="}
        frame = token.frame
        behind = [each for each in frame.tokens if each > index]
        stop = next((n for n, each in enumerate(behind) if self.tokens[each].text in {*COMPARISONS, *SETS, ","}), None)
        return self._counts(self._left(index)) and self._counts(behind[:stop])

    def _right_word(self, index: int) -> str:
        """What stands right of an operator, as far as it takes to know which one is meant."""
        frame = self.tokens[index].frame
        behind = self._without_matching(
            [each for each in frame.tokens if each > index and self.tokens[each].text != "bool"]
        )
        following = [each.text for each in self.tokens[behind[0] :] if each.text != "("] if behind else [""]
        return following[0]

    def _aggregation(self, index: int, token: Token) -> Edit:
        other = AGGREGATIONS[token.text]
        behind = (each for each in self.frames if each.parent is token.frame and each.tokens and each.tokens[0] > index)
        argument = next((each for each in behind if each.word not in CLAUSES), self.top)
        within = [self.tokens[each] for each in argument.tokens]
        ones = within[0].text.endswith("_info") or any(
            one.text == "==" and two.text == "1" for one, two in pairwise(within)
        )
        if token.text == "count" and ones:
            other = "group"  # the sum of ones is their count
        return Edit(start=token.start, end=token.end, text=other, change=f"{token.text} -> {other}")

    def _matchers(self, frame: Frame) -> Iterator[Edit]:
        matchers = self._arguments(frame)
        for position, indices in enumerate(matchers):
            if len(indices) != 3:
                continue
            label, op, value = (self.tokens[each] for each in indices)
            start, end = self._span(indices)
            if position + 1 < len(matchers):
                end = self.tokens[matchers[position + 1][0]].start
            elif position:
                start = self.tokens[matchers[position - 1][-1]].end
            selector = f"{frame.word}{{{label.text}{op.text}{value.text}}}"
            yield Edit(start=start, end=end, text="", change=f"{selector} removed", kind="looser")
            other = MATCHING[op.text]
            yield Edit(start=op.start, end=op.end, text=other, change=f"{selector}: {op.text} -> {other}")
            for altered in _altered(op.text, value.text):
                yield Edit(start=value.start, end=value.end, text=altered, change=f"{selector} -> {altered}")

    def _clause(self, frame: Frame) -> Iterator[Edit]:
        """Each label of `by (…)` and its kin, left out."""
        labels = self._arguments(frame)
        for position, indices in enumerate(labels):
            start, end = self._span(indices)
            if position + 1 < len(labels):
                end = self.tokens[labels[position + 1][0]].start
            elif position:
                start = self.tokens[labels[position - 1][-1]].end
            clause = f"{frame.word} ({', '.join(self._written(each) for each in labels)})"
            yield Edit(start=start, end=end, text="", change=f"{clause}: {self._written(indices)} dropped")

    def _operands(self, frame: Frame) -> Iterator[Edit]:
        """Each side of `and`, `unless` and `or`, left out with its operator."""
        for argument in self._arguments(frame):
            yield from self._dropped(argument, ("or",))
            for term, _ in self._split(argument, ("or",)):
                yield from self._dropped(term, ("and", "unless"))

    def _dropped(self, indices: list[int], operators: tuple[str, ...]) -> Iterator[Edit]:
        parts = self._split(indices, operators)
        for number, (part, operator) in enumerate(parts):
            if len(parts) == 1 or not part:
                continue
            if number:
                start, end = self.tokens[operator].start, self._span(part)[1]
                op = self.tokens[operator].text
            else:
                start, end = self.tokens[part[0]].start, self.tokens[parts[1][0][0]].start
                op = self.tokens[parts[1][1]].text
            side = "right" if number else "left"
            change = f"{side} of `{op}` dropped: {_short(self._written(part))}"
            kind: Kind = "stricter" if op == "or" else "looser"
            yield Edit(start=start, end=end, text="", change=change, kind=kind)

    def _split(self, indices: list[int], operators: tuple[str, ...]) -> list[tuple[list[int], int]]:
        """Operands, each with its operator's index; what `on (…)` says belongs to the operator."""
        parts: list[tuple[list[int], int]] = [([], -1)]
        for each in indices:
            token = self.tokens[each]
            if token.kind == "word" and token.text in operators:
                parts.append(([], each))
            else:
                parts[-1][0].append(each)
        return [(self._without_matching(part) if operator >= 0 else part, operator) for part, operator in parts]

    def _without_matching(self, part: list[int]) -> list[int]:
        while part and self.tokens[part[0]].text in {"on", "ignoring", "group_left", "group_right"}:
            part = part[3:] if len(part) > 1 and self.tokens[part[1]].text == "(" else part[1:]
        return part


def counts(expr: Expr, whole: frozenset[str]) -> bool:
    """Whether an expression's values can only be whole, as far as names tell."""
    within = [counts(each, whole) for each in promql.children(expr)]
    match expr:
        case VectorSelector():
            return expr.name in whole or not MEASURED.search(expr.name or ":")
        case MatrixSelector():
            return counts(expr.vector_selector, whole)
        case NumberLiteral():
            return expr.val.is_integer()
        case AggregateExpr() | Call() | BinaryExpr():
            operation = expr.func.name if isinstance(expr, Call) else str(expr.op)
            return operation in COUNTS or (operation in KEEP_WHOLE and all(within))
    return bool(within) and all(within)


def _altered(op: str, quoted: str) -> Iterator[str]:
    """Other values for a matcher: each alternative of a regular expression left out, or a value that nothing has."""
    quote, value = quoted[0], quoted[1:-1]
    alternatives = value.split("|") if op in {"=~", "!~"} and not set("()") & set(value) else [value]
    if len(alternatives) > 1:
        for number in range(len(alternatives)):
            yield quote + "|".join(alternatives[:number] + alternatives[number + 1 :]) + quote
    elif op in {"=", "=~"}:
        yield f"{quote}{value}-other{quote}"


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
