"""Whether a migration can be applied while old pods run: it only adds, and locks nothing for long.

The list of what locks and for how long is PostgreSQL's documentation of ALTER TABLE and CREATE INDEX, and 13.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelcard_generator.database import statements
from modelcard_generator.database.migrations import NO_TRANSACTION

Rules = tuple[tuple[re.Pattern[str], str], ...]


def _rules(*rules: tuple[str, str]) -> Rules:
    return tuple((re.compile(pattern), reason) for pattern, reason in rules)


_LATER = "old pods still use it; drop it by hand when the last of them is gone"
_OPERATOR = "it stops old pods; leave it to an operator"
_NEXT_FILE = "add it as NOT VALID, and validate it in the next file"
_STATEMENTS = _rules(
    (r"DROP (?!INDEX CONCURRENTLY )", f"{_LATER} (an index: CONCURRENTLY)"),
    (r"TRUNCATE |DELETE ", "old pods still read these rows; delete them by hand when the last of them is gone"),
    (r"ALTER .*\bRENAME ", "old pods use the old name; add the new one beside it"),
    (r"ALTER .*\b(SET SCHEMA|OWNER TO) ", _OPERATOR),
    (r"(REVOKE|LOCK|CLUSTER|VACUUM|REFRESH|REASSIGN)\b", _OPERATOR),
    (r"REINDEX (?!\w+ CONCURRENTLY )", f"it locks the table; add CONCURRENTLY, in a file with `{NO_TRANSACTION}`"),
    (r"(DO|CALL|EXECUTE|COPY)\b", "what it does cannot be judged; write its statements"),
    (r"(BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|SET|RESET)\b", "a migration has a transaction; leave it out"),
)
_ACTIONS = _rules(
    (r"DROP (?!CONSTRAINT )", _LATER),
    (r"ALTER (COLUMN )?\S+ (SET DATA )?TYPE ", "it rewrites the table under a lock; add a column of the new type"),
    (r"ALTER (COLUMN )?\S+ SET NOT NULL", f"old pods write NULL; add a CHECK a release later: {_NEXT_FILE}"),
    (r"ALTER (COLUMN )?\S+ DROP DEFAULT", "old pods insert without this column; keep its DEFAULT"),
    (r"(ATTACH|DETACH|INHERIT|NO INHERIT|DISABLE|ENABLE|FORCE|SET (LOGGED|UNLOGGED|TABLESPACE|ACCESS)) ", _OPERATOR),
    (
        r"ADD (CONSTRAINT \S+ )?(CHECK|FOREIGN KEY|EXCLUDE)\b(?!.*\bNOT VALID\b)",
        f"it reads the table under a lock; {_NEXT_FILE}",
    ),
    (
        r"ADD (CONSTRAINT \S+ )?(UNIQUE|PRIMARY KEY)\b(?!.*\bUSING INDEX\b)",
        "it builds an index under a lock; CREATE UNIQUE INDEX CONCURRENTLY in a file before, and add it USING INDEX",
    ),
)
_COLUMNS = _rules(
    (r"(?=.*\bNOT NULL\b)(?!.*\bDEFAULT\b)", "NOT NULL without DEFAULT: old pods insert without it; give it a DEFAULT"),
    (
        r".*(SERIAL\b|\bGENERATED |\b(RANDOM|GEN_RANDOM_UUID|CLOCK_TIMESTAMP|TIMEOFDAY|NEXTVAL|UUID_GENERATE_V\d)\b)",
        "a value of its own for every row rewrites the table under a lock; add the column without it",
    ),
    (r".*\b(UNIQUE|PRIMARY KEY|REFERENCES|CHECK)\b", f"a constraint of a new column holds a lock; {_NEXT_FILE}"),
)

_TABLE = r"(?:PUBLIC\.)?(?P<table>[^\s(*]+)"
_CREATE_TABLE = re.compile(rf"CREATE (?:UNLOGGED )?TABLE (?!IF NOT EXISTS ){_TABLE}")
_ALTER_TABLE = re.compile(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?{_TABLE}\s*\*? (?P<actions>.*)")
_ADD_COLUMN = re.compile(r"ADD (?!(?:CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY|EXCLUDE)\b)")
_UPDATE = re.compile(rf"(?:WITH .*\b)?UPDATE (?:ONLY )?{_TABLE}")
_CREATE_INDEX = re.compile(
    rf"CREATE (?:UNIQUE )?INDEX (?P<concurrently>CONCURRENTLY )?(?:(?!ON )(?P<index>\S+) )?ON (?:ONLY )?{_TABLE}"
)
_DROP_INDEX = re.compile(r"DROP INDEX CONCURRENTLY IF EXISTS (?P<index>\S+)")
_CONCURRENT = re.compile(r"(CREATE (UNIQUE )?INDEX|DROP INDEX|REINDEX \w+) CONCURRENTLY ")


def unsafe(sql: str) -> list[str]:
    """Why a migration cannot be applied under running old pods: one line each, with what to do instead."""
    bare = statements.bare(sql)
    reasons = [f"{statement[:80]}: {reason}" for statement, reason in [*_about_tables(bare), *_about_rerun(sql, bare)]]
    if any("NOT VALID" in statement for statement in bare):
        reasons += [
            f"{statement[:80]}: it reads the table under the lock of NOT VALID; validate in the next file"
            for statement in bare
            if "VALIDATE CONSTRAINT" in statement
        ]
    return reasons


def _about_tables(bare: list[str]) -> Iterator[tuple[str, str]]:
    """What harms pods that use a table; of one that the same file creates they know nothing yet."""
    created: set[str] = set()
    for statement in bare:
        if match := _CREATE_TABLE.match(statement):
            created.add(match["table"])
        for reason in _matching(_STATEMENTS, statement):
            yield statement, reason
        if (match := _UPDATE.match(statement)) and match["table"] not in created:
            yield statement, "it locks the rows that old pods write; fill columns in batches, outside of migrations"
        if (match := _ALTER_TABLE.match(statement)) and match["table"] not in created:
            for action in _actions(match["actions"]):
                for reason in _matching(_ACTIONS + (_COLUMNS if _ADD_COLUMN.match(action) else ()), action):
                    yield statement, reason
        if (match := _CREATE_INDEX.match(statement)) and match["table"] not in created and not match["concurrently"]:
            yield statement, f"nobody can write meanwhile; add CONCURRENTLY, in a file with `{NO_TRANSACTION}`"


def _about_rerun(sql: str, bare: list[str]) -> Iterator[tuple[str, str]]:
    """What harms if a pod dies in the middle of a file."""
    in_transaction = not sql.startswith(f"{NO_TRANSACTION}\n")
    dropped: set[str] = set()
    for statement in bare:
        concurrent = _CONCURRENT.match(statement)
        if match := _DROP_INDEX.match(statement):
            dropped.add(match["index"])
        if concurrent and in_transaction:
            yield statement, f"it cannot be in a transaction; begin the file with `{NO_TRANSACTION}`"
        if not concurrent and not in_transaction and "VALIDATE CONSTRAINT" not in statement:
            yield statement, "a pod may die before the rest; put it in a file with a transaction"
        match = _CREATE_INDEX.match(statement)
        if match and match["concurrently"] and match["index"] not in dropped:
            yield statement, "a pod may die before it is valid; name it, after DROP INDEX CONCURRENTLY IF EXISTS name"


def _matching(rules: Rules, text: str) -> Iterator[str]:
    return (reason for pattern, reason in rules if pattern.match(text))


def _actions(text: str) -> list[str]:
    """The parts of an ALTER TABLE between the commas that are in no parentheses."""
    depth, actions = 0, [""]
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            actions.append("")
        else:
            actions[-1] += character
    return [action.strip() for action in actions]
