"""Durations in a scenario: Go's text form, and what was meant when it is not quite that."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from simulator.engine.clock import DurationError, DurationTooLongError, S, format_duration, parse_duration
from simulator.scenario.problems import described, refusal, written
from simulator.scenario.quantities import JsonSchema, Marker

LONGEST_NS = 3650 * 24 * 3600 * S
"""Durations beyond ten years are taken for mistakes."""
_LONGEST = f"{LONGEST_NS // (3600 * S)}h"

DURATION_PATTERN = r"^\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(h|m|s|ms|us|µs|ns))+$"


@dataclass(frozen=True, slots=True)
class Duration(Marker):
    """A Go duration of at least `low` ns, as integer nanoseconds. Bare numbers are refused."""

    low: int = 0

    def read(self, value: Any) -> int:
        """The nanoseconds."""
        return duration_ns(value, low=self.low)

    def written(self, value: Any) -> Any:
        """The duration as Go writes it."""
        return format_duration(value)

    def json_schema(self) -> JsonSchema:
        """Text in Go's syntax."""
        return {
            "type": "string",
            "pattern": DURATION_PATTERN,
            "description": "Go duration, such as 100ms or 1m30s",
        }


def duration_ns(value: Any, *within: str | int, low: int = 0) -> int:
    """The nanoseconds of a Go duration, from `low` ns to ten years; refusals speak of the part `within`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        advice = "write 0s" if value == 0 else _with_units(value)
        raise refusal(f"needs a unit: {advice}, not the bare number", *within)
    if not isinstance(value, str):
        raise refusal(f"must be a duration, such as 5s or 1m30s, not {described(value)}", *within)
    try:
        parsed = parse_duration(value.strip()[:200])
    except DurationTooLongError:
        parsed = -1 if value.strip().startswith("-") else LONGEST_NS + 1
    except DurationError as error:
        raise refusal(_explained(value.strip(), error), *within) from None
    if parsed < 0:
        raise refusal(f"must not be negative: {value.strip()[:40]!r}", *within)
    if parsed < low:
        raise refusal(f"must be at least {format_duration(low)}, not {value.strip()[:40]!r}", *within)
    if parsed > LONGEST_NS:
        raise refusal(f"{value.strip()[:40]!r} is longer than ten years: write {_LONGEST} at most", *within)
    return parsed


def _with_units(number: int | float) -> str:
    if not math.isfinite(number) or abs(number) > 10**12:
        return "write a duration such as 5s or 5ms"
    return f"write {written(number)}s or {written(number)}ms"


def _explained(text: str, error: DurationError) -> str:
    """Why a text is no duration, with the likely intention where it can be guessed."""
    if re.fullmatch(r"[+-]?[0-9.]+", text):
        return (
            f"needs a unit: write {text[:40]}s or {text[:40]}ms"
            if text.strip("0.+-")
            else "needs a unit: write 0s"
        )
    match = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]+)", text)
    unit = _OTHER_UNITS.get(match[2].lower()) if match else None
    if match and unit:
        return f"{text[:40]!r} is not a Go duration; write {match[1]}{unit}"
    if match and match[2].lower() in ("d", "day", "days", "w", "week", "weeks"):
        return f"{text[:40]!r} is not a Go duration: its longest unit is the hour, as in 24h"
    if re.fullmatch(r"[0-9]+(:[0-9]+)+", text):
        return f"{text[:40]!r} is not a Go duration; write it with units, such as 1m30s"
    return f"{described(text)} is not a duration, such as 100ms, 5s or 1m30s (units h, m, s, ms, us, ns)"


_OTHER_UNITS = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "s": "s",
    "min": "m", "mins": "m", "minute": "m", "minutes": "m", "m": "m",
    "hour": "h", "hours": "h", "hr": "h", "hrs": "h", "h": "h",
    "msec": "ms", "millis": "ms", "millisecond": "ms", "milliseconds": "ms", "ms": "ms",
    "usec": "us", "micros": "us", "microsecond": "us", "microseconds": "us", "us": "us",
    "nsec": "ns", "nanos": "ns", "nanosecond": "ns", "nanoseconds": "ns", "ns": "ns",
}  # fmt: skip

DurationNs = Annotated[int, Duration()]
PositiveDurationNs = Annotated[int, Duration(low=1)]
