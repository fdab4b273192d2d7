"""The shape of the source: sizes, names, docstrings. Layers are import-linter's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gpualloc"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def definitions(file: Path) -> list[tuple[str, Definition]]:
    """Every function and class outside functions, with its dotted name."""
    found: list[tuple[str, Definition]] = []

    def look(body: list[ast.stmt], above: str) -> None:
        for statement in body:
            if isinstance(statement, Definition):
                found.append((above + statement.name, statement))
                if isinstance(statement, ast.ClassDef):
                    look(statement.body, f"{above}{statement.name}.")

    look(ast.parse(file.read_text()).body, "")
    return found


def functions(file: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    walked = ast.walk(ast.parse(file.read_text()))
    return [node for node in walked if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_overload(definition: Definition) -> bool:
    return any("overload" in ast.unparse(decorator) for decorator in definition.decorator_list)


def test_there_is_source_to_look_at():
    assert len(FILES) > 30


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_is_small(file):
    assert len(file.read_text().splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_functions_are_small(file):
    sizes = {f"{node.name}, line {node.lineno}": (node.end_lineno or 0) - node.lineno + 1 for node in functions(file)}
    assert {name: lines for name, lines in sizes.items() if lines > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_everything_public_says_what_it_is(file):
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree), "the module has no docstring"
    silent = [
        name
        for name, definition in definitions(file)
        if not any(part.startswith("_") for part in name.split("."))
        and not is_overload(definition)
        and not ast.get_docstring(definition)
    ]
    assert silent == []


def test_no_module_has_a_name_that_says_nothing():
    parts = {name_of(file): set(file.relative_to(ROOT).with_suffix("").parts) for file in FILES}
    assert {name for name, words in parts.items() if words & VAGUE_NAMES} == set()


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_nothing_is_left_to_do(file):
    marks = [line for line in file.read_text().splitlines() if "TODO" in line or "FIXME" in line or "XXX" in line]
    assert marks == []
