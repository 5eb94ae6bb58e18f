"""Validation errors in plain words, each with the place of what it is about."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from simulator.scenario.later import is_later
from simulator.scenario.problems import REFUSED, Location, Problem, described, nearest, refusals, suggestion
from simulator.scenario.settings import Settings
from simulator.scenario.yaml_text import Node

_FEW_PLACES: Final = 3
"""Places of a key that are worth naming to somebody who wrote it in another."""
_BY_ENTRY: Final = "workload"
"""The list whose elements do not depend on one another."""
_ALMOST: Final = 0.8
"""Likeness from which a key is taken for a slip of the pen, whatever other sections have."""


def explained(
    error: ValidationError, model: type[Settings], tree: Node, known: Sequence[Location]
) -> list[Problem]:
    """Every problem of a validation error, placed in the tree that was validated against `model`.

    What is wrong at the `known` places had been taken out of it; problems at or around these are left out.
    """
    problems: dict[Problem, None] = {}
    for detail in error.errors(include_url=False):
        of_key = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
        for reduced, message in _found(detail, model):
            location = as_written(reduced, known)
            if not any(location == place[: len(location)] for place in known):
                problems[tree.problem(location, message, of_key=of_key)] = None
    return list(problems)


def relative_problems(error: ValidationError, model: type[Settings]) -> PydanticCustomError:
    """The problems of a part that was validated by itself against `model`, as an error about that part."""
    details = error.errors(include_url=False)
    return refusals([found for detail in details for found in _found(detail, model)])


def locations(error: ValidationError) -> list[Location]:
    """Where the errors are."""
    found: dict[Location, None] = {}
    for detail in error.errors(include_url=False):
        location = _location(detail)
        for within in (part for part, _ in detail["ctx"]["found"]) if detail["type"] == REFUSED else ((),):
            found[(*location, *within)] = None
    return list(found)


def _location(detail: ErrorDetails) -> Location:
    return tuple(part for part in detail["loc"] if part != "[key]")


def _found(detail: ErrorDetails, model: type[Settings]) -> list[tuple[Location, str]]:
    location = _location(detail)
    kind, value = detail["type"], detail["input"]
    if kind == REFUSED:
        return [((*location, *within), message) for within, message in detail["ctx"]["found"]]
    if kind == "extra_forbidden":
        return [(location, _unknown_key(location, model))]
    return [(location, _message(kind, value, detail))]


def _message(kind: str, value: Any, detail: ErrorDetails) -> str:
    if kind == "missing":
        return "is missing"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        if value is None:
            return "is empty: give it keys, or leave it out"
        return f"must be a mapping of keys, not {described(value)}"
    if kind in ("tuple_type", "list_type"):
        if value is None:
            return "is empty: give it a list, or leave it out"
        return f"must be a list, not {described(value)}"
    return detail["msg"].replace("Input should be", "must be")


def _unknown_key(location: Location, model: type[Settings]) -> str:
    key = str(location[-1])
    if len(location) == 1 and key in model.keys_of_files:
        return "is a key of files only: it says which other file to read first"
    if is_later(location):
        return "is not available in this version"
    known = _keys_at(model, location[:-1])
    elsewhere = [path for path in _paths(model) if path.rpartition(".")[2] == key]
    if 0 < len(elsewhere) <= _FEW_PLACES and not get_close_matches(key, known, n=1, cutoff=_ALMOST):
        return f"unknown key; did you mean {' or '.join(elsewhere)}?"
    return f"unknown key; {suggestion(key, known, shown=20)}"


def _paths(model: type[Settings], above: str = "") -> Iterator[str]:
    """The path of every key in a section, and in the sections of it; what stands in lists is left out."""
    for name, field in model.model_fields.items():
        path = f"{above}{field.alias or name}"
        yield path
        below = _settings_in(field.annotation)
        if _is_settings(below):
            yield from _paths(below, f"{path}.")


def _keys_at(model: type[Settings], location: Location) -> list[str]:
    """The keys of the settings at `location`, and what only files have."""
    found: Any = model
    for part in location:
        found = _below(found, part)
    if not _is_settings(found):
        return []
    keys = [field.alias or name for name, field in found.model_fields.items()]
    return [*keys, *found.keys_of_files]


def _below(annotation: Any, part: str | int) -> Any:
    """The type found at a key of a model or mapping, or at a position of a list."""
    annotation = _settings_in(annotation)
    if _is_settings(annotation):
        if part == 0 and isinstance(part, int):
            return annotation
        by_key = {field.alias or name: field.annotation for name, field in annotation.model_fields.items()}
        return by_key.get(str(part))
    if typing.get_origin(annotation) is tuple:
        return _settings_in(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is dict:
        return _settings_in(typing.get_args(annotation)[1])
    return None


def _settings_in(annotation: Any) -> Any:
    """The annotation without Annotated; of several types, the first that has keys or elements."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _settings_in(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        parts = [_settings_in(one) for one in typing.get_args(annotation)]
        return next((part for part in parts if _is_settings(part) or typing.get_origin(part)), None)
    return annotation


