"""One run that is to be played, as it travels to whoever plays it."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.experiment.provenance import commit, versions
from simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    from simulator.results.result import Result

__all__ = ["Cell", "Measure", "Task", "tasks_of"]

Measure = Callable[["Result"], Mapping[str, float]]
"""Further numbers about one run, by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One of the things an experiment plays: a variant of a comparison, a point of a sweep.

    Attributes:
        index: Its place among them, from 0.
        label: What it is called.
        varied: Key -> the value it has here, as text.
        scenario: What is played.
    """

    index: int
    label: str
    varied: Mapping[str, str]
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Task:
    """One run: picklable, and complete.

    Attributes:
        fingerprint: Of everything that decides the run.
        payload: The scenario and the measure, pickled once a cell.
        seed: Seed of all draws.
        replication: Which repetition of that seed.
        runs: Where the player puts the record if it can reach that directory; None to hand it back.
        token: What the directory holds if it is the right one.
        keeps_tables: Whether the raw tables are written beside the record.
    """

    fingerprint: str
    payload: bytes
    seed: int
    replication: int
    runs: Path | None
    token: str
    keeps_tables: bool

    def content(self) -> tuple[Scenario, Measure | None]:
        """The scenario and the measure."""
        return _unpickled(self.payload)


@lru_cache(maxsize=64)
def _unpickled(payload: bytes) -> tuple[Scenario, Measure | None]:
    content: tuple[Scenario, Measure | None] = pickle.loads(payload)
    return content


def tasks_of(
    cell: Cell,
    replications: range,
    seed: int,
    *,
    measure: Measure | None = None,
    runs: Path | None = None,
    token: str = "",
    keeps_tables: bool = False,
) -> list[Task]:
    """The runs of one cell. Raises pickle.PicklingError or AttributeError for a measure of no module."""
    payload = pickle.dumps((cell.scenario, measure))
    decided = _decided_by(cell.scenario, seed, measure)
    return [
        Task(
            hashlib.sha256(f"{decided}/{replication}".encode()).hexdigest()[:24],
            payload,
            seed,
            replication,
            runs,
            token,
            keeps_tables,
        )
        for replication in replications
    ]


def _decided_by(scenario: Scenario, seed: int, measure: Measure | None) -> str:
    """Everything that decides a run but its replication. The names of scenarios do not."""
    resolved: dict[str, Any] = {**scenario.resolved(), "name": "", "question": "", "seed": seed}
    told = None if measure is None else f"{measure.__module__}.{measure.__qualname__}"
    files = str(scenario.directory.resolve())
    return json.dumps([resolved, told, files, dict(versions()), commit()], sort_keys=True)
