"""Values of scenario keys as Kubernetes and Istio write them: quantities, percentages, ``auto``, versions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from pydantic_core import PydanticCustomError

from simulator.scenario.problems import described, nearest, refusal
from simulator.scenario.quantities import JsonSchema, Marker, Text
from simulator.workload.entries import Portion

_PERCENTAGE = re.compile(r"\s*([0-9]{1,9}(\.[0-9]{1,9})?)\s*%\s*")
_PERCENTAGE_PATTERN = r"^[0-9]+(\.[0-9]+)?%$"
_SUFFIXES = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
_BYTES = re.compile(r"\s*([0-9]{1,18}(\.[0-9]{1,9})?)\s*(k|M|G|T|Ki|Mi|Gi|Ti|)(/s)?\s*")
_CPU = re.compile(r"\s*([0-9]{1,9}(\.[0-9]{1,9})?)(m?)\s*")
_MOST_BYTES = 2**60

NEWEST_MINOR = 32


def is_number(value: Any) -> bool:
    """Whether YAML wrote a number; booleans are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _percentage(value: Any) -> Fraction | None:
    """The share that a text such as ``25%`` says, exactly; None for anything else."""
    match = _PERCENTAGE.fullmatch(value[:100]) if isinstance(value, str) else None
    return None if match is None else Fraction(match[1]) / 100


def written_percentage(share: Fraction | float) -> str:
    """The share as text, with its nine decimals at most."""
    text = f"{float(share * 100):.9f}".rstrip("0").rstrip(".")
    return f"{text}%"


@dataclass(frozen=True, slots=True)
class PortionValue(Marker):
    """A count from `low`, or a percentage of at most `most_percent`."""

    low: int = 0
    most_percent: int = 100

    def read(self, value: Any) -> Portion:
        """The portion."""
        if isinstance(value, Portion):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            if not self.low <= value <= 10**9:
                raise refusal(f"must be from {self.low} to {10**9}, or a percentage such as 25%, not {value}")
            return Portion(count=value)
        share = _percentage(value)
        if share is None:
            raise refusal(f"must be a whole number, or a percentage such as 25%, not {described(value)}")
        if share > Fraction(self.most_percent, 100):
            raise refusal(f"must be at most {self.most_percent}%, not {str(value).strip()[:40]!r}")
        return Portion(share=share)

    def written(self, value: Any) -> Any:
        """The number, or the percentage as text."""
        return value.count if value.share is None else written_percentage(value.share)

    def json_schema(self) -> JsonSchema:
        """An integer, or text with a percent sign."""
        return {
            "anyOf": [
                {"type": "integer", "minimum": self.low},
                {"type": "string", "pattern": _PERCENTAGE_PATTERN},
            ]
        }


@dataclass(frozen=True, slots=True)
class Probability(Marker):
    """A share from 0 to 1, as a number or a percentage; a float for the model."""

    def read(self, value: Any) -> float:
        """The share."""
        share = _percentage(value)
        number = float(value) if is_number(value) and abs(value) < 10**9 else share
        if number is None:
            raise refusal(
                f"must be a share from 0 to 1 or a percentage, such as 0.1%, not {described(value)}"
            )
        if not 0 <= number <= 1:
            raise refusal(f"must be from 0 to 1, or from 0% to 100%, not {str(value)[:40]}")
        return float(number)

    def json_schema(self) -> JsonSchema:
        """A number, or text with a percent sign."""
        return {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": _PERCENTAGE_PATTERN},
            ]
        }


@dataclass(frozen=True, slots=True)
class Cpu(Marker):
    """A Kubernetes quantity of CPU (2, ``500m``), in cores."""

    most: int = 1024

    def read(self, value: Any) -> float:
        """The cores, to the thousandth part above."""
        text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        match = _CPU.fullmatch(text[:100]) if isinstance(text, str) else None
        if match is None:
            raise refusal(f"must be a quantity of CPU, such as 2 or 500m, not {described(value)}")
        millis = math.ceil(Fraction(match[1]) * (1 if match[3] else 1000))
        if not 0 < millis <= self.most * 1000:
            raise refusal(f"must be more than 0 and at most {self.most} cores, not {text.strip()[:40]}")
        return millis / 1000

    def written(self, value: Any) -> Any:
        """Whole cores as a number, else thousandths."""
        return int(value) if value == int(value) else f"{round(value * 1000)}m"

    def json_schema(self) -> JsonSchema:
        """A number or a quantity."""
        return {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": self.most},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?m?$"},
            ]
        }


