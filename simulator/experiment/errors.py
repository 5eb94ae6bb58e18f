"""What stops an experiment, as opposed to one of its runs."""

from __future__ import annotations

__all__ = ["ExperimentError", "ExperimentStopped"]


class ExperimentError(ValueError):
    """The experiment cannot be done as asked; nothing was played. The message tells the user why."""


class ExperimentStopped(RuntimeError):
    """The experiment ended before its time: a full disk, a lost executor. What was finished is kept."""
