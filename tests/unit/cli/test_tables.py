"""Tables on terminals of any width: columns may go and prose is broken, but no number and no name is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from simulator.cli.tables import new_table, show

ROWS = [
    (
        "pilot_proxy_convergence_time",
        "12.3 ms\n[10.1 ms, 14.5 ms]",
        "1,234,567",
        "a definition in so many words",
    ),
    ("queue_delay", "0 s", "12", "another one"),
]
HEADINGS = ("metric", "mean of all", "n", "definition")


def printed(width: int, dispensable: tuple[str, ...] = ()) -> list[str]:
    console = Console(width=width, file=io.StringIO(), markup=False, highlight=False)
    table = new_table("Metrics")
    table.add_column(HEADINGS[0], no_wrap=True)
    for heading in HEADINGS[1:3]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(HEADINGS[3])
    for row in ROWS:
        table.add_row(*row)
    show(console, table, dispensable)
    assert console.width == width
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [30, 60, 70, 80, 90, 100, 140])
@pytest.mark.parametrize("dispensable", [(), ("definition",), ("n", "definition")])
def test_whatever_the_width_numbers_and_names_are_whole(width: int, dispensable: tuple[str, ...]) -> None:
    lines = printed(width, dispensable)
    text = "\n".join(lines)
    assert "…" not in text
    for whole in ("pilot_proxy_convergence_time", "[10.1 ms, 14.5 ms]", "12.3 ms"):
        assert whole in text
    assert ("1,234,567" in text) or (width < 90 and "n" in dispensable)


def test_columns_go_in_order_and_only_where_there_is_no_room() -> None:
    order = ("definition", "n")
    wide, narrow, narrower = (" ".join(" ".join(printed(width, order)).split()) for width in (120, 70, 60))
    assert "definition" in wide
    assert "definition" not in narrow
    assert "1,234,567" in narrow
    assert "1,234,567" not in narrower
    assert max(map(len, printed(60, order))) <= 60


def sections(width: int, headings: tuple[str, ...], dispensable: tuple[str, ...] = ()) -> str:
    """Two rows in sections of their own, one in bold, as a terminal with colours gets them."""
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system="standard")
    table = new_table("Sections")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row(*(f"1 {heading}" for heading in headings), style="bold")
    table.add_section()
    table.add_row(*(f"2 {heading}" for heading in headings))
    show(console, table, dispensable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("gone", ["first", "middle", "last"])
def test_a_table_without_a_column_is_as_if_it_had_never_had_it(gone: str) -> None:
    headings = ("first", "middle", "last")
    kept = tuple(heading for heading in headings if heading != gone)
    assert sections(22, headings, (gone,)) == sections(22, kept)


def test_prose_is_broken_before_anything_goes() -> None:
    lines = printed(90, ("n",))
    assert max(map(len, lines)) <= 90
    assert "1,234,567" in "\n".join(lines)
    assert "a definition in so many words" not in "\n".join(lines)
