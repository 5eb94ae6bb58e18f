"""Every table of states is walked, and MODEL.md shows it as it is.

A module that has state tables lists them: `TABLES: dict[str, tuple[table, start, final_states]]`, with the
class that owns the actions as an optional fourth element. Their names are unique in the package, and
simulator/MODEL.md holds the diagram of each between `<!-- machine:NAME -->` and `<!-- /machine -->`."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from simulator.control_plane.components.versions import DATED as COMPONENTS_DATED
from simulator.control_plane.istiod.versions import AUTO, DATED
from simulator.engine.clock import format_duration
from simulator.engine.machine import Table, check, describe
from simulator.mesh.kinds import KINDS, Condition

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "simulator" / "MODEL.md"


@dataclass(frozen=True)
class Listed:
    """One entry of a module's TABLES."""

    module: str
    name: str
    table: Table[Any, Any]
    start: Enum
    final: Collection[Enum]
    owner: type | None = None


def lists_tables(file: Path) -> bool:
    """Whether a module assigns TABLES at its top level; found without importing it."""
    names = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            names += [ast.unparse(target) for target in node.targets]
        elif isinstance(node, ast.AnnAssign):
            names.append(ast.unparse(node.target))
    return "TABLES" in names


def listed_in(module: str) -> list[Listed]:
    tables = importlib.import_module(module).TABLES
    # recording/columns.py has TABLES of columns: those entries are no state tables.
    return [Listed(module, name, *entry) for name, entry in tables.items() if isinstance(entry, tuple)]


def sources() -> list[Path]:
    return sorted((ROOT / "simulator").rglob("*.py"))


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


LISTED = [entry for file in sources() if lists_tables(file) for entry in listed_in(module_of(file))]


def test_there_are_tables_to_walk() -> None:
    assert LISTED, "no module of the simulator has TABLES"


def test_the_names_of_tables_are_unique() -> None:
    names = [entry.name for entry in LISTED]
    assert [name for name in names if names.count(name) > 1] == []


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry.name)
def test_every_state_is_reached_and_left(entry: Listed) -> None:
    assert check(entry.table, entry.start, entry.final) == []


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry.name)
def test_a_table_holds_states_of_one_enum_and_signals_of_another(entry: Listed) -> None:
    states = {type(entry.start)} | {type(state) for state in entry.final}
    signals = set()
    for (before, signal), (after, _) in entry.table.items():
        states |= {type(before), type(after)}
        signals.add(type(signal))
    assert len(states) == 1, f"states of {sorted(kind.__name__ for kind in states)}"
    assert len(signals) == 1, f"signals of {sorted(kind.__name__ for kind in signals)}"
    assert not states & signals


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry.name)
def test_every_action_is_a_method_of_the_owner(entry: Listed) -> None:
    # A module that names no owner binds its table to it on import, which fails for a method that does not
    # exist.
    if entry.owner is not None:
        assert missing_actions(entry.table, entry.owner) == []


def missing_actions(table: Table[Any, Any], owner: type) -> list[str]:
    actions = dict.fromkeys(action for _, action in table.values() if action is not None)
    return [action for action in actions if not callable(getattr(owner, action, None))]


def repeated_keys(source: str) -> list[str]:
    """Keys written twice in one dict literal: Python keeps the last one and says nothing."""
    offences = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            first: dict[str, int] = {}
            for key in node.keys:
                if key is None:  # ** unpacking
                    continue
                text = ast.unparse(key)
                if text in first:
                    offences.append(f"line {key.lineno}: {text} is there since line {first[text]}")
                first.setdefault(text, key.lineno)
    return offences


def test_no_table_or_other_dict_has_a_key_twice() -> None:
    offences = [
        f"{file.relative_to(ROOT)} {offence}"
        for file in sources()
        for offence in repeated_keys(file.read_text(encoding="utf-8"))
    ]
    assert not offences, "\n" + "\n".join(offences)


# The diagrams in MODEL.md


def diagram(entry: Listed) -> str:
    return f"\n```text\n{describe(entry.table, entry.start)}\n```\n"


def span_of(name: str, text: str) -> re.Match[str] | None:
    """The part of MODEL.md between the markers of a machine."""
    return re.search(
        rf"(?<=<!-- machine:{re.escape(name)} -->)(?:(?!<!-- machine:).)*?(?=<!-- /machine -->)", text, re.S
    )


