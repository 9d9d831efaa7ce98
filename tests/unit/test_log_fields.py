"""Every field that the application or nginx can write has a mapping of its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from infra.environments.workspace import ROOT
from modelcard_generator.logging.config import ADDED_FIELDS
from modelcard_ops.logs.ingest import parameters
from modelcard_ops.logs.schema import AROUND, FIELDS, TYPES, properties

SOURCES = sorted((ROOT / "src" / "modelcard_generator").rglob("*.py"))
NGINX = ROOT / "infra" / "components" / "nginx.conf"
# Calls whose keywords are fields, and those that are called alike and are not about logs.
BY_KEYWORD = {"audit_event", "input_rejected", "bind", "request_context"}
OTHER = "cache/keys.py"
NAMES = {each.name for each in FIELDS}


class UnreadableError(Exception):
    """A field whose name is not written where it is logged."""


def fields_of(source: str, file: str = "x.py") -> Iterator[str]:
    """Names of the extra fields in a module: of `extra=`, of events, and of what is bound to a context."""
    tree = ast.parse(source)
    for function in [
        tree,
        *(each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)),
    ]:
        # What a name in this function stands for, if it is a dict that is written out.
        dicts = {
            target.id: each.value
            for each in ast.walk(function)
            if isinstance(each, ast.Assign) and isinstance(each.value, ast.Dict)
            for target in each.targets
            if isinstance(target, ast.Name)
        }
        for call in (each for each in ast.walk(function) if isinstance(each, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name in BY_KEYWORD and not file.endswith(OTHER):
                yield from (each.arg for each in call.keywords if each.arg is not None)
            if name == "_set" and isinstance(call.args[0], ast.Constant):
                yield str(call.args[0].value)
            if name == "_event":
                yield from _keys(call.args[-1], dicts, file)
            for each in call.keywords:
                if each.arg == "extra" and name in {
                    "debug",
                    "info",
                    "warning",
                    "error",
                    "exception",
                    "critical",
                    "log",
                }:
                    yield from _keys(each.value, dicts, file)


def _keys(value: ast.expr, dicts: dict[str, ast.Dict], file: str) -> Iterator[str]:
    if isinstance(value, ast.Name) and value.id in dicts:
        value = dicts[value.id]
    if isinstance(value, ast.Name) and value.id in {"fields", "extra"}:
        return  # what a caller wrote out, and is seen there
    if not isinstance(value, ast.Dict):
        raise UnreadableError(f"{file}:{value.lineno}: write the fields out where they are logged")
    for key, inner in zip(value.keys, value.values, strict=True):
        if key is None:
            yield from _keys(inner, dicts, file)
        elif isinstance(key, ast.Constant):
            yield str(key.value)


def written() -> set[str]:
    return {name for path in SOURCES for name in fields_of(path.read_text(), str(path))}


def test_every_field_of_the_application_is_mapped():
    assert written() >= {"user_id", "card_id", "path", "status", "duration", "event_type", "query_name", "client"}
    assert written() - NAMES == set(), "add them to FIELDS in src/modelcard_ops/logs/schema.py"


def test_every_field_of_the_formatter_is_mapped():
    assert (ADDED_FIELDS | {"message", "module"}) - NAMES == set()


def test_every_field_of_nginx_is_mapped():
    names = set(re.findall(r'"(\w+)":', NGINX.read_text()))
    assert names >= {"timestamp", "status", "client"}
    assert names - NAMES == set()


@pytest.mark.parametrize(
    "source",
    [
        'log.info("x", extra={"colour": "red"})',
        'def f():\n    fields = {"colour": "red"}\n    log.info("x", extra=fields)',
        'audit_event("card_painted", "Painted", colour="red")',
        'with context.bind(colour="red"):\n    pass',
        'def painted():\n    _event("audit", 20, "painted", "Painted", {"colour": "red"})',
        '_set("colour", "red")',
    ],
)
def test_a_new_field_is_noticed_wherever_it_is_written(source):
    assert "colour" in set(fields_of(source))


def test_a_field_whose_name_cannot_be_read_is_refused():
    with pytest.raises(UnreadableError, match="x.py:1: write the fields out"):
        list(fields_of('log.info("x", extra=made_up())'))


def test_no_two_fields_become_the_same_and_none_is_below_another():
    paths = [each.ecs for each in FIELDS] + list(AROUND)
    assert len(set(paths)) == len(paths)
    assert [one for one in paths for other in paths if other.startswith(f"{one}.")] == []


def test_each_field_has_the_type_that_it_says():
    for each in FIELDS:
        node = {"properties": properties()}
        for name in each.ecs.split("."):
            assert node.get("dynamic", "strict") == "strict"
            node = node["properties"][name]
        assert node == TYPES[each.kind]


def test_the_script_knows_every_field():
    known = parameters()
    assert set(known["fields"]) == NAMES
    assert set(known["known"]) == {each.ecs for each in FIELDS} | set(AROUND)
