"""All figures of one result, written as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from simulator.report import look, plots
from simulator.report.plots.certificate_waves import HEIGHT as CERTIFICATE_WAVES_HEIGHT
from simulator.report.plots.control_plane_start import height as control_plane_start_height
from simulator.report.plots.convergence import HEIGHT as CONVERGENCE_HEIGHT
from simulator.report.plots.delay_cdf import HEIGHT as DELAY_CDF_HEIGHT
from simulator.report.plots.delay_cdf import kinds_of
from simulator.report.plots.flag_flips import HEIGHT as FLAG_FLIPS_HEIGHT
from simulator.report.plots.hot_restart import height as hot_restart_height
from simulator.report.plots.migration import HEIGHT as MIGRATION_HEIGHT
from simulator.report.plots.queue_depths import height as queue_depths_height
from simulator.report.plots.stale_windows import HEIGHT as STALE_WINDOWS_HEIGHT
from simulator.report.plots.startup import height as startup_height
from simulator.report.plots.states import height as states_height
from simulator.report.plots.waterfall import HEIGHT as WATERFALL_HEIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simulator.results.result import Result

__all__ = ["FIGURES", "Figure", "write_figures"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a results directory: what draws it, and whether a result has anything to show in it."""

    draw: Callable[[Result], Axes]
    applies: Callable[[Result], bool]


def _startup(result: Result) -> Axes:
    return plots.startup(result, ax=look.figure(startup_height(result)))


def _states(result: Result) -> Axes:
    proxy = _first_proxy(result)
    return plots.states(result, proxy, ax=look.figure(states_height(result, proxy)))


def _convergence(result: Result) -> Axes:
    return plots.convergence(result, ax=look.figure(CONVERGENCE_HEIGHT))


def _waterfall(result: Result) -> Axes:
    return plots.waterfall(result, ax=look.figure(WATERFALL_HEIGHT))


def _delay_cdf(result: Result) -> Axes:
    return plots.delay_cdf(result, ax=look.figure(DELAY_CDF_HEIGHT))


def _queue_depths(result: Result) -> Axes:
    return plots.queue_depths(result, ax=look.figure(queue_depths_height(result)))


def _stale_windows(result: Result) -> Axes:
    return plots.stale_windows(result, ax=look.figure(STALE_WINDOWS_HEIGHT))


def _control_plane_start(result: Result) -> Axes:
    return plots.control_plane_start(result, ax=look.figure(control_plane_start_height(result)))


def _certificate_waves(result: Result) -> Axes:
    return plots.certificate_waves(result, ax=look.figure(CERTIFICATE_WAVES_HEIGHT))


def _hot_restart(result: Result) -> Axes:
    return plots.hot_restart(result, ax=look.figure(hot_restart_height(result)))


def _flag_flips(result: Result) -> Axes:
    return plots.flag_flips(result, ax=look.figure(FLAG_FLIPS_HEIGHT))


def _has_flips(result: Result) -> bool:
    return bool((result.changes["kind"] == "RuntimeFlag").any())


def _migration(result: Result) -> Axes:
    return plots.migration(result, ax=look.figure(MIGRATION_HEIGHT))


def _has_migration(result: Result) -> bool:
    scenario = result.manifest.get("scenario", {})
    return any("migrate_revision" in entry for entry in scenario.get("workload", ()))


def _has_hot_restarts(result: Result) -> bool:
    return bool((result.states["machine"] == "hot_restart").any())


def _has_starts(result: Result) -> bool:
    """Whether Envoys were started; a run in which nothing happened at all says that none was."""
    return len(result.startups) > 0 or len(result.deliveries) == 0


def _has_states(result: Result) -> bool:
    return len(result.states) > 0 or len(result.deliveries) == 0


def _has_deliveries(result: Result) -> bool:
    return len(result.deliveries) > 0


def _has_kinds(result: Result) -> bool:
    """Whether there is more than one kind to compare."""
    return len(kinds_of(result)) > 1


FIGURES: Final[Mapping[str, Figure]] = MappingProxyType(
    {
        "startup": Figure(_startup, _has_starts),
        "states": Figure(_states, _has_states),
        "convergence": Figure(_convergence, _has_deliveries),
        "waterfall": Figure(_waterfall, _has_deliveries),
        "delay_cdf": Figure(_delay_cdf, _has_kinds),
        "queue_depths": Figure(_queue_depths, lambda result: len(result.queues) > 0),
        "control_plane_start": Figure(_control_plane_start, lambda result: bool(len(result.components))),
        "certificate_waves": Figure(_certificate_waves, lambda result: len(result.certificates) > 0),
        "hot_restart": Figure(_hot_restart, _has_hot_restarts),
        "flag_flips": Figure(_flag_flips, _has_flips),
        "migration": Figure(_migration, _has_migration),
        "stale_windows": Figure(_stale_windows, lambda result: len(result.traffic) > 0),
    }
)
"""File name without ending -> figure. A new figure is one line here."""


def write_figures(result: Result, directory: Path) -> list[Path]:
    """Draw every figure that applies into ``directory``, each as PNG and SVG; equal results give byte-equal
    files.

    Those of an earlier result that do not apply to this one are removed. Returns the paths. The directory
    must exist; raises OSError when it cannot be written.
    """
    written: list[Path] = []
    for name, figure in FIGURES.items():
        if not figure.applies(result):
            for suffix in look.SUFFIXES:
                (directory / f"{name}{suffix}").unlink(missing_ok=True)
            continue
        with look.deterministic():
            written += look.save(figure.draw(result), directory / name)
    return written


def _first_proxy(result: Result) -> str:
    """The Envoy whose clusters and listeners are shown: the first that the states table tells about."""
    for table in (result.states, result.startups):
        if len(table):
            return str(table["proxy_id"].iloc[0])
    return "p0"
