"""All figures of one experiment, written as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from simulator.report import look, plots
from simulator.report.plots.comparison_cdf import HEIGHT as CDF_HEIGHT
from simulator.report.plots.debounce_curve import HEIGHT as DEBOUNCE_HEIGHT
from simulator.report.plots.paired_differences import height as paired_height
from simulator.report.plots.pareto import HEIGHT as PARETO_HEIGHT
from simulator.report.plots.sweep_heatmap import height as heatmap_height
from simulator.report.plots.sweep_lines import HEIGHT as LINES_HEIGHT
from simulator.report.plots.sweep_points import HEIGHT as POINTS_HEIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.experiment import Experiment

__all__ = ["EXPERIMENT_FIGURES", "ExperimentFigure", "write_experiment_figures"]

_DEBOUNCE: Final = "control_plane.debounce.after"
_CPU: Final = "control_plane_cpu"
_STALENESS: Final = "staleness"
_PAIRED_ROWS: Final = 12


@dataclass(frozen=True, slots=True)
class ExperimentFigure:
    """One figure of an experiment's directory: what draws it, and whether there is anything to show in it."""

    draw: Callable[[Any], Axes]
    applies: Callable[[Any], bool]


def _cdf(experiment: Experiment) -> Axes:
    return plots.comparison_cdf(experiment, ax=look.figure(CDF_HEIGHT))


def _paired(comparison: Any) -> Axes:
    first, last = comparison.variants[0], comparison.variants[-1]
    return plots.paired_differences(comparison, last, first, ax=look.figure(paired_height(_PAIRED_ROWS)))


def _pareto(experiment: Experiment) -> Axes:
    """The delay against what it costs the control plane: its CPU, or messages where CPU costs nothing."""
    works = all(experiment.estimate(cell.index, _CPU).value > 0 for cell in experiment.cells)
    return plots.pareto(experiment, _CPU if works else "xds_messages", ax=look.figure(PARETO_HEIGHT))


def _pareto_bytes(experiment: Experiment) -> Axes:
    return plots.pareto(experiment, "xds_bytes", _STALENESS, ax=look.figure(PARETO_HEIGHT))


def _lines(experiment: Experiment) -> Axes:
    return plots.sweep_lines(experiment, ax=look.figure(LINES_HEIGHT))


def _heatmap(experiment: Experiment) -> Axes:
    rows = len({cell.varied[experiment.keys[1]] for cell in experiment.cells})
    return plots.sweep_heatmap(experiment, ax=look.figure(heatmap_height(rows)))


def _points(experiment: Experiment) -> Axes:
    return plots.sweep_points(experiment, ax=look.figure(POINTS_HEIGHT))


def _debounce(experiment: Experiment) -> Axes:
    return plots.debounce_curve(experiment, ax=look.figure(DEBOUNCE_HEIGHT))


def _is_comparison(experiment: Experiment) -> bool:
    return experiment.kind == "compare"


def _is_lines(experiment: Any) -> bool:
    """Whether the cells of a sweep have neighbours: those of a grid, and of a design of one key."""
    return experiment.kind == "sweep" and (experiment.is_grid or len(experiment.keys) == 1)


EXPERIMENT_FIGURES: Final[Mapping[str, ExperimentFigure]] = MappingProxyType(
    {
        "comparison": ExperimentFigure(_cdf, lambda experiment: experiment.kind != "sweep"),
        "paired": ExperimentFigure(_paired, _is_comparison),
        "pareto": ExperimentFigure(_pareto, _is_comparison),
        "pareto-bytes": ExperimentFigure(
            _pareto_bytes, lambda it: _is_comparison(it) and _STALENESS in it.metrics
        ),
        "sweep": ExperimentFigure(_lines, lambda it: _is_lines(it) and len(it.keys) != 2),
        "heatmap": ExperimentFigure(_heatmap, lambda it: _is_lines(it) and len(it.keys) == 2),
        "points": ExperimentFigure(_points, lambda it: it.kind == "sweep" and not _is_lines(it)),
        "debounce": ExperimentFigure(_debounce, lambda it: it.kind == "sweep" and it.keys == [_DEBOUNCE]),
    }
)
"""File name without ending -> figure. A new figure is one line here."""


def write_experiment_figures(experiment: Experiment, directory: Path) -> list[Path]:
    """Draw every figure that applies into ``directory``, each as PNG and SVG; equal results give byte-equal
    files. Returns the paths; raises OSError when the directory cannot be written.
    """
    written: list[Path] = []
    for name, figure in EXPERIMENT_FIGURES.items():
        if figure.applies(experiment):
            with look.deterministic():
                written += look.save(figure.draw(experiment), directory / name)
        else:
            for suffix in look.SUFFIXES:
                (directory / f"{name}{suffix}").unlink(missing_ok=True)
    return written
