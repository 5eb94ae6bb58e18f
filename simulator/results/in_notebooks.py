"""What results look like in Jupyter: a line of what they are, then the table one would ask for first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Any

import pandas as pd

__all__ = ["page"]


def page(title: str, notes: Iterable[str], table: pd.DataFrame) -> str:
    """HTML of a heading, a line for each note, and a table; everything that is not ours is escaped."""
    told = "".join(f"<div>{escape(note)}</div>" for note in notes)
    shown = table.map(_told)
    return f"<div><strong>{escape(title)}</strong>{told}{shown.to_html(notebook=True)}</div>"


def _told(value: Any) -> Any:
    """A number with four figures, never a percentile in fifteen; what is missing as a dash."""
    if isinstance(value, float):
        if math.isnan(value):
            return "-"
        if math.isinf(value):
            return "∞" if value > 0 else "-∞"
        return f"{value:,.0f}" if value.is_integer() or abs(value) >= 1e4 else f"{value:.4g}"
    return "-" if value is pd.NA else value
