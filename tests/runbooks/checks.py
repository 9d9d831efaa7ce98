"""Everything that can be known of the runbooks without running a command. Each problem is one line, with its place.

What is checked of alerts (that each has a page, and each page an alert) is in infra/monitoring/checks.py.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main
from markdown_it import MarkdownIt

from infra.environments.cli import app as mcenv
from infra.monitoring import promql
from infra.monitoring.checks import PROCEDURES, Monitoring, kebab, load, unknown_labels, unknown_metrics
from infra.monitoring.promql import PromQLError
from infra.monitoring.rules import Problem, Rule
from infra.settings import Settings
from modelcard_ops.cli import app as mcops
from tests.runbooks import kubectl
from tests.runbooks.arguments import Kubectl, parse_kubectl
from tests.runbooks.declared import Declared
from tests.runbooks.exceptions import NOT_EXECUTED
from tests.runbooks.pages import FOLDER, PLACEHOLDER, Page, Piece, read_pages
from tests.runbooks.shell import Command, Script, parse, substitutions

TABLE = "tests/runbooks/exceptions.py"
SECTIONS = ("Symptoms", "Immediate actions", "Resolution", "Prevention")
SUBDIVIDED = ("Immediate actions", "Resolution")
LINES = 100  # of a page: more is not read at night
COMMANDS = {"mcenv", "mcops"}
# What is on the computer of whoever is called, beside kubectl, mcenv and mcops.
LAPTOP = {
    "grep", "head", "tail", "sort", "uniq", "cut", "tr", "wc", "awk", "sed", "cat", "echo", "base64", "openssl", "curl",
    "read", "jq", "date", "export",
}  # fmt: skip
QUERY = re.compile(r"(?:[a-z_:]+\(|[a-z_:]+\{|ALERTS\{|(?:sum|count|max|min) by )")
SETTING = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")
LITERAL = re.compile(r"^```.*?^```|\[[^\]]*\]\([^)]*\)|`[^`]*`|^#[^\n]*$", re.MULTILINE | re.DOTALL)
WRITES = re.compile(r"\b(?:DELETE|DROP|TRUNCATE|UPDATE|ALTER|VACUUM|pg_terminate_backend|pg_cancel_backend)\b")


@dataclass(frozen=True, kw_only=True)
class Runbooks:
    """What is checked, and against what. `labels` are those with which an alert's test makes it fire."""

    root: Path
    pages: Sequence[Page]
    declared: Declared
    monitoring: Monitoring
    labels: Mapping[str, Mapping[str, str]]

    @functools.cached_property
    def alerts(self) -> set[str]:
        """Names."""
        return {rule.name for rule in self.monitoring.rules if rule.kind == "alert"}


def load_runbooks(root: Path, declared: Declared) -> Runbooks:
    """The pages, the alerts, and what prod declares."""
    monitoring, _ = load(root)  # what is wrong with rules is said by their own check
    return Runbooks(
        root=root,
        pages=read_pages(root),
        declared=declared,
        monitoring=monitoring,
        labels=dict(firing(monitoring)),
    )


def problems(runbooks: Runbooks) -> list[Problem]:
    """All of them, in the order of files and lines."""
    return sorted({*of_pages(runbooks.pages, runbooks), *dead_links(runbooks.root), *exceptions(runbooks)})


def of_pages(pages: Sequence[Page], runbooks: Runbooks) -> list[Problem]:
    """What is wrong with these pages."""
    found = {
        problem
        for check in PAGE_CHECKS
        for page in pages
        # A procedure of several steps is not about an alert.
        if not (check is outline and page.name in PROCEDURES)
        for problem in check(page, runbooks)
    }
    return sorted(found | set(queries(pages, runbooks)))


def firing(monitoring: Monitoring) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The labels of the first alert that each alert's test `firing` expects."""
    for tests in monitoring.tests:
        for case in tests.cases:
            for expected in case.expected:
                if case.aspect == "firing" and expected.alert == case.subject and expected.alerts:
                    yield case.subject, dict(expected.alerts[0].get("exp_labels") or {})


