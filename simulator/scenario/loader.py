"""Reads scenario files: inheritance, ``--set``, and every problem at once with its file and line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from simulator.scenario.costs import is_path
from simulator.scenario.problems import Problem, ScenarioError, described
from simulator.scenario.schema import DEFAULT_NAME, Origin, Scenario
from simulator.scenario.tree import merged, with_changes
from simulator.scenario.yaml_text import MOST_CHARACTERS, Node, node_of, parse_yaml

MOST_ANCESTORS = 20
_NO_OVERRIDES: Mapping[str, Any] = MappingProxyType({})


def load_scenario(path: str | os.PathLike[str], overrides: Mapping[str, Any] = _NO_OVERRIDES) -> Scenario:
    """Reads a scenario file.

    Args:
        path: The file; ``extends`` and other file names in it lead from its directory.
        overrides: Key paths and the values that replace the file's. Text is read as YAML, as on the
            command line (``{"mesh.proxies": "10"}``); anything else is taken as it is.

    Raises:
        ScenarioError: The scenario cannot be used; it holds all problems found.
    """
    name = os.fsdecode(path)
    found = _read(name, ())
    problems = found.problems
    if found.tree is not None:
        values, unread = _override_values(overrides)
        tree, misplaced = with_changes(found.tree, values, from_command=True)
        problems += [*unread, *misplaced]
        try:
            scenario = Scenario.from_tree(
                Origin(tree, Path(name).parent, name, _default_name(name), is_incomplete=found.is_incomplete)
            )
        except ScenarioError as error:
            problems += error.problems
    if problems:
        raise ScenarioError(_in_order(problems, name))
    return scenario


@dataclass(slots=True)
class _Found:
    """What a file holds, put over what it extends; `is_incomplete` when that could not be read."""

    tree: Node | None = None
    problems: list[Problem] = field(default_factory=list)
    is_incomplete: bool = False


def _read(name: str, ancestors: tuple[str, ...]) -> _Found:
    text, unreadable = _text_of(name)
    if text is None:
        return _Found(problems=[Problem(name, None, "", unreadable)])
    tree, problems = parse_yaml(text, name)
    if tree is None:
        return _Found(None, problems)
    if not isinstance(tree.value, dict):
        said = f"must be a mapping of keys, not {described(tree.value)}"
        return _Found(None, problems or [Problem(name, tree.line, "", said)])
    extended = tree.value.pop("extends", None)
    if extended is None:
        return _Found(tree, problems)
    base = _read_base(extended, name, (*ancestors, os.path.realpath(name)))
    whole = tree if base.tree is None else merged(base.tree, tree)
    return _Found(whole, base.problems + problems, base.tree is None or base.is_incomplete)


def _read_base(extended: Node, name: str, ancestors: tuple[str, ...]) -> _Found:
    """The file that `extends` names; file names in it are made to lead from the extending file."""

    def refused(message: str) -> _Found:
        return _Found(problems=[Problem(name, extended.line, "extends", message)])

    value = extended.value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return refused(f"must be the name of a scenario file, not {described(value)}")
    path = os.path.normpath(Path(name).parent / value)
    if os.path.realpath(path) in ancestors:
        return refused(f"{value!r} leads back to a file that extends it")
    if len(ancestors) > MOST_ANCESTORS:
        return refused(f"is a chain of more than {MOST_ANCESTORS} files")
    if not Path(path).is_file():
        return refused(f"{value[:200]!r} is no file, seen from {Path(name).parent}")
    base = _read(path, ancestors)
    if base.tree is not None:
        _lead_from(base.tree, Path(value).parent, ())
    return base


def _lead_from(tree: Node, directory: Path, location: tuple[str, ...]) -> None:
    """Puts the directory in front of the file names in an extended file: samples, traces and calibrations."""
    if isinstance(tree.value, dict):
        for key, child in tree.value.items():
            _lead_from(child, directory, (*location, key))
    elif isinstance(tree.value, list):
        for child in tree.value:
            _lead_from(child, directory, location)
    elif isinstance(tree.value, str) and location:
        is_calibration = location[-1] == "calibration" and is_path(tree.value)
        if is_calibration or location[-1] in ("empirical", "trace"):
            tree.value = str(directory / tree.value)


def _text_of(name: str) -> tuple[str | None, str]:
    """The text of a file, or why there is none."""
    if "\0" in name:
        return None, "is not a usable file name"
    try:
        with Path(name).open("rb") as file:
            content = file.read(4 * MOST_CHARACTERS + 1)
    except FileNotFoundError:
        return None, "no such file"
    except IsADirectoryError:
        return None, "is a directory, not a scenario file"
    except OSError as error:
        return None, f"cannot be read: {error.strerror or type(error).__name__}"
    try:
        return content.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return None, f"is not UTF-8 text: byte 0x{content[error.start]:02x} on line {line}"


def _override_values(overrides: Mapping[str, Any]) -> tuple[dict[str, Node], list[Problem]]:
    """The trees of the override values, and the problems of those that are no YAML."""
    values: dict[str, Node] = {}
    problems: list[Problem] = []
    for path, value in overrides.items():
        if not isinstance(value, str) or not value.strip():
            values[path] = node_of(value if not isinstance(value, str) else None, path)
            continue
        tree, found = parse_yaml(value, "")
        problems += [Problem(None, None, f"--set {path}", problem.message) for problem in found]
        if tree is not None:
            values[path] = node_of(tree.plain(), path)
    return values, problems


def _default_name(file: str) -> str:
    """A name made of the file's, with what a name cannot hold replaced."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file).stem).lstrip("._-")
    return stem[:100] or DEFAULT_NAME


def _in_order(problems: list[Problem], name: str) -> list[Problem]:
    """Without repetitions; those of the file itself first, by line, and those of the command line last."""

    def rank(problem: Problem) -> tuple[int, str, int]:
        place = 2 if problem.file is None else 0 if problem.file == name else 1
        return place, problem.file or "", problem.line or 0

    return sorted(dict.fromkeys(problems), key=rank)
