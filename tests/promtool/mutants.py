"""Runs every changed rule against the tests that concern it, and says which change nobody noticed.

Usage: `python -m tests.promtool.mutants [rules/x.yml …]`. What survives and may is listed, with a reason, in
`rules/tests/survivors.yml`.

promtool gets the rules that a test depends on, one of them changed, and that test alone. Tests come one by one, the
likeliest to notice first, and only mutants that live meet the next. Where a test sees nothing else of what is changed,
all mutants of a rule meet it together: of an alert as copies under names of their own; of a record as queries at the
times that are asserted, instead of at every evaluation before.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from infra.monitoring import promql
from infra.monitoring.rules import SURVIVORS, Rule, read
from tests.promtool.mutations import Kind, Mutation, counts, mutations
from tests.promtool.promtool import ROOT, SCRATCH, failures
from tests.promtool.suites import OF_ALERTS, RuleFile, Suite, Test, copy, query, suites

LISTED = f"rules/tests/{SURVIVORS}"
# By what a mutation does to a rule, which tests are likely to notice.
LIKELY: dict[Kind, tuple[str, ...]] = {
    "stricter": ("firing", "missing series"),
    "looser": ("below threshold", "healthy", "firing"),
    "sooner": ("pending",),
    "later": ("firing",),
    "wider": ("firing", "below threshold"),
    "other": ("firing", "below threshold", "healthy"),
}


@dataclass(eq=False)
class Mutant:
    """A mutation on its way through the tests that concern it."""

    suite: Suite
    index: int  # of its rule
    identity: str
    mutation: Mutation
    readers: set[str]  # the names that change with it
    tests: list[Test]
    killed_by: str = ""

    @property
    def original(self) -> Rule:
        """Its rule, unchanged."""
        return self.suite.rules[self.index]


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """Mutants of one rule, and the test that they meet: one mutant as itself, or several as something else."""

    mutants: Sequence[Mutant]
    test: Test
    form: Literal["itself", "alerts", "queries"]

    def write(self, folder: Path) -> Path:
        """Returns the file of tests."""
        folder.mkdir()
        (folder / "rules.yml").write_text(self._rules())
        file = folder / "test.yml"
        file.write_text(self._test())
        return file

    def killed(self, said: Sequence[str]) -> list[Mutant]:
        """Those whose changes were noticed. Raises if promtool refuses the rules, which no test of ours notices."""
        text = "\n".join(said)
        if "rules.yml: " in text:
            raise RuntimeError(f"{self.mutants[0].identity} changed is refused: {text}")
        if self.form == "itself":
            return list(self.mutants) if said else []
        named = re.compile(rf"(?:alertname: |rule: |# ){re.escape(self._name)}__(\d+)[,\"]")
        return [self.mutants[number] for number in sorted({int(number) for number in named.findall(text)})]

    @property
    def _name(self) -> str:
        return self.mutants[0].original.name

    def _test(self) -> str:
        if self.form == "itself":
            return self.test.file()
        if self.form == "alerts":
            return self.test.of_alerts(self._name, len(self.mutants))
        same = [rule for rule in self.mutants[0].suite.rules if rule.name == self._name]
        queries = [
            query(mutant.mutation.rule if rule is mutant.original else rule for rule in same) for mutant in self.mutants
        ]
        return self.test.of_queries(self._name, queries)

    def _rules(self) -> str:
        first, file = self.mutants[0], RuleFile()
        suite = first.suite
        needed = suite.needed({self._name} if self.form != "itself" else self.test.asserts) | {first.index}
        for index in sorted(needed):
            rule = suite.rules[index]
            if rule.name != self._name or self.form == "itself":
                file.add(first.mutation.rule if index == first.index else rule, rule.name)
            elif self.form == "alerts":
                for number, mutant in enumerate(self.mutants):
                    file.add(mutant.mutation.rule if index == first.index else rule, copy(rule.name, number))
        return file.text()


@dataclass(frozen=True, kw_only=True)
class Survivor:
    """A change that no test notices."""

    rule: str
    mutation: str


@dataclass(kw_only=True)
class Score:
    """What became of the mutants of a file."""

    file: str
    mutants: int = 0
    survivors: list[Survivor] = field(default_factory=list)

    def __str__(self) -> str:
        killed = self.mutants - len(self.survivors)
        return f"{self.file}: {killed} of {self.mutants} mutants killed ({killed / max(self.mutants, 1):.1%})"


def run(all_suites: Sequence[Suite]) -> list[Score]:
    """Puts all mutants through their tests. Raises if a test fails on the rules as they are."""
    everything = [mutant for suite in all_suites for mutant in mutants(suite)]
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        _demand_passing(all_suites, Path(scratch))
        waiting, number = [mutant for mutant in everything if mutant.tests], 0
        while waiting:
            files = {}
            for meeting in _meetings(waiting):
                files[meeting.write(Path(scratch) / str(number))] = meeting
                number += 1
            _meet(files)
            waiting = [mutant for mutant in waiting if mutant.tests and not mutant.killed_by]
    scores = {suite.file: Score(file=suite.file) for suite in all_suites}
    for mutant in everything:
        score = scores[mutant.suite.file]
        score.mutants += 1
        if not mutant.killed_by:
            score.survivors.append(Survivor(rule=mutant.identity, mutation=mutant.mutation.change))
    return list(scores.values())


def mutants(suite: Suite) -> list[Mutant]:
    """Of all rules of a file, each with the tests that its rule has any bearing on."""
    whole = _whole(suite.rules)
    found = []
    for index, (identity, rule) in enumerate(zip(suite.identities(), suite.rules, strict=True)):
        readers = suite.readers(rule)
        tests = [test for test in suite.tests if test.asserts & readers]
        found += [
            Mutant(
                suite=suite,
                index=index,
                identity=identity,
                mutation=mutation,
                readers=readers,
                tests=sorted(tests, key=lambda test: _rank(test, rule, mutation.kind)),
            )
            for mutation in mutations(rule, whole)
            if rule.file == suite.file
        ]
    return found


def _whole(rules: Sequence[Rule]) -> frozenset[str]:
    """Recorded names that count something."""
    whole = frozenset[str]()
    for rule in rules:  # in the order in which they may read each other
        if rule.kind == "record" and counts(promql.parse(rule.expr), whole):
            whole |= {rule.name}
    return whole


def _rank(test: Test, rule: Rule, kind: Kind) -> tuple[bool, int]:
    """A rule's own tests before those of its readers, and the likeliest first."""
    subject, _, aspect = test.name.partition(": ")
    likely = LIKELY[kind]
    return subject != rule.name, likely.index(aspect) if aspect in likely else len(likely)


