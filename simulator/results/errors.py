"""What cannot be read from the results of a run."""

from __future__ import annotations


class MetricError(ValueError):
    """A metric cannot be narrowed or read as asked; the message says why."""
