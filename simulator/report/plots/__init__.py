"""One function a figure: ``(result, ..., ax=None) -> Axes``. Each draws into ``ax``, or into a new figure.

A figure without data is drawn too and says that there is none.
"""

from simulator.report.plots.startup import startup
from simulator.report.plots.states import states

__all__ = ["startup", "states"]
