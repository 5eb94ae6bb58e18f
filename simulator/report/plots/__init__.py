"""One function a figure: ``(result, ..., ax=None) -> Axes``. Each draws into ``ax``, or into a new figure.

A figure without data is drawn too and says that there is none. ``headline(ax, finding)`` gives a figure the
words of the study that it belongs to.
"""

from simulator.report.look import headline
from simulator.report.plots.certificate_waves import certificate_waves
from simulator.report.plots.comparison_cdf import comparison_cdf
from simulator.report.plots.connections import connections
from simulator.report.plots.control_plane_start import control_plane_start
from simulator.report.plots.convergence import convergence
from simulator.report.plots.debounce_curve import debounce_curve
from simulator.report.plots.delay_cdf import delay_cdf
from simulator.report.plots.flag_flips import flag_flips
from simulator.report.plots.hot_restart import hot_restart
from simulator.report.plots.migration import migration
from simulator.report.plots.paired_differences import paired_differences
from simulator.report.plots.pareto import pareto
from simulator.report.plots.queue_depths import queue_depths
from simulator.report.plots.stale_windows import stale_windows
from simulator.report.plots.startup import startup
from simulator.report.plots.states import states
from simulator.report.plots.sweep_heatmap import sweep_heatmap
from simulator.report.plots.sweep_lines import sweep_lines
from simulator.report.plots.sweep_points import sweep_points
from simulator.report.plots.two_worlds import two_worlds
from simulator.report.plots.waterfall import waterfall

__all__ = [
    "certificate_waves",
    "comparison_cdf",
    "connections",
    "control_plane_start",
    "convergence",
    "debounce_curve",
    "delay_cdf",
    "flag_flips",
    "headline",
    "hot_restart",
    "migration",
    "paired_differences",
    "pareto",
    "queue_depths",
    "stale_windows",
    "startup",
    "states",
    "sweep_heatmap",
    "sweep_lines",
    "sweep_points",
    "two_worlds",
    "waterfall",
]
