"""Values of scenario keys: how each is written, read, refused and written again.

Each class here marks a pydantic field (``Annotated[int, Whole(0, 10)]``). It turns what the YAML holds
into the value that the model uses, refuses anything else in plain words, and describes itself to the JSON
Schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from simulator.engine.clock import MS, S
from simulator.scenario.problems import described, refusal, suggestion, written

MOST_RESOURCES = 1_000_000
"""Counts of resources beyond this are taken for mistakes."""

ANY = "any"
"""In the place of a name: whichever, or one that is drawn."""
ALL = ("all",)
"""What the word ``all`` becomes in a list of resource names; no resource can be called so."""

JsonSchema = dict[str, Any]

RATE_PATTERN = r"^\s*([0-9]+(\.[0-9]+)?|\.[0-9]+)\s*/\s*(ms|s|min|h)\s*$"
_RATE_UNITS = {"ms": MS, "s": S, "min": 60 * S, "h": 3600 * S}
_MEANT_FLAGS = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
_FASTEST_PER_SECOND = 1e9


@dataclass(frozen=True, slots=True)
class Marker:
    """Base of the marks: subclasses say how to read a value, how to write it and what its JSON Schema is."""

    def read(self, value: Any) -> Any:
        """The value for the model; raises a `refusal` for anything that cannot be meant."""
        raise NotImplementedError

    def written(self, value: Any) -> Any:
        """The value as a scenario file would hold it."""
        return value

    def json_schema(self) -> JsonSchema:
        """The JSON Schema of what may be written."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(self.written, when_used="json"),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        return self.json_schema()


