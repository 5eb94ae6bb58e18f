"""How tables look on the terminal."""

from __future__ import annotations

from typing import Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

__all__ = ["FEW", "TOO_FEW", "footnote", "new_table", "show"]

FEW: Final = "*"
"""Mark of a percentile that the number of samples cannot support."""
TOO_FEW: Final = f"{FEW} too few samples for this percentile"


def new_table(title: str) -> Table:
    """A table without lines, its title in bold above it."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        show_edge=False,
        pad_edge=False,
    )


def show(console: Console, table: Table) -> None:
    """Print it, a little indented, below an empty line."""
    console.print()
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def footnote(console: Console, words: str) -> None:
    """What must be known to read the table above."""
    console.print(Text(f"  {words}", style="dim"))
