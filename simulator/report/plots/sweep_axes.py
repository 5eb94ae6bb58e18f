"""Values of scenario keys as positions on an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from simulator.engine.clock import DurationError, parse_duration
from simulator.report import look
from simulator.report.wording import amount_text, seconds_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["KeyAxis", "log_ticks", "value_label"]

_LOGARITHMIC_FROM: Final = 20
"""Values that span this factor or more stand on a logarithmic axis."""
_FEW_LABELS: Final = 100
"""An axis that spans less would have two or three labels at powers of ten alone."""


@dataclass(frozen=True, slots=True)
class KeyAxis:
    """The values of one key, in the order in which they are drawn.

    Attributes:
        key: Path of the key.
        texts: Its values, ascending where they are numbers.
        numbers: The same as numbers (durations in seconds); positions 0, 1, ... where they are none.
        is_number: Whether they are numbers.
    """

    key: str
    texts: tuple[str, ...]
    numbers: tuple[float, ...]
    is_number: bool

    @classmethod
    def of(cls, key: str, texts: Sequence[str]) -> KeyAxis:
        """The axis of the distinct values among `texts`."""
        distinct = list(dict.fromkeys(texts))
        numbers = [_number(text) for text in distinct]
        known = [number for number in numbers if number is not None]
        if len(known) < len(distinct):
            return cls(key, tuple(distinct), tuple(float(place) for place in range(len(distinct))), False)
        pairs = sorted(zip(known, distinct, strict=True))
        return cls(key, tuple(text for _, text in pairs), tuple(number for number, _ in pairs), True)

    @property
    def is_log(self) -> bool:
        """Whether the values span orders of magnitude."""
        low, high = self.numbers[0], self.numbers[-1]
        return self.is_number and low > 0 and high >= _LOGARITHMIC_FROM * low

    def at(self, text: str) -> float:
        """The position of a value."""
        return self.numbers[self.texts.index(text)]

    def label_horizontal(self, ax: Axes) -> None:
        """Label the horizontal axis with the values themselves."""
        if self.is_log:
            ax.set_xscale("log")
        shown = (
            range(len(self.texts))
            if len(self.texts) <= 14
            else range(0, len(self.texts), len(self.texts) // 10)
        )
        ax.set_xticks(
            [self.numbers[place] for place in shown], [look.literal(self.texts[place]) for place in shown]
        )
        ax.set_xticks([], minor=True)
        ax.set_xlabel(look.literal(self.key), fontsize=9, color=look.INK, loc="left")


def value_label(value: float, unit: str) -> str:
    """A value of a metric in its unit."""
    if unit == "s":
        return seconds_text(value * 1e9)
    told = amount_text(value)
    if unit != "B" or not math.isfinite(value):
        return told
    return f"{told}B" if told[-1].isalpha() else f"{told} B"  # 1.2 MB, 12 B


def log_ticks(ax: Axes, axis: str) -> None:
    """Make an axis logarithmic; where it spans little, 2 and 5 times the powers of ten have labels too."""
    from matplotlib.ticker import LogLocator

    getattr(ax, f"set_{axis}scale")("log")
    it: Axis = getattr(ax, f"{axis}axis")
    low, high = it.get_view_interval()
    it.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _FEW_LABELS * low else (1,), numticks=9))
    it.set_minor_formatter(lambda *_: "")


def _number(text: str) -> float | None:
    try:
        return parse_duration(text) / 1e9
    except DurationError:
        pass
    is_milli = text.endswith("m")
    try:
        return float(text.removesuffix("m").removesuffix("%")) / (1000 if is_milli else 1)
    except ValueError:
        return None
