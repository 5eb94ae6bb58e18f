"""Paired differences in words, for the terminal and for pages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from simulator.report.wording import seconds_text
from simulator.results.paired import NOT_FINITE

__all__ = ["change", "narrowing", "paired_interval", "ratio_text", "seconds", "signed"]


def seconds(value: float) -> str:
    """A time in seconds, in words; a dash where there is none."""
    return "-" if math.isnan(value) else seconds_text(value * 1e9)


def signed(value: float, say: Callable[[float], str]) -> str:
    """A difference with its sign, in words."""
    if math.isnan(value):
        return "-"
    return f"-{say(-value)}" if value < 0 else f"+{say(value)}" if value > 0 else say(0)


def change(line: Mapping[Any, Any], say: Callable[[float], str]) -> str:
    """A difference in words: of two infinite numbers there is none."""
    return "∞ in both" if math.isinf(line["a"]) and math.isinf(line["b"]) else signed(line["difference"], say)


def paired_interval(line: Mapping[Any, Any], say: Callable[[float], str]) -> str:
    """The interval of a difference; where there is none because something never ended, how often."""
    if math.isfinite(line["ci_low"]) or math.isfinite(line["ci_high"]):
        return f"{signed(line['ci_low'], say)} .. {signed(line['ci_high'], say)}"
    return NOT_FINITE.format(**line) if line["not_finite"] else "-"


def ratio_text(ratio: float) -> str:
    """A ratio in three figures; a dash where there is none."""
    return "-" if math.isnan(ratio) else "∞" if math.isinf(ratio) else f"{ratio:.3g}"


def narrowing(line: Mapping[Any, Any]) -> str:
    """How wide the paired interval is, as a share of the unpaired one."""
    paired, unpaired = line["ci_high"] - line["ci_low"], line["unpaired_high"] - line["unpaired_low"]
    if not math.isfinite(paired) or not math.isfinite(unpaired) or unpaired == 0:
        return "-"
    return f"{paired / unpaired * 100:.0f} %"
