"""All figures of one result, written as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from simulator.report import look, plots
from simulator.report.plots.startup import height as startup_height
from simulator.report.plots.states import height as states_height

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["FIGURES", "write_figures"]


def _startup(result: Result) -> Axes:
    return plots.startup(result, ax=look.figure(startup_height(result)))


def _states(result: Result) -> Axes:
    proxy = _first_proxy(result)
    return plots.states(result, proxy, ax=look.figure(states_height(result, proxy)))


FIGURES: Final[Mapping[str, Callable[[Result], Axes]]] = MappingProxyType(
    {"startup": _startup, "states": _states}
)
"""File name without ending -> what draws it. A new figure is one line here."""


def write_figures(result: Result, directory: Path) -> list[Path]:
    """Draw every figure into ``directory``, each as PNG and SVG; equal results give byte-equal files.

    Returns the paths. The directory must exist; raises OSError when it cannot be written.
    """
    written: list[Path] = []
    for name, draw in FIGURES.items():
        with look.deterministic():
            written += look.save(draw(result), directory / name)
    return written


def _first_proxy(result: Result) -> str:
    """The Envoy whose clusters and listeners are shown: the first that the states table tells about."""
    for table in (result.states, result.startups):
        if len(table):
            return str(table["proxy_id"].iloc[0])
    return "p0"
