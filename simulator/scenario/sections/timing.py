"""When entries of the workload happen: at instants, regularly, at random, in bursts, or as recorded."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from simulator.engine.clock import format_duration
from simulator.scenario.durations import DURATION_PATTERN, DurationNs, PositiveDurationNs, duration_ns
from simulator.scenario.problems import Location, described, refusal, refusals, suggestion
from simulator.scenario.quantities import JsonSchema, Marker, OrNone, RateValue, Whole
from simulator.scenario.settings import FORMAT, SPELLING, Settings, setting
from simulator.workload.entries import TraceRow

MOST_ROWS = 1_000_000
TRACE_COLUMNS = ("t", "kind", "namespace", "name")
_RULES = ("at", "every", "poisson", "bursts")


@dataclass(frozen=True, slots=True)
class Instants(Marker):
    """One duration or a list of them; a tuple in ns for the model."""

    def read(self, value: Any) -> tuple[int, ...]:
        """The instants as written."""
        if not isinstance(value, list | tuple):
            return (duration_ns(value),)
        return tuple(duration_ns(each, position) for position, each in enumerate(value))

    def written(self, value: Any) -> Any:
        """The list of durations."""
        return [format_duration(each) for each in value]

    def json_schema(self) -> JsonSchema:
        """A duration or a list."""
        one: JsonSchema = {"type": "string", "pattern": DURATION_PATTERN}
        return {"anyOf": [one, {"type": "array", "items": one}]}


InstantsField = Annotated[tuple[int, ...], Instants()]


def _rules_given(entry: Any, rules: tuple[str, ...]) -> list[str]:
    return [rule for rule in rules if getattr(entry, rule) not in (None, ())]


class Bursts(Settings):
    """Groups of happenings close together."""

    size: Annotated[int, Whole(1, 1_000_000)] = setting(
        "Happenings in a group", stands_for="a script or operator that writes many objects", source=FORMAT
    )
    spacing: DurationNs = setting(
        "Time between two of a group", 0, stands_for="the pace of that script", source=FORMAT
    )
    at: InstantsField = setting("When groups begin, or", (), stands_for=SPELLING, source=FORMAT)
    every: Annotated[PositiveDurationNs | None, OrNone()] = setting(
        "time between the beginnings of two, or", None, stands_for=SPELLING, source=FORMAT
    )
    poisson: Annotated[RateValue | None, OrNone()] = setting(
        "their mean rate, where they come at random", None, stands_for=SPELLING, source=FORMAT
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Bursts:
        if len(_rules_given(self, ("at", "every", "poisson"))) != 1:
            raise refusal("must have exactly one of at, every and poisson")
        return self


class Timed(Settings):
    """Something that happens once or many times."""

    KIND: ClassVar[str]
    """The key that says what happens."""

    RULES: ClassVar[tuple[str, ...]] = _RULES

    GOES_WITH: ClassVar[tuple[str, ...]] = ("istiod", "components", "rest-v1")
    """Kinds of control planes under which it can happen."""

    at: InstantsField = setting(
        "When: one time or a list of them; simulated time", (), stands_for=SPELLING, source=FORMAT
    )
    every: Annotated[PositiveDurationNs | None, OrNone()] = setting(
        "Regularly, first at `from`", None, stands_for=SPELLING, source=FORMAT
    )
    poisson: Annotated[RateValue | None, OrNone()] = setting(
        "At random, independently, at this mean rate", None, stands_for=SPELLING, source=FORMAT
    )
    bursts: Annotated[Bursts | None, OrNone()] = setting(
        "In groups: {size: 20, spacing: 10ms, every: 1m}", None, stands_for=SPELLING, source=FORMAT
    )
    begin: DurationNs = setting(
        "When it begins, included; says nothing beside `at`",
        0,
        stands_for=SPELLING,
        source=FORMAT,
        key="from",
    )
    until: Annotated[PositiveDurationNs | None, OrNone()] = setting(
        "When it ends, not included; absent = the end of the run", None, stands_for=SPELLING, source=FORMAT
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Timed:
        found: list[tuple[Location, str]] = []
        given = _rules_given(self, self.RULES)
        if not given:
            found.append(((), f"does not say when: give one of {', '.join(self.RULES)}"))
        elif len(given) > 1:
            found.append(((given[1],), f"contradicts {given[0]}: give one of {', '.join(self.RULES)}"))
        if self.at and self.begin:
            found.append((("from",), "says nothing beside at"))
        if self.until is not None and self.until <= (self.at[0] if len(self.at) == 1 else self.begin):
            found.append((("until",), f"must be later than {'at' if len(self.at) == 1 else 'from'}"))
        if found:
            raise refusals(found)
        return self

    @model_serializer(mode="wrap")
    def _written(self, dump: Any) -> Any:
        """What happens first; what is not said is left out."""
        written = {key: value for key, value in dump(self).items() if value is not None and value != []}
        return {self.KIND: written.pop(self.KIND), **written}

    def expected(self, end_ns: int) -> float:
        """How often it is expected to happen before `end_ns`, its groups' members counted."""
        until_ns = end_ns if self.until is None else min(self.until, end_ns)
        rule, size = (self, 1) if self.bursts is None else (self.bursts, self.bursts.size)
        if rule.at:
            return float(size * len(rule.at))
        span_ns = max(0, until_ns - self.begin)
        if rule.poisson is not None:
            return size * span_ns * rule.poisson.count / rule.poisson.per_ns
        return float(size * -(-span_ns // rule.every)) if rule.every is not None else 0.0


class Lasting(Timed):
    """Something that goes on for a while."""

    lasts: Annotated[PositiveDurationNs | None, OrNone()] = setting(
        "How long each time; absent = to `until` where there is one `at`, else to the end of the run",
        None,
        stands_for=SPELLING,
        source=FORMAT,
    )

    @property
    def lasts_ns(self) -> int | None:
        """How long it lasts; None = to the end of the run."""
        if self.lasts is None and len(self.at) == 1 and self.until is not None:
            return self.until - self.at[0]
        return self.lasts

    @model_validator(mode="after")
    def _ends_once(self) -> Lasting:
        if self.until is not None and len(self.at) > 1 and self.lasts is None:
            raise refusal("says nothing beside several times: give lasts", "until")
        return self


@dataclass(frozen=True, slots=True)
class TraceValue:
    """Marks a field that holds recorded happenings: the name of a CSV file, or a list of rows.

    Columns: ``t`` (a duration from t = 0), and as far as known ``kind``, ``namespace`` and ``name``.
    """

    kinds: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._read,
            serialization=core_schema.plain_serializer_function_ser_schema(_written, when_used="json"),
        )

    def _read(self, value: Any, info: ValidationInfo) -> tuple[TraceRow, ...]:
        directory = getattr(info.context, "directory", None)
        if isinstance(value, str) and value.strip():
            rows = self._rows_in(directory / value if isinstance(directory, Path) else Path(value), value)
        elif isinstance(value, list | tuple) and value:
            rows = [self._row(row, (position,), "") for position, row in enumerate(value[:MOST_ROWS])]
        else:
            raise refusal(f"must be the name of a CSV file, or a list of rows, not {described(value)}")
        return tuple(sorted(rows, key=lambda row: row.t_ns))

    def _rows_in(self, path: Path, name: str) -> list[TraceRow]:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise refusal(f"{name[:200]}: is not UTF-8 text") from None
        except (OSError, ValueError) as error:
            reason = (
                error.strerror if isinstance(error, OSError) and error.strerror else "not a usable file name"
            )
            raise refusal(f"{name[:200]}: cannot be read: {reason}") from None
        lines = csv.reader(text.splitlines(), skipinitialspace=True)
        try:
            heading = [cell.strip() for cell in next(lines, [])]
            _check_heading(heading, name)
            rows = [
                self._row(dict(zip(heading, cells, strict=False)), (), f"{name}:{lines.line_num}: ")
                for cells in lines
                if any(cells) and not cells[0].startswith("#")
            ]
        except csv.Error as error:
            raise refusal(f"{name}:{lines.line_num}: {error}") from None
        if not 0 < len(rows) <= MOST_ROWS:
            raise refusal(f"{name}: holds {'no rows' if not rows else f'more than {MOST_ROWS} rows'}")
        return rows

    def _row(self, row: Any, place: Location, where: str) -> TraceRow:
        if isinstance(row, TraceRow):
            return row
        if not isinstance(row, dict) or any(column not in TRACE_COLUMNS for column in row):
            raise refusal(f"must be a mapping with {', '.join(TRACE_COLUMNS)}, not {described(row)}", *place)
        words = {column: self._word(row.get(column), where, place) for column in TRACE_COLUMNS[1:]}
        kind = words["kind"]
        if kind is not None and kind not in self.kinds:
            raise refusal(f"{where}{kind[:40]!r} is no kind to edit; {suggestion(kind, self.kinds)}", *place)
        try:
            t_ns = duration_ns(row.get("t"))
        except PydanticCustomError as error:
            said = (error.context or {})["found"][0][1]
            raise refusal(f"{where}t {said}", *place) from None
        return TraceRow(t_ns, kind, words["namespace"], words["name"])

    @staticmethod
    def _word(value: Any, where: str, place: Location) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > 253:
            raise refusal(f"{where}must hold text of at most 253 characters, not {described(value)}", *place)
        return value.strip() or None

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        texts = {column: {"type": ["string", "null"]} for column in TRACE_COLUMNS[1:]}
        row: JsonSchema = {
            "type": "object",
            "properties": {"t": {"type": "string", "pattern": DURATION_PATTERN}, **texts},
            "required": ["t"],
            "additionalProperties": False,
        }
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": row, "minItems": 1}]}


def _check_heading(heading: list[str], name: str) -> None:
    unknown = [column for column in heading if column not in TRACE_COLUMNS]
    if "t" not in heading or unknown or len(dict.fromkeys(heading)) != len(heading):
        shown = ", ".join(heading)[:100]
        raise refusal(
            f"{name}:1: must name columns among {', '.join(TRACE_COLUMNS)}, t among them, not {shown!r}"
        )


def _written(rows: Any) -> Any:
    return [
        {
            "t": format_duration(row.t_ns),
            **{key: value for key in TRACE_COLUMNS[1:] if (value := getattr(row, key)) is not None},
        }
        for row in rows
    ]
