"""Notebooks as they are committed: without outputs, runnable by whoever has Python, and listed.

That they run, and that their findings are true of their numbers, is for the step "notebooks" of .ci/run.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
INDEX = ROOT / "notebooks" / "README.md"

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def content(path: Path) -> dict[str, Any]:
    """A notebook as it lies on disk."""
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


def source(cell: dict[str, Any]) -> str:
    """The text of a cell, which a notebook may hold in lines."""
    return "".join(cell["source"])


def code_of(path: Path) -> str:
    """All code of a notebook; lines of IPython's own would not be Python."""
    return "\n".join(source(cell) for cell in content(path)["cells"] if cell["cell_type"] == "code")


@every_notebook
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    code = [cell for cell in content(path)["cells"] if cell["cell_type"] == "code"]
    assert code
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert [cell["execution_count"] for cell in code] == [None] * len(code)


@every_notebook
def test_a_notebook_is_of_the_current_format_and_for_any_python(path: Path) -> None:
    notebook = content(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(names) == len(set(names))
    pytest.importorskip("nbformat", reason="the extra `notebooks` is not installed").validate(notebook)


@every_notebook
def test_a_notebook_begins_with_its_question_and_its_finding(path: Path) -> None:
    first = content(path)["cells"][0]
    assert first["cell_type"] == "markdown"
    number = int(path.stem.partition("-")[0])
    assert re.match(rf"# {number}\. .+\?\n", source(first))
    assert "**Finding.**" in source(first)
    for name in re.findall(r"\]\(\.\./(\S+?)\)", source(first)):
        assert (ROOT / name).exists(), name


@every_notebook
def test_a_notebook_has_a_small_size_for_ci_and_asserts_what_it_finds(path: Path) -> None:
    code = code_of(path)
    assert 'SMALL = os.environ.get("XDSIM_NOTEBOOKS") == "small"' in code
    asserted = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Assert)]
    assert len(asserted) >= 2


def test_every_notebook_is_listed_with_its_scenarios_and_its_check() -> None:
    rows = re.findall(r"^\| \d+ \| \[.+?\]\((\S+?\.ipynb)\) \|(.*)\|$", INDEX.read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == [path.name for path in NOTEBOOKS]
    for name, rest in rows:
        assert len(rest.split("|")) == 3, f"{name}: finding, scenario, check"
        for scenario in re.findall(r"\(\.\./(scenarios/\S+?)\)", rest):
            assert (ROOT / scenario).exists(), scenario
        for test in re.findall(r"\(\.\./(tests/\S+?)\)", rest):
            assert (ROOT / test).exists(), test