@pytest.mark.parametrize("entry", LISTED, ids=lambda entry: entry.name)
def test_the_model_ledger_shows_the_table_as_it_is(entry: Listed, updates_golden: bool) -> None:
    assert MODEL.exists(), "simulator/MODEL.md is missing"
    text = MODEL.read_text(encoding="utf-8")
    shown = span_of(entry.name, text)
    assert shown is not None, (
        f"simulator/MODEL.md does not show {entry.module}'s table: put the lines\n"
        f"<!-- machine:{entry.name} -->\n<!-- /machine -->\nwhere it belongs and run UPDATE_GOLDEN=1 pytest"
    )
    if updates_golden:
        MODEL.write_text(text[: shown.start()] + diagram(entry) + text[shown.end() :], encoding="utf-8")
        return
    assert shown.group() == diagram(entry), (
        "run UPDATE_GOLDEN=1 pytest and look at the change of simulator/MODEL.md"
    )


def test_the_model_ledger_shows_no_machine_that_is_gone() -> None:
    assert MODEL.exists(), "simulator/MODEL.md is missing"
    shown = re.findall(r"<!-- machine:(.+?) -->", MODEL.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(entry.name for entry in LISTED)


# The tables of data in MODEL.md


def kinds_table() -> list[str]:
    """Kinds of change: mesh/kinds.py."""
    rows = ["| kind | concerns | pushes | alters | PushContext |", "|---|---|---|---|---|"]
    for kind in KINDS.values():
        pushes = [
            name.upper() + ("" if condition is Condition.ALWAYS else f" ({condition.value})")
            for name, condition in kind.pushes.items()
        ]
        forced = " (forced)" if kind.is_forced else ""
        alters = "; ".join(what.value for what in kind.alters)
        cells = [kind.name + forced, kind.relevance.value, ", ".join(pushes), alters, kind.context.value]
        rows.append(f"| {' | '.join(cell or '-' for cell in cells)} |")
    return rows


def versions_table() -> list[str]:
    """Dated behaviour: versions.py of istiod and of the components."""
    rows = ["| behaviour | value from version | source |", "|---|---|---|"]
    for name, dated in {**DATED, **COMPONENTS_DATED}.items():
        values = ", ".join(f"1.{minor}: {_shown(name, value)}" for minor, value in dated.rows)
        rows.append(f"| {name.removesuffix('_ns').replace('_', ' ')} | {values} | {dated.source} |")
    return rows


def _shown(name: str, value: int | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value == AUTO:
        return "min(15 + 5 x cores, 100)"
    if value == 0:
        return "off"
    return format_duration(value) if name.endswith("_ns") else str(value)


GENERATED = {"kinds": kinds_table, "versions": versions_table}


@pytest.mark.parametrize("name", GENERATED)
def test_the_model_ledger_shows_the_data_as_it_is(name: str, updates_golden: bool) -> None:
    text = MODEL.read_text(encoding="utf-8")
    shown = re.search(rf"(?<=<!-- {name} -->).*?(?=<!-- /{name} -->)", text, re.S)
    assert shown is not None, f"simulator/MODEL.md needs the lines <!-- {name} --> and <!-- /{name} -->"
    table = "\n" + "\n".join(GENERATED[name]()) + "\n"
    if updates_golden:
        MODEL.write_text(text[: shown.start()] + table + text[shown.end() :], encoding="utf-8")
        return
    assert shown.group() == table, "run UPDATE_GOLDEN=1 pytest and look at the change of simulator/MODEL.md"


# The tests above must be able to fail.


def test_a_key_written_twice_is_found() -> None:
    source = "T = {\n (S.A, G.X): (S.B, None),\n (S.B, G.X): (S.A, None),\n (S.A, G.X): (S.A, None),\n}"
    assert repeated_keys(source) == ["line 4: (S.A, G.X) is there since line 2"]


def test_an_action_that_does_not_exist_is_found() -> None:
    assert missing_actions({("a", "x"): ("b", "strip"), ("b", "x"): ("a", "stripp")}, str) == ["stripp"]  # type: ignore[dict-item, type-var]


def test_a_module_with_tables_is_found_without_importing_it(tmp_path: Path) -> None:
    file = tmp_path / "part.py"
    file.write_text("raise SystemExit\nTABLES: dict = {}\n")
    assert lists_tables(file)
    file.write_text("def f():\n    TABLES = {}\n")
    assert not lists_tables(file)


def test_only_the_span_of_the_machine_asked_for_is_found() -> None:
    text = "<!-- machine:a -->\nA\n<!-- machine:b -->\nB\n<!-- /machine -->"
    assert span_of("a", text) is None
    shown = span_of("b", text)
    assert shown is not None
    assert shown.group() == "\nB\n"
