"""YAML text as a tree that knows where everything stands.

Scalars follow the core schema of YAML 1.2: ``no``, ``on``, ``1:30`` and ``2024-01-01`` stay text.
Duplicate keys, keys that are no text, tags beyond the core schema, merge keys and aliases that grow out
of hand are problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.reader import ReaderError

from simulator.scenario.problems import Location, Problem, WrittenNumber, key_path

MOST_CHARACTERS = 1_000_000
MOST_VALUES = 100_000
DEEPEST = 50

_CORE = "tag:yaml.org,2002:"
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_LONGEST_NUMBER = 100


@dataclass(slots=True)
class Node:
    """A value of a scenario file with the place where it stands.

    Attributes:
        value: A mapping or list of nodes, or a scalar.
        file: The file as the user named it; None for a value from Python or the command line.
        line: Line of the value, from 1.
        key_line: Line of its key, or of the value where it has no key.
        setting: The ``--set`` key it came from, if any.
    """

    value: dict[str, Node] | list[Node] | Any
    file: str | None = None
    line: int | None = None
    key_line: int | None = None
    setting: str | None = None

    def plain(self) -> Any:
        """The value without the places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def problem(self, location: Location, message: str, *, of_key: bool = False) -> Problem:
        """A problem of the value at `location` below this node, placed as near to it as the tree goes.

        A problem of a list's or mapping's whole content stands where its key stands, as does one `of_key`.
        """
        node, shown, inside = self, [], False
        for part in location:
            child = None if inside else node.child(part)
            if child is None and part == 0 and isinstance(node.value, dict):
                continue  # a single mapping in the place of a list
            shown.append(part)
            inside = child is None
            node = child if child is not None else node
        key = key_path(tuple(shown))
        if node.setting is not None:
            return Problem(None, None, f"--set {key or node.setting}", message)
        at_key = of_key or isinstance(node.value, dict | list) or node.value is None
        return Problem(node.file, node.key_line if at_key else node.line, key, message)

    def child(self, part: str | int) -> Node | None:
        """The value of a key or at a position, if there is one."""
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and 0 <= part < len(self.value):
            return self.value[part]
        return None


def node_of(value: Any, setting: str | None = None) -> Node:
    """A tree around plain data."""
    if isinstance(value, dict):
        return Node({str(key): node_of(child, setting) for key, child in value.items()}, setting=setting)
    if isinstance(value, list | tuple):
        return Node([node_of(child, setting) for child in value], setting=setting)
    return Node(value, setting=setting)


