"""Plays a scenario over values of its keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from simulator.experiment.arguments import check_scenario, check_seed
from simulator.experiment.campaign import Options, conduct
from simulator.experiment.designs import points_of
from simulator.experiment.errors import ExperimentError
from simulator.experiment.progress import OnProgress
from simulator.experiment.task import Cell, Measure
from simulator.experiment.values import Range, Values, read_values, value_text
from simulator.results.sweep import Sweep
from simulator.scenario.problems import Problem, ScenarioError
from simulator.scenario.schema import Scenario

__all__ = ["cells_over", "over_text", "sweep"]


def sweep(
    scenario: Scenario,
    over: Mapping[str, Any],
    *,
    replications: int = 1,
    design: str = "grid",
    points: int | None = None,
    seed: int | None = None,
    executor: str | Executor | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    until_ci: str | float | None = None,
    ci_of: str | None = None,
    max_replications: int = 1000,
    keep_tables: bool = False,
    measure: Measure | None = None,
    progress: OnProgress | None = None,
) -> Sweep:
    """Plays a scenario at every combination of values, or at points that fill their ranges evenly.

    Args:
        scenario: What is played.
        over: Key path -> its values, as a file would hold them, or ``"LOW..HIGH"`` (``"LOW..HIGH log"``) with
            design ``lhs`` or ``sobol``.
        replications: Independent repetitions of each point; the same ones at all points.
        design: ``grid`` (all combinations), ``lhs`` (Latin hypercube) or ``sobol``.
        points: How many points of such a design.
        seed: Seed of all draws, the design's included; the scenario's own if not given.
        executor: ``processes`` (one for each processor; the default), ``processes:N``, ``serial``,
            ``dask://HOST:PORT``, or any `concurrent.futures.Executor`. Results do not depend on it.
        out: Directory for runs.parquet, summary.parquet and the runs themselves; without it, all stays in
            memory.
        resume: Whether runs finished there already are taken over instead of played again.
        until_ci: ``"5%"``: add replications until half of the 95 % interval is that share of the estimate.
        ci_of: What that is about: ``"p99(active_delay)"``; by default the mean of the delay until active.
        max_replications: When to give up on that.
        keep_tables: Whether every run leaves its raw tables in `out`.
        measure: A function of a module, Result -> {name: number}: more columns of `runs`.
        progress: Told after every run.

    Raises:
        TypeError: What is given is no scenario.
        ScenarioError: Values that the scenario cannot have; it holds all problems.
        ExperimentError: Anything else that cannot be done as asked; nothing was played.
        ExperimentStopped: A full disk or a lost executor; what was finished is kept in `out`.
    """
    check_scenario(scenario)
    actual_seed = scenario.seed if seed is None else seed
    check_seed(actual_seed)
    values = {key: read_values(key, given) for key, given in over.items()}
    if not values:
        raise ExperimentError("a sweep varies at least one key")
    cells = cells_over({"": scenario}, points_of(values, design, points, actual_seed))
    options = Options(
        replications=None if until_ci is not None and replications == 1 else replications,
        seed=actual_seed,
        executor=executor,
        out=out,
        resume=resume,
        until_ci=until_ci,
        ci_of=ci_of,
        max_replications=max_replications,
        keep_tables=keep_tables,
        measure=measure,
        progress=progress,
    )
    manifest = {
        "name": scenario.name,
        "question": scenario.question,
        "over": over_text(values),
        "design": design,
        "points": points,
    }
    return conduct(Sweep, cells, options, manifest)


def cells_over(scenarios: Mapping[str, Scenario], points: list[dict[str, Any]]) -> list[Cell]:
    """Every scenario at every point; raises ScenarioError with the problems of all of them, each once."""
    cells: list[Cell] = []
    problems: dict[Problem, None] = {}
    for name, scenario in scenarios.items():
        for point in points:
            varied = {key: value_text(value) for key, value in point.items()}
            told = [part for part in (name, ", ".join(varied.values())) if part]
            try:
                changed = scenario.with_(**point) if point else scenario
            except ScenarioError as error:
                problems |= dict.fromkeys(error.problems)
            else:
                cells.append(Cell(len(cells), ": ".join(told), varied, changed))
    if problems:
        raise ScenarioError(problems)
    return [
        Cell(cell.index, label, cell.varied, cell.scenario)
        for cell, label in zip(cells, _distinct(cells), strict=True)
    ]


def over_text(values: Mapping[str, Values]) -> dict[str, Any]:
    """The values as a manifest tells them."""
    return {
        key: f"{given.low}..{given.high}{' log' if given.is_log else ''}"
        if isinstance(given, Range)
        else [value_text(value) for value in given]
        for key, given in values.items()
    }


def _distinct(cells: list[Cell]) -> list[str]:
    """Labels of which no two are equal: repeated values get a number."""
    seen: dict[str, int] = {}
    labels = []
    for cell in cells:
        seen[cell.label] = seen.get(cell.label, 0) + 1
        labels.append(cell.label if seen[cell.label] == 1 else f"{cell.label} #{seen[cell.label]}")
    return labels
