"""The official CLI puts the folder of a program first on Python's path: what lies there hides what is called alike."""

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = "modelcard-platform"


@pytest.mark.parametrize("folder", ["infra", "policy"])
def test_nothing_hides_a_module_of_python_or_of_another_package(folder):
    names = {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or path.is_dir()}
    others = {name for name, owners in metadata.packages_distributions().items() if set(owners) != {OURS}}
    assert names & (sys.stdlib_module_names | others) <= {"__init__", "__main__", "__pycache__"}


@pytest.mark.parametrize("folder", ["infra", "policy"])
def test_imports_name_the_package_and_do_not_rely_on_that_path(folder):
    siblings = {path.stem for path in (ROOT / folder).iterdir()} - {"__init__", "__main__"}
    trees = [ast.parse(path.read_text()) for path in (ROOT / folder).rglob("*.py")]
    imported = {name.split(".")[0] for tree in trees for node in ast.walk(tree) for name in _imported(node)}
    assert imported & siblings == set()


def test_the_entry_point_only_calls_the_program():
    docstring, imports, call = ast.parse((ROOT / "infra" / "__main__.py").read_text()).body
    assert isinstance(docstring, ast.Expr)
    assert [ast.unparse(imports), ast.unparse(call)] == ["from infra.program import program", "program()"]


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case _:
            return []