def outline(page: Page, runbooks: Runbooks) -> Iterator[Problem]:
    """The title is the alert's; then what it means, and four sections in their order."""
    title = page.headings[0] if page.headings else None
    if title is None or title.level != 1 or kebab(title.text) != page.name:
        yield Problem(page.file, 1, "begins with `# ` and the name of the alert that the file is named after")
        return
    if not page.introduction.strip():
        yield Problem(page.file, title.line, "says below its title what the alert means, in a sentence or two")
    sections = tuple(each.text for each in page.headings if each.level == 2)
    if sections != SECTIONS:
        yield Problem(
            page.file, 1, f"has the sections {', '.join(SECTIONS)}, in this order; it has {', '.join(sections)}"
        )
        return
    for each in page.headings[1:]:
        if each.level > 3 or (each.level == 3 and _section(page, each.line) not in SUBDIVIDED):
            yield Problem(page.file, each.line, f"only {' and '.join(SUBDIVIDED)} are divided, by `###`")
    if not any(block.section == "Immediate actions" for block in page.blocks):
        yield Problem(page.file, 1, "has a block of commands under Immediate actions")
    for section in ("Symptoms", "Resolution", "Prevention"):
        if not re.search(rf"^## {section}\n+(?:###.*\n+)?(?:- |\d\. )", page.text, re.MULTILINE):
            line = next(each.line for each in page.headings if each.text == section)
            yield Problem(page.file, line, f"{section} is a list")
    if (lines := page.text.count("\n")) > LINES:
        yield Problem(page.file, lines, f"has {lines} lines: nobody reads more than {LINES} at night")


def _section(page: Page, line: int) -> str:
    return next((each.text for each in reversed(page.headings) if each.level == 2 and each.line <= line), "")


def mentions(page: Page, runbooks: Runbooks) -> Iterator[Problem]:
    """Another alert is named by a link to its page."""
    bare = LITERAL.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), page.text)
    for number, line in enumerate(bare.splitlines(), start=1):
        for word in re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", line):
            if word in runbooks.alerts and word != page.alert:
                yield Problem(page.file, number, f"names {word} without a link: [{word}]({kebab(word)}.md)")


def blocks(page: Page, runbooks: Runbooks) -> Iterator[Problem]:
    """Fenced blocks are shell, and parse."""
    for block in page.blocks:
        if block.language != "sh":
            yield Problem(page.file, block.line - 1, f"a block of `{block.language}` is not run: write it as `sh`")
            continue
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip().splitlines()[0].partition(": ")[2]
            line = block.line + int(found[1]) - 1 if (found := re.search(r"line (\d+)", said)) else block.line
            yield Problem(page.file, line, f"does not parse: {said.rpartition(': ')[2]}")


def scripts(page: Page) -> Iterator[tuple[Piece, Script]]:
    """Every block and every command between backticks, parsed."""
    functions = frozenset(name for block in page.blocks for name in parse(block.text).functions)
    for block in page.blocks:
        if block.language == "sh":
            yield block, parse(block.text, block.line)
    for span in page.spans:
        words = span.text.split()
        if len(words) > 1 and words[0] in {"kubectl", *COMMANDS, *functions}:
            script = parse(span.text, span.line)
            yield span, dataclasses.replace(script, functions=functions)


def commands(page: Page, runbooks: Runbooks) -> Iterator[Problem]:
    """Each command names what prod has."""
    for piece, script in scripts(page):
        for command in _all(script.commands):
            for each in _expanded(command):
                for message in _command(piece, each, script, runbooks):
                    yield Problem(page.file, command.line, message)


def _all(found: Sequence[Command]) -> Iterator[Command]:
    """With those inside of `$(…)`."""
    for command in found:
        yield command
        here = command.words[: command.words.index("--")] if "--" in command.words else command.words
        for word in here:
            for inside in substitutions(word):
                yield from _all(parse(inside, command.line).commands)


