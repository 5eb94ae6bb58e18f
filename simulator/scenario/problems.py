"""Problems of a scenario, told in plain words and with the place where they stand."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic_core import PydanticCustomError

Location = tuple[str | int, ...]
"""Where a value stands in a scenario: keys and, inside lists, positions."""

REFUSED = "refused"
"""Type of the validation errors that `refusal` makes; their context lists (location, message) pairs."""

_SHOWN_CHARACTERS = 40
_MOST_COMPARED = 500
_LARGEST_SHOWN = 10**20


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of a scenario.

    Attributes:
        file: The file as the user named it, or None for a scenario written in Python or on the command line.
        line: Line in that file, counted from 1, or None where there is none.
        key: Path of the key, such as ``control_plane.pushes[1].at``; empty for the file as a whole.
        message: What is wrong and what to write instead.
    """

    file: str | None
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = "" if self.file is None else self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.key, self.message) if part)


class ScenarioError(Exception):
    """A scenario cannot be used; `problems` holds all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: list[Problem] = list(problems)
        assert self.problems, "a ScenarioError names at least one problem"
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def refusal(message: str, *within: str | int) -> PydanticCustomError:
    """An error about the value under validation, or about the part of it that `within` leads to."""
    return refusals([(within, message)])


def refusals(found: Sequence[tuple[Location, str]]) -> PydanticCustomError:
    """Several errors at once about parts of the value under validation."""
    text = "; ".join(f"{key_path(within)}: {message}" if within else message for within, message in found)
    return PydanticCustomError(REFUSED, "{text}", {"text": text, "found": list(found)})


def key_path(location: Location) -> str:
    """The location as text: ``a.b[2].c``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def described(value: Any) -> str:
    """What the user wrote, in words that fit after "not"."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return (
            f"the number {written(value)}"
            if -_LARGEST_SHOWN < value < _LARGEST_SHOWN
            else "so large a number"
        )
    if isinstance(value, str):
        return f"the text {_shortened(value)!r}" if value else "an empty text"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return f"a {type(value).__name__}"


class WrittenNumber(float):
    """A number that remembers how it was written: 1.40 is not the version 1.4."""

    text: str

    def __new__(cls, text: str, value: float) -> WrittenNumber:
        """The number `value`, written as `text`."""
        number = super().__new__(cls, value)
        number.text = text
        return number

    def __reduce__(self) -> tuple[Any, ...]:
        return WrittenNumber, (self.text, float(self))


def written(number: float) -> str:
    """The number as the user wrote it, as far as that is known."""
    return number.text if isinstance(number, WrittenNumber) else repr(number)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None when none is near; of very many, the first are compared."""
    candidates = list(islice(known, _MOST_COMPARED))
    lowered = {candidate.lower(): candidate for candidate in reversed(candidates)}
    near = difflib.get_close_matches(word[:100].lower(), lowered, n=1, cutoff=0.6)
    return lowered[near[0]] if near else None


def suggestion(word: str, known: Collection[str], *, shown: int = 12) -> str:
    """``did you mean 'x'?`` for a near miss, else the known words, at most `shown` of them."""
    near = nearest(word, known)
    if near is not None:
        return f"did you mean {near!r}?"
    if not known:
        return "there are none"
    more = f", ... ({len(known)} in all)" if len(known) > shown else ""
    return f"known: {', '.join(islice(known, shown))}{more}"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
