"""Assertions that a scenario makes about its results: ``[stat(]metric[, column=value ...][)] op literal``.

``p99(active_delay) < 2s``, ``share(outcome, kind=cds) == 1``, ``startups.timed_out == 0``. Without a
statistic the assertion speaks of every row, or of the total where the metric is one that counts.
Durations compare in seconds. ``... if propagation.strategy is push or long-poll`` behind it leaves it out
where the scenario, with all that was set for the run, says something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from simulator.engine.clock import DurationError, S, parse_duration
from simulator.recording.bottlenecks import NAMES
from simulator.recording.instants import Metric, Shape, UnknownMetric, filter_columns, find_metric
from simulator.scenario.problems import described, refusal, suggestion
from simulator.scenario.quantities import JsonSchema

STATISTICS = ("count", "sum", "mean", "min", "max", "share")
OPERATORS = ("<=", "<", "==", "!=", ">=", ">")

Literal = float | bool | str | None

_LONGEST = 500
_OPERATOR = re.compile(r"(<=|>=|==|!=|<|>|=|≤|≥)")
_SUBJECT = re.compile(r"(?:(?P<stat>[A-Za-z][\w.]*)\s*\((?P<inside>.*)\)|(?P<bare>[^()]*))", re.DOTALL)
_QUANTILE = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,6})?)")
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_CONDITION = re.compile(
    r"(?P<claim>.*\S)\s+if\s+(?P<key>\S+)\s+is\s+(?P<values>\S+(?:\s+or\s+\S+)*)", re.DOTALL
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]*|[0-9]+[A-Za-z_][A-Za-z0-9_-]*")


class ExpectationProblem(ValueError):
    """An expectation that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """When an assertion is asked about: a key of the scenario has one of these values, as text."""

    key: str
    values: tuple[str, ...]

    def holds(self, scenario: Mapping[str, Any]) -> bool:
        """Whether it does.

        Args:
            scenario: With every default spelt out.

        Raises:
            ExpectationProblem: There is no such key, or it has no plain value.
        """
        here: Any = scenario
        for step in self.key.split("."):
            if isinstance(here, Mapping) and step not in here:
                raise ExpectationProblem(f"if: unknown key {self.key!r}; {suggestion(step, here)}")
            if not isinstance(here, Mapping):
                raise ExpectationProblem(f"if: {self.key} is no path of keys, such as propagation.strategy")
            here = here[step]
        if isinstance(here, Mapping | list):
            raise ExpectationProblem(f"if: {self.key} has no plain value to compare with")
        return _written(here) in self.values