def _expanded(command: Command) -> Iterator[Command]:
    """Once for each value of a loop's variable."""
    for name, values in command.variables.items():
        if any(f"${name}" in word for word in command.words):
            for value in values:
                yield dataclasses.replace(command, words=[each.replace(f"${name}", value) for each in command.words])
            return
    yield command


def _command(piece: Piece, command: Command, script: Script, runbooks: Runbooks) -> Iterator[str]:
    in_block = bool(piece.language)
    if command.program == "kubectl":
        parsed = parse_kubectl(command.words[1:])
        yield from kubectl.problems(parsed, runbooks.declared) if in_block or _whole(parsed) else ()
        if in_block and parsed.changes and not command.note:
            yield f"`kubectl {parsed.verb}` changes something: say what in a comment above it"
        if in_block and parsed.verb == "port-forward" and command is not script.commands[-1]:
            yield "`port-forward` runs until it is ended: nothing can follow it"
    elif command.program in COMMANDS:
        yield from _own_command(command)
    elif command.program in script.functions:
        if in_block and any(WRITES.search(word) for word in command.words) and not command.note:
            yield f"`{command.program}` changes something: say what in a comment above it"
    elif command.program not in LAPTOP:
        yield f"{command.program} is not on everybody's computer: do without it"


def _whole(parsed: Kubectl) -> bool:
    """Whether a sentence means a command to be typed, and does not only name one, as in `kubectl uncordon`."""
    return bool(parsed.things)


def _own_command(command: Command) -> Iterator[str]:
    """Whether `mcenv` or `mcops` takes these words."""
    group, words = _commands()[command.program], list(command.words[1:])
    context = group.context_class(group, info_name=command.program)
    while hasattr(group, "commands"):
        if not words or words[0] not in group.commands:
            yield f"`{' '.join(command.words)}`: {command.program} has no such command; try --help"
            return
        group = group.commands[words.pop(0)]
        context = group.context_class(group, info_name=group.name, parent=context)
    try:
        group.parse_args(context, words)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what typer's own errors have, whose classes are not public
            raise
        yield f"`{' '.join(command.words)}`: {error.format_message()}"


@functools.cache
def _commands() -> dict[str, Any]:
    return {name: typer.main.get_command(app) for name, app in {"mcenv": mcenv, "mcops": mcops}.items()}


def queries(pages: Sequence[Page], runbooks: Runbooks) -> Iterator[Problem]:
    """What Prometheus is asked has a metric and labels that exist."""
    added: list[tuple[Rule, Any]] = []
    for page in pages:
        for line, written in _queries(page):
            text = page.filled(written, runbooks.labels.get(page.alert, {}))
            rule = Rule(file=page.file, line=line, group="", kind="alert", name="the query", expr=text)
            try:
                added.append((rule, promql.parse(text)))
            except PromQLError as error:
                yield rule.problem("expr", f"does not parse: {error}")
    files = {page.file for page in pages}
    # Of the rules only what is recorded, for its labels: the others are checked where they are.
    recorded = [each for each in runbooks.monitoring.expressions if each[0].kind == "record"]
    asked = dataclasses.replace(runbooks.monitoring, expressions=[*recorded, *added])
    for check in (unknown_metrics, unknown_labels):
        yield from (each for each in check(asked) if each.file in files and "without a name" not in each.message)


def _queries(page: Page) -> Iterator[tuple[int, str]]:
    for span in page.spans:
        if QUERY.match(span.text) and not span.text.startswith(("pg_", "sql")):
            yield span.line, span.text
    for _, script in scripts(page):
        for command in script.commands:
            if {"promtool", "query"} <= set(command.words):
                yield command.line, command.words[-1]


