"""Writes docs/policies.md: which control, by which policy, tested by which cases, and which judges look there too."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from policy.exceptions import EXCEPTIONS
from policy.judges import CHECKOV, CHECKOV_CLOUD, KUBE_SCORE
from policy.levels import RELAXED, Level, level_of
from policy.rules import ALL
from policy.stack import StackRule
from tests.policy.cases import CASES
from tests.policy.judged import JUDGES

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"


def page() -> str:
    """The page as it should be."""
    cases = Counter(case.rule for case in CASES)
    lines = [
        "# Policies",
        "",
        "Written by `make generated`. Each policy is a function in `policy/rules/`, run by the Pulumi engine and the",
        "preview. Its cases in `tests/policy/cases.py` are tried compliant, violating, unknown and secret, as a",
        "function and over the engine's interface; `make policies` breaks the platform in hundreds of ways and",
        "compares with the judges, `make judges` asks them about every stack. ∑ marks a policy about the whole stack.",
        "",
        "| control | policy | what it demands | cases | judges that look there |",
        "| --- | --- | --- | --- | --- |",
    ]
    for rule in ALL:
        mark = " ∑" if isinstance(rule, StackRule) else ""
        judges = ", ".join(JUDGES.get(rule.name, ())) or "none"
        control = f"[{rule.control.title}]({rule.control.reference})"
        cells = (control, f"`{rule.name}`{mark}", rule.summary, str(cases[rule.name]), judges)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    lines += [
        "",
        "## What counts less somewhere",
        "",
        "| policies | local | dev | prod | why |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in RELAXED:
        names = sorted(each.rules)
        levels = [level_of(names[0], environment) for environment in ("local", "dev", "prod")]
        lines.append(f"| {', '.join(f'`{name}`' for name in names)} | {' | '.join(levels)} | {each.why} |")
    lines += [
        "",
        f"Everything else is {Level.MANDATORY} everywhere, and a stack of an unknown environment is judged as prod.",
        "",
    ]
    lines += ["## Exceptions", "", "| policy | resource | until | who | why |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{each.rule}` | `{each.resource}` | {each.expires} | {each.owner} | {each.reason} |" for each in EXCEPTIONS
    ]
    lines += [
        "",
        "From what judges say:",
        "",
        "| judge | finding | of | until | why |",
        "| --- | --- | --- | --- | --- |",
    ]
    judged = [("kube-score", KUBE_SCORE), ("checkov", CHECKOV), ("checkov (AWS)", CHECKOV_CLOUD)]
    lines += [
        f"| {judge} | {each.finding} | `{each.name}` | {each.expires} | {each.reason} |"
        for judge, exceptions in judged
        for each in exceptions
    ]
    return "\n".join([*lines, ""])


def main() -> int:
    """Write the page, or with `--check` say whether it is as it should be."""
    text = page()
    if "--check" not in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{PAGE.relative_to(Path.cwd())} is out of date: run `make generated`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