def _is_settings(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Settings)


def is_within(location: Location, *prefix: str) -> bool:
    """Whether the location is that of `prefix`, or below or above it."""
    parts = tuple(part for part in location if isinstance(part, str))
    shorter = min(len(parts), len(prefix))
    return parts[:shorter] == prefix[:shorter]


def doubtful(wrong: Sequence[Location], model: type[Settings]) -> list[Location]:
    """The places of which nobody knows what was meant to be there: the wrong ones, and where the keys belong
    that there are not.
    """
    found: dict[Location, None] = dict.fromkeys(wrong)
    for place in filter(None, wrong):
        keys, key = _keys_at(model, place[:-1]), str(place[-1])
        if not keys or key in keys:
            continue
        near = nearest(key, keys)
        if near is not None:
            found[(*place[:-1], near)] = None
        elif len(place) > 1:
            found[place[:-1]] = None
        for path in _paths(model):
            if path.rpartition(".")[2] == key:
                found[tuple(path.split("."))] = None
    return list(found)


def is_known(doubts: Sequence[Location], *section: str) -> bool:
    """Whether nothing in a section, or around it, is in doubt."""
    return not any(is_within(place, *section) for place in doubts)


def without(data: Mapping[str, Any], wrong: Sequence[Location]) -> dict[str, Any]:
    """The data without the values at the wrong locations; a list with a wrong element goes as a whole, but of
    the workload, whose entries stand for themselves, only the wrong ones go.
    """
    kept = _without(data, wrong)
    entries, gone = data.get(_BY_ENTRY), _entries_at(wrong)
    if isinstance(entries, list | tuple) and gone and (_BY_ENTRY,) not in wrong:
        kept[_BY_ENTRY] = [entry for position, entry in enumerate(entries) if position not in gone]
    return kept


def as_written(location: Location, wrong: Sequence[Location]) -> Location:
    """Where a location in the data `without` what is wrong was before that was taken out."""
    if location[:1] != (_BY_ENTRY,) or len(location) == 1 or not isinstance(location[1], int):
        return location
    position = location[1]
    for gone in _entries_at(wrong):
        position += gone <= position
    return (_BY_ENTRY, position, *location[2:])


def _entries_at(wrong: Sequence[Location]) -> list[int]:
    """The positions of the wrong entries of the workload, in order."""
    places = (place[1] for place in wrong if place[:1] == (_BY_ENTRY,) and len(place) > 1)
    return sorted(dict.fromkeys(position for position in places if isinstance(position, int)))


def _without(data: Mapping[str, Any], wrong: Sequence[Location]) -> dict[str, Any]:
    kept = dict(data)
    heads: dict[str | int, list[Location]] = {}
    for location in wrong:
        heads.setdefault(location[0] if location else "", []).append(location[1:])
    for head, tails in heads.items():
        key = str(head)
        child = kept.get(key)
        if isinstance(child, dict) and all(tail and isinstance(tail[0], str) for tail in tails):
            kept[key] = _without(child, tails)
        else:
            kept.pop(key, None)
    return kept