@dataclass(frozen=True, slots=True)
class Bytes(Marker):
    """A Kubernetes quantity of bytes (``1Gi``, ``500k``), a second if `per_second`."""

    per_second: bool = False

    def read(self, value: Any) -> int:
        """The bytes, whole."""
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        match = _BYTES.fullmatch(text[:100]) if isinstance(text, str) else None
        if match is None or (match[4] and not self.per_second):
            example = "1Gi or 100M (bytes a second)" if self.per_second else "64Ki or 1M"
            raise refusal(f"must be a quantity of bytes, such as {example}, not {described(value)}")
        count = math.floor(Fraction(match[1]) * _SUFFIXES[match[3]])
        if not 1 <= count <= _MOST_BYTES:
            raise refusal(f"must be from 1 byte to 1Ei, not {text.strip()[:40]}")
        return count

    def written(self, value: Any) -> Any:
        """The largest binary unit that divides it, or the plain number."""
        for suffix in ("Ti", "Gi", "Mi", "Ki"):
            if value % _SUFFIXES[suffix] == 0:
                return f"{value // _SUFFIXES[suffix]}{suffix}"
        return value

    def json_schema(self) -> JsonSchema:
        """An integer, or a quantity."""
        pattern = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?" + ("(/s)?$" if self.per_second else "$")
        return {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": pattern}]}


@dataclass(frozen=True, slots=True)
class Number(Marker):
    """A number above zero, at most `most`."""

    most: float

    def read(self, value: Any) -> float:
        """The number."""
        if not is_number(value):
            raise refusal(f"must be a number, not {described(value)}")
        if not 0 < value <= self.most:
            raise refusal(f"must be above 0 and at most {self.most:g}, not {str(value)[:40]}")
        return float(value)

    def json_schema(self) -> JsonSchema:
        """A number with bounds."""
        return {"type": "number", "exclusiveMinimum": 0, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Auto(Marker):
    """What `inner` reads, or the word ``auto``, which stays text; with `nothing`, ``none`` becomes None."""

    inner: Marker
    nothing: bool = False

    def read(self, value: Any) -> Any:
        """The value, ``auto`` or None."""
        if isinstance(value, str) and value == "auto":
            return value
        if self.nothing and (value is None or (isinstance(value, str) and value == "none")):
            return None
        try:
            return self.inner.read(value)
        except PydanticCustomError as error:
            raise self._with_words(error, value) if isinstance(value, str) else error from None

    def _with_words(self, error: PydanticCustomError, value: str) -> PydanticCustomError:
        """What `inner` says of a text, and the words that may stand there."""
        ((place, said),) = (error.context or {})["found"]
        words = ["auto", "none"] if self.nothing else ["auto"]
        near = nearest(value, words)
        hint = f"; did you mean {near!r}?" if near else ""
        return refusal(said.replace(", not ", f" or {' or '.join(words)}, not ", 1) + hint, *place)

    def written(self, value: Any) -> Any:
        """The word or what `inner` writes."""
        if value is None:
            return "none"
        return value if isinstance(value, str) and value == "auto" else self.inner.written(value)

    def json_schema(self) -> JsonSchema:
        """The words, or what `inner` allows."""
        inner = self.inner.json_schema()
        words = ["auto", "none"] if self.nothing else ["auto"]
        return {"anyOf": [{"enum": words}, *inner.get("anyOf", [inner])]}


def minor_of(version: str) -> int:
    """The 32 of the version 1.32."""
    return int(version.split(".")[1])


IstioVersion = Annotated[
    str,
    Text(
        20,
        rf"0\.[2-7]|1\.({'|'.join(str(minor) for minor in range(NEWEST_MINOR + 1))})",
        f'an Istio version from "0.2" to "0.7" or from "1.0" to "1.{NEWEST_MINOR}", in quotes',
    ),
]
PortionField = Annotated[Portion, PortionValue()]
SurgeField = Annotated[Portion, PortionValue(most_percent=10_000)]
ProbabilityField = Annotated[float, Probability()]
