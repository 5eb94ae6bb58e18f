"""One function a figure: ``(result, ..., ax=None) -> Axes``. Each draws into ``ax``, or into a new figure.

A figure without data is drawn too and says that there is none.
"""

from simulator.report.plots.convergence import convergence
from simulator.report.plots.delay_cdf import delay_cdf
from simulator.report.plots.queue_depths import queue_depths
from simulator.report.plots.stale_windows import stale_windows
from simulator.report.plots.startup import startup
from simulator.report.plots.states import states
from simulator.report.plots.waterfall import waterfall

__all__ = ["convergence", "delay_cdf", "queue_depths", "stale_windows", "startup", "states", "waterfall"]
