"""Durations: whole nanoseconds inside, Go's text form at the edge.

Every time and duration in the simulator is an `int` of nanoseconds. Integers are exact: a sum of delays
equals the sum of the waits one after another, ties are real ties, and a clock far from zero loses no
resolution. Text follows Go's `time.ParseDuration` and `time.Duration.String`, since the modelled settings are
written so.
"""

from __future__ import annotations

import re

NS, US, MS, S = 1, 1_000, 1_000_000, 1_000_000_000

_MINUTE, _HOUR = 60 * S, 3600 * S
_UNITS_NS = {"ns": NS, "us": US, "µs": US, "μs": US, "ms": MS, "s": S, "m": _MINUTE, "h": _HOUR}
_TERM = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]*)")
_LONGEST_NS = 2**63 - 1
_LONGEST_TEXT = 1000


class DurationError(ValueError):
    """A text is not a Go duration; the message says what is wrong and how to write it."""


class DurationTooLongError(DurationError):
    """A duration, well written, of more nanoseconds than an int64 holds."""


def parse_duration(text: str) -> int:
    """The nanoseconds of a Go duration such as `1m30s`, `-1.5h` or `250us`.

    Fractions of a nanosecond are cut off, as Go does. A number without a unit is refused, zero included:
    write `0s`.

    Raises:
        DurationError: the text is not a duration.
        DurationTooLongError: it is beyond int64 nanoseconds (about 292 years).
    """
    if len(text) > _LONGEST_TEXT:
        raise DurationError(f"invalid duration: a text of {len(text)} characters")
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if not rest:
        raise DurationError(f"invalid duration {text!r}: write a number and a unit, such as 100ms or 1m30s")
    total_ns = sum(_term_ns(term, text) for term in _TERM.finditer(rest) if term.group())
    if total_ns > _LONGEST_NS:
        raise DurationTooLongError(
            f"duration {text!r} is longer than int64 nanoseconds can hold (about 292 years)"
        )
    return sign * total_ns


def _term_ns(term: re.Match[str], text: str) -> int:
    """One number with its unit, in whole nanoseconds."""
    whole, point, fraction, unit = term.groups("")
    if not whole and not fraction:
        raise DurationError(f"invalid duration {text!r}: write a number and a unit, such as 100ms or 1m30s")
    if not unit:
        number = whole + point + fraction
        raise DurationError(
            f"missing unit in duration {text!r}: write {number}s for seconds, {number}ms for milliseconds"
        )
    if unit not in _UNITS_NS:
        raise DurationError(f"unknown unit {unit!r} in duration {text!r}: the units are h, m, s, ms, us, ns")
    unit_ns = _UNITS_NS[unit]
    return int(whole or "0") * unit_ns + int(fraction or "0") * unit_ns // int(10 ** len(fraction))


def format_duration(ns: int) -> str:
    """The duration as Go prints it (`1m30s`, `1h0m0s`, `1.5ms`, `0s`), with `us` for microseconds."""
    if ns < 0:
        return "-" + format_duration(-ns)
    if ns == 0:
        return "0s"
    for unit, unit_ns in (("ns", NS), ("us", US), ("ms", MS)):
        if ns < 1000 * unit_ns:
            return _decimal(ns, unit_ns) + unit
    hours, below_hour = divmod(ns, _HOUR)
    minutes, below_minute = divmod(below_hour, _MINUTE)
    seconds = _decimal(below_minute, S) + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _decimal(ns: int, unit_ns: int) -> str:
    """`ns` in `unit_ns`, exactly, without trailing zeros."""
    whole, fraction = divmod(ns, unit_ns)
    if not fraction:
        return str(whole)
    digits = len(str(unit_ns)) - 1
    return f"{whole}.{fraction:0{digits}d}".rstrip("0")