def _written(value: object) -> str:
    """A value as a file would hold it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@dataclass(frozen=True, slots=True)
class Expectation:
    """One assertion.

    Attributes:
        text: As written.
        stat: count, sum, mean, min, max, share or a quantile (``p99``); None without one.
        metric: Name of the metric, table or column.
        filters: (column, value) pairs that rows must match, values as text.
        op: One of `OPERATORS`.
        literal: What it is compared with: a number (durations in seconds, percentages as fractions), a
            word, a boolean or None.
        condition: When it is asked about; None for always.
    """

    text: str
    stat: str | None
    metric: str
    filters: tuple[tuple[str, str], ...]
    op: str
    literal: Literal
    condition: Condition | None = None


def parse_expectation(text: str) -> Expectation:
    """Reads one assertion; raises ExpectationProblem for what is none or names what does not exist."""
    if len(text) > _LONGEST:
        raise ExpectationProblem(f"is longer than {_LONGEST} characters")
    conditional = _CONDITION.fullmatch(text.strip())
    claim, condition = text.strip(), None
    if conditional is not None:
        claim = conditional["claim"]
        condition = Condition(conditional["key"], tuple(re.split(r"\s+or\s+", conditional["values"].strip())))
    subject, op, value = _split(claim)
    match = _SUBJECT.fullmatch(subject)
    if match is None:
        raise ExpectationProblem(
            f"{subject!r} is not a metric or statistic(metric); parentheses must pair up"
        )
    stat = _statistic(match["stat"]) if match["stat"] is not None else None
    metric_name, *narrowed = (
        part.strip() for part in (match["inside"] if stat else match["bare"]).split(",")
    )
    metric = _metric(metric_name)
    filters = tuple(_filter(part, metric) for part in narrowed)
    literal = _literal(value)
    _check_comparable(stat, op, literal, metric)
    if (
        isinstance(literal, float)
        and value.endswith("s")
        and (metric.unit != "s" or stat in ("count", "share"))
    ):
        raise ExpectationProblem(f"{subject} is no time and cannot be compared with the duration {value}")
    if _NUMBER.fullmatch(value) and literal != 0 and metric.unit == "s" and stat not in ("count", "share"):
        raise ExpectationProblem(f"{subject} is a time: write {value}s or {value}ms, not the bare number")
    return Expectation(text.strip(), stat, metric_name, filters, op, literal, condition)


def _split(text: str) -> tuple[str, str, str]:
    """Subject, operator and literal: the operator is the first one outside the parentheses."""
    depth = 0
    position = 0
    while position < len(text):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        match = _OPERATOR.match(text, position) if depth == 0 else None
        # column=value of an expectation without a statistic is no comparison
        if match is not None and not (match[1] == "=" and "," in text[:position]):
            if match[1] not in OPERATORS:
                meant = {"=": "==", "≤": "<=", "≥": ">="}[match[1]]
                raise ExpectationProblem(f"{match[1]!r} is no comparison: write {meant}")
            return text[:position].strip(), match[1], text[match.end() :].strip()
        position += 1
    raise ExpectationProblem(
        f"{described(text)} compares nothing: write metric op value, such as p99(active_delay) < 2s"
    )


def _statistic(name: str) -> str:
    if name in STATISTICS:
        return name
    if name in ("p100", "p0"):
        raise ExpectationProblem(f"{name!r} is no quantile: write {'max' if name == 'p100' else 'min'}")
    if _QUANTILE.fullmatch(name) and 0 < float(name[1:]) < 100:
        return name
    near = suggestion(name, (*STATISTICS, "p50", "p90", "p99", "p99.9"))
    raise ExpectationProblem(f"unknown statistic {name!r}; {near}")


def _metric(name: str) -> Metric:
    if not name:
        raise ExpectationProblem("names no metric")
    if _METRIC.fullmatch(name) is None:
        raise ExpectationProblem(f"{described(name)} is not the name of a metric, such as time_to_ready")
    try:
        return find_metric(name)
    except UnknownMetric as error:
        raise ExpectationProblem(str(error)) from None


def _filter(text: str, metric: Metric) -> tuple[str, str]:
    column, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not column or not value.lstrip("="):
        raise ExpectationProblem(f"{text!r} does not narrow anything: write column=value")
    known = filter_columns(metric)
    if column not in known:
        raise ExpectationProblem(
            f"{metric.table} has no column {column!r}; {suggestion(column, known, shown=40)}"
        )
    wanted = _unquoted(value.removeprefix("=").strip())
    if metric.shape is Shape.BOTTLENECK and column == "at":
        _statistic(wanted)
        if wanted in STATISTICS:
            raise ExpectationProblem(f"at={wanted}: a bottleneck belongs to a quantile, such as at=p50")
    return column, wanted


def _literal(text: str) -> Literal:
    if not text:
        raise ExpectationProblem("has nothing to compare with after the operator")
    words: dict[str, Literal] = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]:
        return text[1:-1]
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.endswith("%") and _NUMBER.fullmatch(text[:-1].strip()):
        return float(text[:-1]) / 100
    try:
        return parse_duration(text) / S
    except DurationError as error:
        if _WORD.fullmatch(text) and not text[0].isdigit():
            return text
        raise ExpectationProblem(
            f"{described(text)} is no number, duration, percentage or word ({error})"
            if text[0].isdigit()
            else f"{described(text)} is no number, duration, percentage or word: quote a text"
        ) from None


def _check_comparable(stat: str | None, op: str, literal: Literal, metric: Metric) -> None:
    """Refuses comparisons that could never hold, whatever the result."""
    is_number = isinstance(literal, float)
    if metric.shape is Shape.BOTTLENECK:
        if stat is not None:
            raise ExpectationProblem(f"a bottleneck is one name: write it without {stat}(...)")
        if literal not in NAMES:
            near = suggestion(str(literal), NAMES, shown=40)
            raise ExpectationProblem(f"there is no bottleneck {literal!r}; {near}")
    if isinstance(literal, bool | str) and metric.unit == "s":
        raise ExpectationProblem(
            f"{metric.name} is a time: compare it with a duration, not with {described(literal)}"
        )
    if stat is not None and not is_number:
        raise ExpectationProblem(f"{stat}(...) is a number and cannot be compared with {described(literal)}")
    if op not in ("==", "!=") and not is_number:
        raise ExpectationProblem(
            f"only numbers and durations have an order; use == or != with {described(literal)}"
        )
    if stat == "share" and isinstance(literal, float) and not 0 <= literal <= 1:
        raise ExpectationProblem("a share lies between 0 and 1 (or 0% and 100%)")


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0] else text


class ExpectationText:
    """Marks a field that holds an expectation."""

    def _read(self, value: Any) -> Expectation:
        if isinstance(value, Expectation):
            return value
        if not isinstance(value, str):
            hint = ": quote it" if isinstance(value, dict) else ""
            raise refusal(f"must be a text, such as 'p99(active_delay) < 2s', not {described(value)}{hint}")
        try:
            return parse_expectation(value)
        except ExpectationProblem as error:
            raise refusal(str(error)) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda one: one.text, when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return {"type": "string", "maxLength": _LONGEST}
