"""The values that a key takes in an experiment: listed, or drawn from a range."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simulator.engine.clock import DurationError, format_duration, parse_duration
from simulator.experiment.errors import ExperimentError
from simulator.scenario.problems import WrittenNumber
from simulator.scenario.yaml_text import parse_yaml

__all__ = ["Range", "Values", "parse_over", "read_values", "value_text"]

_RANGE: Final = re.compile(r"\s*(?P<low>\S+?)\s*\.\.\s*(?P<high>\S+?)\s*(?P<log>\blog)?\s*")
_NUMBER: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([^0-9.\s]*)")
_SIGNIFICANT: Final = 4
"""Figures of a value drawn from a range: more would say nothing and be hard to read."""


@dataclass(frozen=True, slots=True)
class Range:
    """All values from `low` to `high`: durations, whole numbers, or numbers with one and the same unit.

    With `is_log`, equal ratios are equally likely instead of equal differences.
    """

    low: str
    high: str
    is_log: bool = False

    def at(self, share: float) -> Any:
        """The value at a share, from 0 to 1, of the way from low to high, as a file would hold it."""
        low, high, unit = self._ends()
        if self.is_log:
            number = low * (high / low) ** share
        else:
            number = low + (high - low) * share
        if unit == "ns":
            return format_duration(round(_rounded(number)))
        if not unit and "." not in self.low + self.high:
            return round(number)
        number = _rounded(number)
        return f"{number:g}{unit}" if unit else number

    def check(self, key: str) -> None:
        """Raises ExperimentError where it is no range."""
        low, high, _ = self._ends(key)
        if not low < high:
            raise ExperimentError(f"{key}={self.low}..{self.high}: must rise")
        if self.is_log and low <= 0:
            raise ExperimentError(f"{key}={self.low}..{self.high} log: must begin above zero")

    def _ends(self, key: str = "range") -> tuple[float, float, str]:
        try:
            return float(parse_duration(self.low)), float(parse_duration(self.high)), "ns"
        except DurationError:
            low, high = _NUMBER.fullmatch(self.low), _NUMBER.fullmatch(self.high)
        if low is None or high is None or low[2] != high[2]:
            raise ExperimentError(
                f"{key}={self.low}..{self.high}: both ends must be durations, or numbers of one unit"
            )
        return float(low[1]), float(high[1]), low[2]


Values = Sequence[Any] | Range
"""What one key may be."""


def _rounded(number: float) -> float:
    if number == 0:
        return 0.0
    return round(number, _SIGNIFICANT - 1 - math.floor(math.log10(abs(number))))


def parse_over(text: str) -> tuple[str, Values]:
    """Reads ``key=v1,v2`` or ``key=LOW..HIGH [log]`` of a command line. Raises ExperimentError."""
    key, equals, rest = text.partition("=")
    key = key.strip()
    if not equals or not key or not rest.strip():
        raise ExperimentError(
            f"{text!r} varies nothing: write KEY=VALUE,VALUE, e.g. propagation.strategy=push,poll"
        )
    match = _RANGE.fullmatch(rest)
    if match is not None:
        return key, Range(match["low"], match["high"], match["log"] is not None)
    return key, [_read(key, part) for part in _parts(key, rest)]


def read_values(key: str, values: Any) -> Values:
    """The values of a key as Python code gave them; a text that is a range is one. Raises ExperimentError."""
    if isinstance(values, Range):
        return values
    if isinstance(values, str):
        return parse_over(f"{key}={values}")[1]
    if isinstance(values, Mapping) or not hasattr(values, "__iter__"):
        raise ExperimentError(f"{key}: give a list of values, not {values!r}")
    listed = [value.item() if hasattr(value, "item") else value for value in values]
    if not listed:
        raise ExperimentError(f"{key}: give at least one value")
    told = [value_text(value) for value in listed]
    for place, text in enumerate(told):
        if text in told[:place]:
            raise ExperimentError(
                f"{key}: {text} is given twice; two variants of one name cannot be told apart"
            )
    return listed


def value_text(value: Any) -> str:
    """A value as people write it, in labels and tables."""
    if isinstance(value, str):
        return value
    if isinstance(value, WrittenNumber):
        return value.text
    if value is None:
        return "null"
    return json.dumps(value, separators=(", ", ": "), default=str).replace('"', "")


def _read(key: str, text: str) -> Any:
    tree, problems = parse_yaml(text, "")
    if problems or tree is None:
        raise ExperimentError(f"{key}={text}: {problems[0].message if problems else 'is empty'}")
    return tree.plain()


def _parts(key: str, text: str) -> list[str]:
    """The text between commas that stand outside brackets and quotes."""
    parts, depth, quote, begin = [], 0, "", 0
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "[{(":
            depth += 1
        elif sign in "]})":
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(text[begin:place].strip())
            begin = place + 1
    parts.append(text[begin:].strip())
    if not all(parts):
        raise ExperimentError(f"{key}={text}: there is nothing between two commas, or behind the last")
    return parts