@dataclass(frozen=True, slots=True)
class Whole(Marker):
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    def read(self, value: Any) -> int:
        """The number itself; text, fractions and booleans are refused."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise refusal(f"must be a whole number, not {described(value)}")
        if value < self.low:
            raise refusal(f"must be at least {self.low}, not {described(value).removeprefix('the number ')}")
        if value > self.high:
            raise refusal(f"must be at most {self.high}, not {described(value).removeprefix('the number ')}")
        return value

    def json_schema(self) -> JsonSchema:
        """An integer with bounds."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Flag(Marker):
    """true or false, or one of the `words`, which stay text."""

    words: tuple[str, ...] = ()

    def read(self, value: Any) -> bool | str:
        """The boolean or the word."""
        if isinstance(value, bool) or (isinstance(value, str) and value in self.words):
            return value
        meant = _MEANT_FLAGS.get(value.lower()) if isinstance(value, str) else None
        hint = f": write {meant}, without quotes" if meant else ""
        raise refusal(f"must be {', '.join((*self.words, 'true or false'))}, not {described(value)}{hint}")

    def json_schema(self) -> JsonSchema:
        """A boolean or an enumeration."""
        return {"enum": [*self.words, True, False]} if self.words else {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice(Marker):
    """One word of `words`.

    Those of `later` are refused with the remark that this version does not have them. `nothing` is the
    word that becomes None, if any; leaving the value empty means the same.
    """

    words: tuple[str, ...]
    later: tuple[str, ...] = ()
    nothing: str | None = None

    def read(self, value: Any) -> str | None:
        """The word, or None for the word that says nothing."""
        if self.nothing is not None and (value is None or value == self.nothing):
            return None
        if isinstance(value, str) and value in self.words:
            return value
        if isinstance(value, str) and value in self.later:
            raise refusal(
                f"{value!r} is not available in this version; available: {', '.join(self._all_words())}"
            )
        if not isinstance(value, str):
            raise refusal(f"must be one of {', '.join(self._all_words())}, not {described(value)}")
        raise refusal(
            f"{described(value)[9:] if value else 'an empty text'} is not one of "
            f"{', '.join(self._all_words())}{self._hint(value)}"
        )

    def _hint(self, value: str) -> str:
        hint = suggestion(value, self._all_words())
        return f"; {hint}" if hint.startswith("did you mean") else ""

    def _all_words(self) -> tuple[str, ...]:
        return self.words if self.nothing is None else (*self.words, self.nothing)

    def written(self, value: Any) -> Any:
        """The word, with the one that says nothing spelt out."""
        return self.nothing if value is None else value

    def json_schema(self) -> JsonSchema:
        """An enumeration."""
        return {"enum": list(self._all_words())}


@dataclass(frozen=True, slots=True)
class Text(Marker):
    """Text of at most `longest` characters.

    With `pattern` the whole text must match it, and `meaning` says in words what that is. An unquoted
    number is refused with the advice to quote it, since YAML would read the version 1.40 as the number
    1.4.
    """

    longest: int = 10_000
    pattern: str | None = None
    meaning: str = "text"
    nothing: bool = False

    def read(self, value: Any) -> str | None:
        """The text itself."""
        if self.nothing and value in (None, "none"):
            return None
        if isinstance(value, bool) or value is None or not isinstance(value, str | int | float):
            raise refusal(f"must be {self.meaning}, not {described(value)}")
        if not isinstance(value, str):
            raise refusal(
                f'must be {self.meaning}, and {described(value)} is not: quote it, as in "{written(value)}"'
            )
        if len(value) > self.longest:
            raise refusal(f"must be at most {self.longest} characters long, not {len(value)}")
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            raise refusal(f"must be {self.meaning}, not {described(value)}")
        return value

    def json_schema(self) -> JsonSchema:
        """A string, or null where nothing may be said."""
        schema: JsonSchema = {
            "type": ["string", "null"] if self.nothing else "string",
            "maxLength": self.longest,
        }
        return schema if self.pattern is None else {**schema, "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many happenings per so much time.

    Attributes:
        count: How many.
        per_ns: In how many nanoseconds.
    """

    count: float
    per_ns: int

    @property
    def per_second(self) -> float:
        """Happenings a second."""
        return self.count * S / self.per_ns

    @property
    def interval_ns(self) -> int:
        """Mean time between two happenings in whole nanoseconds."""
        return max(1, round(self.per_ns / self.count))

    def __str__(self) -> str:
        unit = next(
            (unit for unit, length in _RATE_UNITS.items() if length == self.per_ns), f"{self.per_ns}ns"
        )
        count = str(int(self.count)) if self.count == int(self.count) else format(self.count, "f").rstrip("0")
        return f"{count}/{unit}"


@dataclass(frozen=True, slots=True)
class RateText(Marker):
    """A rate above zero, such as ``20/s`` or ``6/min``."""

    def read(self, value: Any) -> Rate:
        """The rate."""
        if isinstance(value, Rate):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise refusal(f"must be a rate with its unit, such as 20/s or 6/min, not {described(value)}")
        match = re.match(RATE_PATTERN, value[:100]) if isinstance(value, str) else None
        if match is None:
            negative = isinstance(value, str) and value.strip().startswith("-")
            why = (
                "must not be negative"
                if negative
                else "must be a rate, such as 20/s or 6/min (units ms, s, min, h)"
            )
            raise refusal(
                f"{why}, not {described(value)}" if not negative else f"a rate {why}: {value.strip()[:40]!r}"
            )
        rate = Rate(float(match[1]), _RATE_UNITS[match[3]])
        if not rate.count > 0:
            raise refusal("must be more than 0: leave the entry out for no happenings at all")
        if not 1e-12 <= rate.per_second <= _FASTEST_PER_SECOND:
            raise refusal(f"{value.strip()[:40]!r} is no rate that can be meant (from 1e-12/s to 1e9/s)")
        return rate

    def written(self, value: Any) -> Any:
        """The rate as text."""
        return str(value)

    def json_schema(self) -> JsonSchema:
        """Text with a unit."""
        return {"type": "string", "pattern": RATE_PATTERN, "description": "rate, such as 20/s or 6/min"}


@dataclass(frozen=True, slots=True)
class ResourceNames(Marker):
    """A list of resource names, one name, or, unless `named`, the word ``all``; a tuple for the model."""

    named: bool = False

    def read(self, value: Any) -> tuple[str, ...]:
        """The names, in the order written; ``all`` becomes `ALL`."""
        if isinstance(value, str) and value.strip():
            value = (value,)
        if not isinstance(value, list | tuple):
            or_all = "" if self.named else ", or the word all"
            raise refusal(
                f"must be a list of resource names, such as [c0, c1]{or_all}, not {described(value)}"
            )
        names = [self._name(name, position) for position, name in enumerate(value)]
        if "all" in names and self.named:
            raise refusal("must name each one: the word all means nothing here")
        if "all" in names and len(names) > 1:
            raise refusal("the word all stands alone, without other names")
        seen: dict[str, int] = {}
        for position, name in enumerate(names):
            if seen.setdefault(name, position) != position:
                raise refusal(f"{name!r} is listed twice", position)
        return tuple(names)

    def _name(self, value: Any, *within: int) -> str:
        if not isinstance(value, str):
            raise refusal(f"must be a resource name, such as c0, not {described(value)}", *within)
        if not value.strip() or len(value) > 200:
            raise refusal("must be a resource name of 1 to 200 characters", *within)
        return value

    def written(self, value: Any) -> Any:
        """The word or the list."""
        return "all" if value == ALL else list(value)

    def json_schema(self) -> JsonSchema:
        """One name, or a list of names."""
        return {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "uniqueItems": True}]
        }


@dataclass(frozen=True, slots=True)
class OneOrMany:
    """Marks a tuple of mappings that may be written as a single one."""

    what: str
    may_be_empty: bool = True

    def _listed(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            if not value and not self.may_be_empty:
                raise refusal(f"must hold at least one {self.what}: leave the key out otherwise")
            return value
        if isinstance(value, dict | BaseModel):
            return (value,)
        raise refusal(f"must be a mapping ({self.what}), or a list of such, not {described(value)}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        many = handler(schema)
        return {"anyOf": [many["items"], many if self.may_be_empty else {**many, "minItems": 1}]}


@dataclass(frozen=True, slots=True)
class OrNone:
    """Marks a field that may be None, which a file may also write as the word none."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: None if value == "none" else value, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        given = handler(schema)
        return {"anyOf": [*given.get("anyOf", [given]), {"const": "none"}]}


Count = Annotated[int, Whole(0, MOST_RESOURCES)]
Switch = Annotated[bool, Flag()]
Names = Annotated[tuple[str, ...], ResourceNames()]
EachNamed = Annotated[tuple[str, ...], ResourceNames(named=True)]
RateValue = Annotated[Rate, RateText()]