def settings(page: Page, runbooks: Runbooks) -> Iterator[Problem]:
    """A setting that a page names exists."""
    for span in page.spans:
        first = span.text.partition(".")[0]
        if SETTING.fullmatch(span.text) and first in Settings.model_fields and not _is_setting(span.text):
            yield Problem(page.file, span.line, f"there is no setting {span.text}: see infra/settings.py")


def _is_setting(path: str) -> bool:
    model: Any = Settings
    for step in path.split("."):
        fields = getattr(model, "model_fields", {})
        if step not in fields:
            return False
        annotation = fields[step].annotation
        models = [each for each in getattr(annotation, "__args__", ()) if hasattr(each, "model_fields")]
        model = models[0] if models else annotation
    return True


def placeholders(page: Page, runbooks: Runbooks) -> Iterator[Problem]:
    """What the reader replaces in a block is introduced, and is a label of the alert."""
    introduced = set(page.placeholders)
    for block, script in scripts(page):
        if not block.language:
            continue
        for command in script.commands:
            for word in sorted(_replaced(command)):
                if word not in introduced:
                    yield Problem(
                        page.file, command.line, f"{word} is to be replaced by what? Say it above: `{word}` is …"
                    )
    carried = runbooks.labels.get(page.alert)
    for word, labels in page.labels().items():
        if carried is not None and not labels & carried.keys():
            message = f"`{word}` is the label {' or '.join(sorted(labels))}, with which the alert's test does not fire"
            yield Problem(page.file, 3, f"{message}; it has {', '.join(sorted(carried))}")


def _replaced(command: Command) -> set[str]:
    """The placeholders among the words of a kubectl command; SQL is in capitals, too."""
    words = command.words if command.program == "kubectl" else ()
    return {
        part
        for word in words
        for part in re.split(r"[/=]", word)
        if PLACEHOLDER.fullmatch(part) and len(word) < 80 and " " not in word
    }


def dead_links(root: Path) -> Iterator[Problem]:
    """Relative links of every Markdown file of the repository lead to a file, and to a heading of it."""
    for path in sorted(_markdown(root)):
        file = str(path.relative_to(root))
        for token in MarkdownIt("commonmark").enable("table").parse(path.read_text()):
            for child in token.children or ():
                target = str(child.attrs.get("href", child.attrs.get("src", "")))
                if not target or re.match(r"[a-z]+:", target):
                    continue
                name, _, anchor = target.partition("#")
                aim = (path.parent / name).resolve() if name else path
                line = token.map[0] + 1 if token.map else 1
                if not aim.exists():
                    yield Problem(file, line, f"the link {target} leads nowhere")
                elif anchor and anchor not in _anchors(aim):
                    yield Problem(file, line, f"the link {target} leads to no heading")


def _markdown(root: Path) -> Iterator[Path]:
    yield from root.glob("*.md")
    for folder in (FOLDER, "docs", "images", "infra", "policy", "src", "tests", "tools"):
        yield from (root / folder).rglob("*.md")


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in titles}


def exceptions(runbooks: Runbooks) -> Iterator[Problem]:
    """Each entry of the table is about a block that is there, and says why."""
    for name, beginning, reason in NOT_EXECUTED:
        blocks = [block for page in runbooks.pages if page.name == name for block in page.blocks]
        count = sum(begins(block, beginning) for block in blocks)
        if count != 1:
            message = (
                f"{count} blocks of {FOLDER}/{name}.md have a line that begins with {beginning!r}: correct the entry"
            )
            yield Problem(TABLE, 1, message)
        if len(reason) < 20:
            yield Problem(TABLE, 1, f"{name}: say why it cannot be executed here")


def begins(block: Piece, text: str) -> bool:
    """Whether a line of the block begins so."""
    return any(line.startswith(text) for line in block.text.splitlines())


def reason(page: Page, block: Piece) -> str | None:
    """Why a block is not executed; None if it is."""
    return next((why for name, text, why in NOT_EXECUTED if name == page.name and begins(block, text)), None)


PAGE_CHECKS = (outline, mentions, blocks, commands, settings, placeholders)
