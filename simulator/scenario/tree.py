"""Trees of scenario values changed and put over each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from simulator.scenario.delay_values import DISTRIBUTIONS
from simulator.scenario.problems import Location, Problem, described, key_path
from simulator.scenario.yaml_text import Node, node_of

_STEP = re.compile(r"(?P<key>[^.\[\]]+)|\[(?P<position>[0-9]{1,6})\]")


def merged(base: Node, over: Node) -> Node:
    """`over` put over `base`: mappings key by key, anything else as a whole.

    A distribution replaces another one: two of them together would mean nothing.
    """
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    if any(key in DISTRIBUTIONS for key in over.value):
        return over
    values: dict[str, Node] = dict(base.value)
    for key, node in over.value.items():
        values[key] = merged(values[key], node) if key in values else node
    return Node(values, over.file, over.line, over.key_line, over.setting)


def with_changes(
    tree: Node, changes: Mapping[str, Any], *, from_command: bool = False
) -> tuple[Node, list[Problem]]:
    """The tree with the values at some key paths replaced, and what is wrong with the paths."""
    problems: list[Problem] = []
    for path, value in changes.items():
        steps = key_steps(path)
        node = value if isinstance(value, Node) else node_of(value, path if from_command else None)
        message = "is no path of keys, such as propagation.strategy" if steps is None else None
        if steps is not None:
            tree, message = _replaced(tree, steps, 0, node)
        if message is not None:
            shown = path or "(nothing)"
            problems.append(Problem(None, None, f"--set {shown}" if from_command else shown, message))
    return tree, problems


def key_steps(path: str) -> Location | None:
    """The steps of a key path (``a.b[2].c``, ``a.b.2.c``); None for a text that is none."""
    steps: list[str | int] = []
    position = 0
    while position < len(path):
        if path[position] == "." and steps and position + 1 < len(path) and path[position + 1] not in ".[":
            position += 1
        match = _STEP.match(path, position)
        if match is None or (match["position"] is not None and not steps):
            return None
        steps.append(match["key"] if match["key"] is not None else int(match["position"]))
        position = match.end()
    return tuple(steps) or None


def _replaced(tree: Node, steps: Location, depth: int, value: Node) -> tuple[Node, str | None]:
    """The tree with the value at `steps` from `depth` on replaced, or else a message why that cannot be."""
    if depth == len(steps):
        return Node(value.value, value.file, value.line, value.key_line, value.setting), None
    step = steps[depth]
    here = _mapping_of(tree)
    if isinstance(here, list):
        if isinstance(step, str) and not (step.isascii() and step.isdigit()):
            return tree, f"{key_path(steps[:depth])} is a list: name a position, from 0 to {len(here) - 1}"
        position = int(step)
        if position >= len(here):
            return tree, f"{key_path(steps[:depth])} has only {len(here)} elements, counted from 0"
        child, message = _replaced(here[position], steps, depth + 1, value)
        return _like(tree, [*here[:position], child, *here[position + 1 :]]), message
    if here is None:
        here = {}
    if not isinstance(here, dict):
        return tree, f"{key_path(steps[:depth])} is {described(here)} and has no keys: set it as a whole"
    key = str(step)
    child, message = _replaced(here.get(key, Node(None, setting=value.setting)), steps, depth + 1, value)
    return _like(tree, {**here, key: child}), message


def _mapping_of(tree: Node) -> Any:
    """The node's content; that of settings made in Python is what a file would hold that says as much."""
    if isinstance(tree.value, BaseModel):
        written = tree.value.model_dump(mode="json", by_alias=True)
        if isinstance(written, dict):
            unset = {
                field.alias or name
                for name, field in type(tree.value).model_fields.items()
                if name not in tree.value.model_fields_set
            }
            written = {key: value for key, value in written.items() if key not in unset}
        return node_of(written).value
    return tree.value


def _like(tree: Node, value: Any) -> Node:
    return Node(value, tree.file, tree.line, tree.key_line, tree.setting)