def _meetings(waiting: Iterable[Mutant]) -> list[Meeting]:
    """Each mutant with the next of its tests."""
    together: dict[tuple[str, int, Test], list[Mutant]] = defaultdict(list)
    meetings = []
    for mutant in waiting:
        if form(mutant) == "itself":
            meetings.append(Meeting(mutants=[mutant], test=mutant.tests[0], form="itself"))
        else:
            together[mutant.suite.file, mutant.index, mutant.tests[0]].append(mutant)
    for (_, _, test), several in together.items():
        meetings.append(Meeting(mutants=several, test=test, form=form(several[0])))
    return meetings


def form(mutant: Mutant) -> Literal["itself", "alerts", "queries"]:
    """How a mutant meets the next of its tests."""
    test, rule, readers = mutant.tests[0], mutant.original, mutant.readers
    if rule.kind == "alert" and readers == {rule.name, *OF_ALERTS} and not test.queried & OF_ALERTS:
        return "alerts"
    if (
        rule.kind == "record"
        and rule.name not in mutant.suite.reads[mutant.index]
        and test.asks_only(rule.name, readers)
    ):
        return "queries"
    return "itself"


def _meet(files: Mapping[Path, Meeting]) -> None:
    """Says of each mutant by which test it was killed, or takes the test off its list."""
    said = failures(list(files))
    for file, meeting in files.items():
        killed = meeting.killed(said.get(file, ()))
        for mutant in killed:
            mutant.killed_by = meeting.test.name
        # An expression that cannot be evaluated ends the test for all: whoever it does not name meets it again.
        if not any("rule: " in each for each in said.get(file, ())):
            for mutant in meeting.mutants:
                mutant.tests.pop(0)
        elif not killed:
            raise RuntimeError(f"{meeting.test.name}: {said[file]}")


def _demand_passing(all_suites: Sequence[Suite], scratch: Path) -> None:
    """A test that fails anyway kills everything, and proves nothing."""
    files = {}
    for suite in all_suites:
        for number, test in enumerate(suite.tests):
            folder = scratch / f"{Path(suite.file).stem}-{number}"
            folder.mkdir()
            rules = RuleFile()
            for index in sorted(suite.needed(test.asserts)):
                rules.add(suite.rules[index], suite.rules[index].name)
            (folder / "rules.yml").write_text(rules.text())
            (folder / "test.yml").write_text(test.file())
            files[folder / "test.yml"] = f"{suite.file}: {test.name}"
    broken = [f"{files[file]}: {'; '.join(said)}" for file, said in failures(list(files)).items()]
    if broken:
        raise RuntimeError("These tests fail before anything is changed:\n" + "\n".join(broken))


def listed(root: Path) -> dict[Survivor, str]:
    """The survivors that are known, with the reason why each may live."""
    path = root / LISTED
    if not path.exists():
        return {}
    content, problems = read(path, LISTED)
    if problems:
        raise ValueError(str(problems[0]))
    return {Survivor(rule=each["rule"], mutation=each["mutation"]): each.get("reason", "") for each in content or ()}


def total(scores: Sequence[Score]) -> Score:
    """Of all files."""
    survivors = [each for score in scores for each in score.survivors]
    return Score(file="all", mutants=sum(score.mutants for score in scores), survivors=survivors)


def unexplained(scores: Sequence[Score], known: Mapping[Survivor, str], *, everything: bool) -> list[str]:
    """What is wrong with the list: who survives and is not on it, or without a reason, or is on it and is killed."""
    survivors = [each for score in scores for each in score.survivors]
    unlisted = [f"{each.rule}: {each.mutation}: survives" for each in survivors if each not in known]
    bare = [f"{LISTED}: {each.rule}: {each.mutation}: give a reason" for each, reason in known.items() if not reason]
    stale = [
        f"{LISTED}: {each.rule}: {each.mutation}: survives no more: take it off"
        for each in known.keys() - set(survivors)
    ]
    return [*unlisted, *bare, *(sorted(stale) if everything else ())]


def main(files: Sequence[str]) -> int:
    """Prints what survives and is not listed, and the scores; fails if there is any."""
    start = time.perf_counter()
    try:
        scores = run(suites(ROOT, files))
        wrong = unexplained(scores, listed(ROOT), everything=not files)
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(*wrong, *scores, f"{total(scores)}, in {time.perf_counter() - start:.0f} s", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
