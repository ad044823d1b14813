"""Examples in docstrings: each runs as it stands, with what it imports itself, and prints what it says."""

import ast
import doctest
import importlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.conftest import ROOT

SOURCE = ROOT / "src"
LEAST = 20
"""Functions and classes that a notebook uses first."""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@cache
def examples() -> dict[str, dict[str, str]]:
    """Module -> the docstrings with examples by the name of their object, found in the source: nothing is imported."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        texts = docstrings(ast.parse(path.read_text(encoding="utf-8")))
        own = {name: text for name, text in texts if ">>>" in text}
        if own:
            found[module_name(path)] = own
    return found


def docstrings(node: Documented, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name within the module, and docstring, of the node and of all within it."""
    yield prefix, ast.get_docstring(node) or ""
    for child in node.body:
        if isinstance(child, Documented):
            yield from docstrings(child, f"{prefix}.{child.name}".strip("."))


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def mistakes(module: str, names: Iterable[str]) -> str:
    """What the examples of a module print other than they say; each begins without a name of the module's."""
    tests = {test.name: test for test in doctest.DocTestFinder().find(importlib.import_module(module), globs={})}
    told: list[str] = []
    for name in names:
        doctest.DocTestRunner(verbose=False).run(tests[f"{module}.{name}".strip(".")], out=told.append)
    return "".join(told)


@pytest.mark.parametrize("module", examples())
def test_examples_print_what_they_say(module, monkeypatch):
    monkeypatch.chdir(ROOT)  # where notebooks and scripts find conf/
    assert not mistakes(module, examples()[module])


def test_what_a_notebook_uses_first_has_examples():
    public = [f"{module}.{name}" for module, names in examples().items() for name in names if not name.startswith("_")]
    assert len(public) >= LEAST, public


def test_examples_need_no_kedro():
    lines = [
        line for own in examples().values() for text in own.values() for line in text.splitlines() if ">>>" in line
    ]
    assert not [line for line in lines if "kedro" in line]


def test_a_wrong_example_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "wrong_example.py").write_text(
        'def one():\n    """One.\n\n    >>> 1 + 1\n    3\n    """\n', encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "Expected:\n    3\nGot:\n    2" in mistakes("wrong_example", ["one"])
