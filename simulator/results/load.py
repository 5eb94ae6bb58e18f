"""Reads an experiment of whatever kind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from simulator.results.comparison import Comparison
from simulator.results.experiment import Experiment
from simulator.results.experiment_storage import read_manifest
from simulator.results.replications import Replications
from simulator.results.storage import ResultsError
from simulator.results.sweep import Sweep

__all__ = ["load_experiment"]

_KINDS: Final[dict[str, type[Experiment]]] = {kind.kind: kind for kind in (Comparison, Replications, Sweep)}


def load_experiment(directory: str | os.PathLike[str]) -> Experiment:
    """The comparison, sweep or replicated run in a directory; raises ResultsError for anything else."""
    kind = str(read_manifest(Path(directory))["kind"])
    if kind not in _KINDS:
        raise ResultsError(f"{directory}: holds a {kind}, which this version does not know")
    return _KINDS[kind].load(directory)
