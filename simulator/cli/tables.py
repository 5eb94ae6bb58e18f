"""How tables look on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

__all__ = ["FEW", "TOO_FEW", "footnote", "new_table", "show"]

_INDENT: Final = 2
_BETWEEN: Final = 3
"""Between two columns: a space of either side and the line that is not drawn."""
_ENDLESS: Final = 10_000
_PROSE: Final = 15
"""Prose in columns narrower than this is no fun to read."""

FEW: Final = "*"
"""Mark of a percentile that the number of samples cannot support."""
TOO_FEW: Final = f"{FEW} too few samples for this percentile"


def new_table(title: str, *columns: Column) -> Table:
    """A table without lines, its title in bold above it."""
    return Table(
        *columns,
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        show_edge=False,
        pad_edge=False,
    )


def show(console: Console, table: Table, dispensable: Sequence[str] = ()) -> None:
    """Print it, a little indented, below an empty line.

    Where the terminal is too narrow, the columns of the `dispensable` headings go, in that order, and prose
    is broken into lines. A number or a name is never cut: with nothing left to give up, the lines are longer
    than the terminal.
    """
    room = console.width - _INDENT
    for heading in dispensable:
        if _needed(table) > room:
            table = _without(table, heading)
    if console.measure(table, options=console.options.update(max_width=_ENDLESS)).maximum > room:
        for column in table.columns:
            if _is_prose(column):
                column.min_width = _narrowest(column)
            else:
                column.width, column.no_wrap = _narrowest(column), False  # the heading may be broken
    console.print()
    shown, console.width = console.width, max(console.width, _needed(table) + _INDENT)
    console.print(Padding(table, (0, 0, 0, _INDENT), expand=False))
    console.width = shown


def _without(table: Table, heading: str) -> Table:
    """The table without the column of that heading."""
    kept = [column for column in table.columns if column.header != heading]
    narrower = new_table(str(table.title), *(column.copy() for column in kept))
    for row, *cells in zip(table.rows, *(column.cells for column in kept), strict=True):
        narrower.add_row(*cells, style=row.style, end_section=row.end_section)
    return narrower


def _needed(table: Table) -> int:
    """Columns of the terminal that the table takes when all prose in it is broken as far as it goes."""
    return sum(map(_narrowest, table.columns)) + _BETWEEN * max(0, len(table.columns) - 1)


def _narrowest(column: Column) -> int:
    """The width that cuts no word of the heading, no number and no name, and breaks no prose too soon."""
    cells = [line for cell in column.cells for line in _plain(cell).splitlines()]
    heading = max((cell_len(word) for word in _plain(column.header).split()), default=0)
    whole = max(map(cell_len, cells), default=0)
    if _is_prose(column):
        words = [word for line in cells for word in line.split()]
        whole = min(whole, max(_PROSE, *map(cell_len, words), 0))
    return max(heading, whole)


def _is_prose(column: Column) -> bool:
    """Whether its cells may be broken between words: neither numbers nor names."""
    return column.justify != "right" and not column.no_wrap


def _plain(cell: object) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def footnote(console: Console, words: str) -> None:
    """What must be known to read the table above."""
    console.print(Text(f"  {words}", style="dim"))
