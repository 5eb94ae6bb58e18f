"""Values as expectations have them: how they are compared, and how they are told."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from simulator.engine.clock import format_duration
from simulator.results.errors import MetricError

_SAME: Final = (
    1e-12  # relative; below a nanosecond for any time under a quarter of an hour, above float rounding
)

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}


def compare(op: str, value: object, literal: object) -> bool:
    """`value op literal`; texts, flags and missing values know only equality."""
    if isinstance(literal, (int, float)) and isinstance(value, (int, float)):
        if math.isclose(value, literal, rel_tol=_SAME, abs_tol=0.0):
            return op in ("<=", "==", ">=")
        return _COMPARISONS[op](value, literal)
    if op not in ("==", "!="):
        raise MetricError(
            f"{literal_text(value)} and {literal_text(literal)} can only be compared by == and !="
        )
    if isinstance(value, str) and literal is not None:
        literal = literal_text(literal)
    return (value == literal) is (op == "==")


def literal_text(value: object) -> str:
    """A value as one would write it in an expectation."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return plain_text(value) if isinstance(value, (int, float)) else str(value)


def duration_text(value: float) -> str:
    """Seconds as a duration; what is infinite never happened."""
    if math.isinf(value):
        return "never"
    return format_duration(round(value * 1e9))


def plain_text(value: float) -> str:
    """A number with six figures, whole ones as they are."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:.6g}"