def parse_yaml(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The tree of a YAML text, and what is wrong with it; no tree when the text cannot be read at all."""
    if len(text) > MOST_CHARACTERS:
        return None, [Problem(file, None, "", f"is longer than {MOST_CHARACTERS} characters")]
    try:
        loader = _CoreLoader(text)
        root = loader.get_single_node()
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return None, [
            Problem(file, line, "", f"character U+{int(error.character):04X} is not allowed in YAML")
        ]
    except yaml.MarkedYAMLError as error:
        return None, [_syntax_problem(error, file)]
    except RecursionError:
        return None, [Problem(file, None, "", "is nested too deeply")]
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        return None, [Problem(file, None, "", f"is not valid YAML: {' '.join(str(error).split())[:200]}")]
    if root is None:
        return None, [Problem(file, None, "", "is empty: a scenario is a mapping of keys")]
    reading = _Reading(file)
    tree = reading.node(root, None, ())
    return tree, reading.problems


class _CoreLoader(yaml.SafeLoader):
    """Resolves plain scalars by the core schema of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - filled below; replaces the YAML 1.1 rules


for _tag, _pattern, _first in (
    ("null", _NULL, ["~", "n", "N", ""]),
    ("bool", _BOOL, list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
):
    _CoreLoader.add_implicit_resolver(_CORE + _tag, re.compile(f"(?:{_pattern.pattern})$"), _first)


@dataclass(slots=True)
class _Reading:
    """Turns PyYAML's nodes into ours, collecting problems on the way."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    values: int = 0
    open_nodes: dict[int, None] = field(default_factory=dict)

    def node(self, source: yaml.Node, key_line: int | None, location: Location) -> Node:
        line = source.start_mark.line + 1
        node = Node(None, self.file, line, line if key_line is None else key_line)
        self.values += 1
        if self.values > MOST_VALUES:
            if self.values == MOST_VALUES + 1:
                self._problem(line, location, f"holds more than {MOST_VALUES} values, aliases followed")
        elif id(source) in self.open_nodes:
            self._problem(line, location, "an alias leads back to itself")
        elif len(location) > DEEPEST:
            self._problem(line, location[:3], "is nested too deeply")
        else:
            self.open_nodes[id(source)] = None
            node.value = self._value(source, location)
            del self.open_nodes[id(source)]
        return node

    def _value(self, source: yaml.Node, location: Location) -> Any:
        if isinstance(source, yaml.MappingNode) and source.tag == _CORE + "map":
            return dict(self._entries(source, location))
        if isinstance(source, yaml.SequenceNode) and source.tag == _CORE + "seq":
            return [self.node(child, None, (*location, i)) for i, child in enumerate(source.value)]
        if isinstance(source, yaml.ScalarNode):
            return self._scalar(source, location)
        self._problem(source.start_mark.line + 1, location, f"tag {_short(source.tag)} is not allowed")
        return None

    def _entries(self, source: yaml.MappingNode, location: Location) -> Iterator[tuple[str, Node]]:
        first_lines: dict[str, int] = {}
        for key, value in source.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self._problem(line, location, "a key must be text, not a list or a mapping")
                continue
            if key.tag != _CORE + "str":
                self._problem(line, location, f'a key must be text: quote it, as in "{key.value[:40]}"')
                continue
            name = str(key.value)
            if name == "<<" and key.style is None:
                self._problem(
                    line, (*location, name), "merge keys are not part of YAML 1.2: use extends, or repeat"
                )
                continue
            if name in first_lines:
                self._problem(
                    line, (*location, name), f"duplicate key, given on line {first_lines[name]} already"
                )
                continue
            first_lines[name] = line
            yield name, self.node(value, line, (*location, name))

    def _scalar(self, source: yaml.ScalarNode, location: Location) -> Any:
        text = str(source.value)
        kind = source.tag.removeprefix(_CORE)
        if kind == "str" or source.tag == "!":
            return text
        patterns = {"null": _NULL, "bool": _BOOL, "int": _INT, "float": _FLOAT}
        if kind not in patterns or patterns[kind].fullmatch(text) is None:
            what = (
                f"tag {_short(source.tag)} is not allowed"
                if kind not in patterns
                else f"{text[:40]!r} is no {kind}"
            )
            self._problem(source.start_mark.line + 1, location, what)
            return None
        if len(text) > _LONGEST_NUMBER:
            self._problem(source.start_mark.line + 1, location, "is a number of too many digits")
            return None
        return _number_or_word(kind, text)

    def _problem(self, line: int, location: Location, message: str) -> None:
        self.problems.append(Problem(self.file, line, key_path(location)[:200], message))


def _number_or_word(kind: str, text: str) -> Any:
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    lowered = text.lower()
    value = float(lowered.replace(".inf", "inf").replace(".nan", "nan") if lowered[-1] in "fn" else lowered)
    return WrittenNumber(text, value)


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag[:80]


_PLAIN_WORDS = (
    ("found character '\\t' that cannot start any token", "a tab is not allowed here: indent with spaces"),
    (
        "mapping values are not allowed here",
        "a colon is out of place: check the indentation, or quote the text",
    ),
    ("could not find expected ':'", "a key lacks its colon, or the indentation is off"),
    ("expected <block end>, but found", "the indentation does not fit the lines above"),
    ("expected ',' or '}'", "a comma or a closing brace } is missing"),
    ("expected ',' or ']'", "a comma or a closing bracket ] is missing"),
    ("expected a single document", "holds more than one document: one mapping per file"),
    ("found unexpected end of stream", "a quotation mark is opened and never closed"),
    (
        "expected the node content, but found '<stream end>'",
        "ends in the middle: a bracket or a value is missing",
    ),
    ("but found another document", "holds more than one document: one mapping per file"),
)


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    told = " ".join(f"{error.context or ''} {error.problem or ''}".split())
    for theirs, ours in _PLAIN_WORDS:
        if theirs in told:
            return Problem(file, mark.line + 1 if mark else None, "", ours)
    return Problem(file, mark.line + 1 if mark else None, "", f"is not valid YAML: {told[:200]}")
